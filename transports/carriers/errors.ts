import { UserError } from "../../base/mod.ts";

/** The server cannot be reached or does not complete the carrier's handshake. */
export class ConnectError extends UserError {
  /** `address` as HOST:PORT. */
  constructor(readonly address: string, why: string, cause?: unknown) {
    super(`cannot connect to ${address}: ${why}`, { cause });
  }
}

/** The server's public key is not the one that the line names. */
export class WrongCertificate extends UserError {
  /** Keys as base64url SHA-256. */
  constructor(readonly address: string, readonly expected: string, readonly seen: string) {
    super(
      `the server at ${address} shows another key (${seen}) than the line's cert=${expected}: ` +
        `ask for a new line, or someone is in the middle`,
    );
  }
}

/** A certificate or key file that cannot be used. */
export class CertificateError extends UserError {
  /** `file` is the file at fault. */
  constructor(readonly file: string, why: string, cause?: unknown) {
    super(`${file}: ${why}`, { cause });
  }
}
