import { UserError } from "./errors.ts";

/** The address that a server or a door was told to listen on cannot be had. */
export class ListenError extends UserError {
  /** `address` as HOST:PORT; `option` is the option that names another. */
  constructor(readonly address: string, option: string, cause: unknown) {
    super(
      `cannot listen on ${address}: ${listenReason(cause)}: choose another with ${option}`,
      { cause },
    );
  }
}

const REASONS: Record<string, string> = {
  EACCES: "not permitted",
  EADDRINUSE: "it is in use",
  EADDRNOTAVAIL: "this machine does not have that address",
  ECONNREFUSED: "refused",
  ECONNRESET: "reset",
  EHOSTUNREACH: "no route to it",
  ENETUNREACH: "no network",
  ENOTFOUND: "no such host",
  EPIPE: "closed",
  ETIMEDOUT: "no answer in time",
};

/** The runtime says EINVAL of an address that this machine does not have. */
function listenReason(cause: unknown): string {
  const { code } = (cause ?? {}) as { code?: unknown };
  return code === "EINVAL" ? REASONS.EADDRNOTAVAIL! : socketReason(cause);
}

/** Plain words for the error of a socket (`node:net`, `node:tls`). */
export function socketReason(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  const known = typeof code === "string" ? REASONS[code] : undefined;
  return known ?? (error instanceof Error ? error.message.split("\n")[0]! : String(error));
}
