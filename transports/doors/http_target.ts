import { type Address, formatAddress, parseAddress } from "./address.ts";

/** Where a request in absolute form goes, and what it becomes there. */
export interface HttpTarget {
  /** The origin server. */
  readonly origin: Address;
  /** The Host field for it: without the port where that is 80. */
  readonly host: string;
  /** The target in origin form (RFC 9112, section 3.2.1), as the client spelled it; `*` for OPTIONS. */
  readonly path: string;
}

function addressOf(text: string): Address | undefined {
  try {
    const address = parseAddress(text, "");
    return address.port === 0 ? undefined : address;
  } catch {
    return undefined;
  }
}

/**
 * Reads the target of a request to a proxy (RFC 9112, section 3.2.2): `http://HOST[:PORT]/PATH`.
 * Undefined if it is anything else, user names included (RFC 9110, section 4.2.4).
 *
 * @example
 * ```ts
 * import { absoluteTarget } from "./http_target.ts";
 * const target = absoluteTarget("GET", "http://example.org/a?b");
 * if (target?.origin.port !== 80 || target.path !== "/a?b") throw new Error("origin and path");
 * ```
 */
export function absoluteTarget(method: string, text: string): HttpTarget | undefined {
  const [, authority, rest] = /^http:\/\/([^/?#]+)([^#]*)$/i.exec(text) ?? [];
  if (authority === undefined || rest === undefined || !/^[\x21-\x7e]*$/.test(text)) {
    return undefined;
  }
  const origin = addressOf(
    /:\d+$/.test(authority) ? authority : `${authority.replace(/:$/, "")}:80`,
  );
  if (origin === undefined) return undefined;
  const full = formatAddress(origin);
  return {
    origin,
    host: origin.port === 80 ? full.slice(0, -3) : full,
    path: rest === "" && method === "OPTIONS" ? "*" : rest.startsWith("/") ? rest : `/${rest}`,
  };
}

/** Reads the target of a CONNECT (RFC 9112, section 3.2.3): `HOST:PORT`. Undefined if it is not one. */
export function connectTarget(text: string): Address | undefined {
  return /^[\x21-\x7e]+$/.test(text) ? addressOf(text) : undefined;
}

/**
 * Fields that end at this hop (RFC 9110, section 7.6.1), and those that proxies are known to be sent.
 * `Connection` may name others, but not the two that say where a message goes and where it ends.
 */
const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authentication-info",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** A header's fields without those of this hop: names and values in turn, as they were spelled. */
export function endToEnd(fields: readonly string[]): string[] {
  const named = new Set<string>();
  for (let at = 0; at < fields.length; at += 2) {
    if (fields[at]!.toLowerCase() !== "connection") continue;
    for (const name of fields[at + 1]!.split(",")) named.add(name.trim().toLowerCase());
  }
  named.delete("host");
  named.delete("content-length");
  const kept: string[] = [];
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at]!.toLowerCase();
    if (!HOP_BY_HOP.has(name) && !named.has(name)) kept.push(fields[at]!, fields[at + 1]!);
  }
  return kept;
}
