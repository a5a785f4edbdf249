import { UserError } from "../../base/mod.ts";

/** The address that a server or a door was told to listen on cannot be had. */
export class ListenError extends UserError {
  /** `option` is the option that names another address. */
  constructor(readonly address: string, option: string, cause: unknown) {
    super(`cannot listen on ${address}: ${reason(cause)}: choose another with ${option}`, {
      cause,
    });
  }
}

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

/** Plain words for a socket's error. */
export function reason(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  if (code === "EADDRINUSE" || error instanceof Deno.errors.AddrInUse) return "it is in use";
  if (code === "EADDRNOTAVAIL" || error instanceof Deno.errors.AddrNotAvailable) {
    return "this machine does not have that address";
  }
  if (code === "EACCES" || error instanceof Deno.errors.PermissionDenied) return "not permitted";
  if (code === "ECONNREFUSED" || error instanceof Deno.errors.ConnectionRefused) return "refused";
  if (code === "ECONNRESET" || error instanceof Deno.errors.ConnectionReset) return "reset";
  if (code === "ENOTFOUND") return "no such host";
  if (code === "ETIMEDOUT" || error instanceof Deno.errors.TimedOut) return "no answer in time";
  return error instanceof Error ? error.message.split("\n")[0]! : String(error);
}
