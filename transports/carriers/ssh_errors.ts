import { UserError } from "../../base/mod.ts";
import { ConnectError } from "./errors.ts";

/** The server lets nobody in with the secret's key. */
export class SecretRefused extends ConnectError {
  /** `address` is the server's. */
  constructor(address: string) {
    super(
      address,
      "the server does not let in this secret's key, as it lets in nobody that it does not know: check " +
        "secret= in its line",
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
