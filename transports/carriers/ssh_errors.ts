import { UserError } from "../../base/mod.ts";

/** The server lets nobody in with the secret's key. */
export class SecretRefused extends UserError {
  /** `address` is the server's. */
  constructor(readonly address: string) {
    super(
      `the server at ${address} does not let in the key of this secret, as it lets in nobody that it does ` +
        `not know: check secret= in its line`,
    );
  }
}

/** Files that OpenSSH is to read cannot be made. */
export class SshStateError extends UserError {
  /** `path` is the file or folder at fault. */
  constructor(readonly path: string, cause: unknown) {
    super(`${path}: cannot be used: ${(cause as Error).message.split("\n")[0]}`, { cause });
  }
}
