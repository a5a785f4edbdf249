import { isIPv6 } from "node:net";
import { UserError } from "../../base/errors.ts";
import { SOCKS_REPLY } from "../../base/socks_reply.ts";

export { SOCKS_REPLY };

/** Whatever goes wrong in a pluggable transport: one line without addresses of users. */
export class PtError extends UserError {}

/** The environment is not one that a pluggable transport can start in: told by `ENV-ERROR`. */
export class EnvironmentError extends PtError {}

/** None of the versions that the parent offers is known: told by `VERSION-ERROR`. */
export class VersionError extends PtError {}

/** `TOR_PT_PROXY` cannot be used: told by `PROXY-ERROR`. */
export class ProxyUrlError extends PtError {}

/** Arguments of a bridge line or options of a transport that cannot be read, or are wrong. */
export class ArgumentError extends PtError {}

/** A line that the specification forbids here, or that the parent could not read. */
export class OutputError extends PtError {}

/** The parent's authentication or its Extended ORPort refused us. */
export class OrPortError extends PtError {}

/** A request of a SOCKS client that is refused; `reply` is what to send before closing. */
export class SocksRequestError extends PtError {
  /** `message` for the log; `reply` may be empty. */
  constructor(message: string, readonly reply: Uint8Array) {
    super(message);
  }
}

/** A connection that could not be made; `socksReply` is one of {@linkcode SOCKS_REPLY}. */
export class DialError extends PtError {
  /** The message names no address: it may go to a log. */
  constructor(message: string, readonly socksReply: number, options?: ErrorOptions) {
    super(message, options);
  }
}

/** Something took longer than it may. */
export class DeadlineError extends DialError {
  /** `what` did not happen within `milliseconds`. */
  constructor(what: string, readonly milliseconds: number) {
    super(`${what} took longer than ${milliseconds / 1000} s`, SOCKS_REPLY.expired);
  }
}

const BY_CODE: Record<string, readonly [number, string]> = {
  EACCES: [SOCKS_REPLY.forbidden, "not permitted"],
  EPERM: [SOCKS_REPLY.forbidden, "not permitted"],
  ENETUNREACH: [SOCKS_REPLY.networkUnreachable, "network unreachable"],
  ENETDOWN: [SOCKS_REPLY.networkUnreachable, "network down"],
  EHOSTUNREACH: [SOCKS_REPLY.hostUnreachable, "host unreachable"],
  EHOSTDOWN: [SOCKS_REPLY.hostUnreachable, "host down"],
  ENOTFOUND: [SOCKS_REPLY.hostUnreachable, "no such host"],
  EAI_AGAIN: [SOCKS_REPLY.hostUnreachable, "the name could not be looked up"],
  EAI_NODATA: [SOCKS_REPLY.hostUnreachable, "no such host"],
  ECONNREFUSED: [SOCKS_REPLY.refused, "connection refused"],
  ETIMEDOUT: [SOCKS_REPLY.expired, "no answer in time"],
  EAFNOSUPPORT: [SOCKS_REPLY.addressNotSupported, "kind of address not supported"],
  EADDRINUSE: [SOCKS_REPLY.failed, "the address is in use"],
  EADDRNOTAVAIL: [SOCKS_REPLY.failed, "this machine does not have that address"],
  EINVAL: [SOCKS_REPLY.failed, "this machine does not have that address"],
  ECONNRESET: [SOCKS_REPLY.failed, "connection reset"],
  EPIPE: [SOCKS_REPLY.failed, "connection closed"],
};

function known(error: unknown): readonly [number, string] | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" ? BY_CODE[code] : undefined;
}

/** The SOCKS reply that tells tor of `error`: an error's own, or by its system code; else 1. */
export function socksReplyOf(error: unknown): number {
  const own = (error as { socksReply?: unknown } | null)?.socksReply;
  if (typeof own === "number" && Number.isInteger(own) && own >= 1 && own <= 8) return own;
  return known(error)?.[0] ?? SOCKS_REPLY.failed;
}

/**
 * What an error says in one line: a {@linkcode UserError} its message, a socket's error its kind, without the
 * address that system messages carry.
 */
export function reasonOf(error: unknown): string {
  if (error instanceof UserError) return error.message;
  return known(error)?.[1] ??
    scrubAddresses(error instanceof Error ? error.message.split("\n")[0]! : String(error));
}

/**
 * How much the end of a connection by `error` matters: `warning` if the user's arguments are wrong, `info` if
 * networks and peers are what they are, `error` if it looks like a mistake in the program.
 */
export function severityOf(error: unknown): "warning" | "info" | "error" {
  if (error instanceof ArgumentError) return "warning";
  return error instanceof UserError ||
      typeof (error as { code?: unknown } | null)?.code === "string"
    ? "info"
    : "error";
}

const IPV4 = /(?<!\d)\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?/g;
const MAYBE_IPV6 = /\[[0-9a-fA-F:.]+(?:%[\w.-]+)?\](?::\d+)?|(?<!\w)[0-9a-fA-F:.]+(?:%[\w.-]+)?/g;

/**
 * Replaces IP addresses (with their ports) in a text by `[scrubbed]`. Names of hosts stay: no pattern
 * knows them from other words, so do not put them into messages.
 *
 * @example
 * ```ts
 * import { scrubAddresses } from "./errors.ts";
 * const text = scrubAddresses("from 192.0.2.7:443 and [2001:db8::1]:9 at 12:30");
 * if (text !== "from [scrubbed] and [scrubbed] at 12:30") throw new Error(text);
 * ```
 */
export function scrubAddresses(text: string): string {
  return text.replaceAll(MAYBE_IPV6, (token) => {
    const bracketed = /^\[(.*)\](?::\d+)?$/.exec(token)?.[1];
    if (bracketed !== undefined) return isIPv6(bracketed) ? "[scrubbed]" : token;
    if (isIPv6(token)) return "[scrubbed]";
    const [, body, stop] = /^(.*?)([.:]*)$/.exec(token)!;
    const address = isIPv6(body!) || isIPv6(body!.replace(/:\d+$/, ""));
    return address ? `[scrubbed]${stop}` : token;
  }).replaceAll(IPV4, "[scrubbed]");
}
