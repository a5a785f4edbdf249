import { isIPv4, isIPv6 } from "node:net";
import { formatAddress } from "../../base/address_text.ts";
import { ArgumentError } from "./errors.ts";

/** An IP address or a host name, and a port. */
export interface Target {
  /** IPv4 or IPv6 without brackets, or a name. */
  readonly host: string;
  /** 0 to 65535. */
  readonly port: number;
}

/** Text of an address: `192.0.2.1:80`, `[2001:db8::1]:80`, `example.com:80`. */
export function formatTarget(target: Target): string {
  return formatAddress(target);
}

const IP_PORT = /^(?:\[([0-9a-fA-F:.]{2,45})\]|([0-9.]{7,15})):([0-9]{1,5})$/;

/**
 * Reads `ip:port`; IPv6 in brackets. Names are refused, as everywhere in the specification, and so are
 * zones (`%eth0`).
 *
 * @throws {ArgumentError} if it is not one.
 * @example
 * ```ts
 * import { parseIpPort } from "./address.ts";
 * const { host, port } = parseIpPort("[2001:DB8::1]:443");
 * if (host !== "2001:db8::1" || port !== 443) throw new Error(host);
 * ```
 */
export function parseIpPort(text: string, options: { readonly zero?: boolean } = {}): Target {
  const match = IP_PORT.exec(text);
  const [, v6, v4, digits] = match ?? [];
  if (match === null || !(v6 === undefined ? isIPv4(v4!) : isIPv6(v6))) {
    throw new ArgumentError(`"${text}" is not an IP address and a port (IPv6 in brackets)`);
  }
  const port = Number(digits);
  if (port > 65535 || (port === 0 && options.zero !== true)) {
    throw new ArgumentError(`"${text}" has a port that is not between 1 and 65535`);
  }
  return { host: (v6 ?? v4!).toLowerCase(), port };
}

/** An IPv4 address from its 4 bytes. */
export function formatIpv4(bytes: Uint8Array): string {
  return bytes.join(".");
}

/** An IPv6 address from its 16 bytes, written as RFC 5952 wants it. */
export function formatIpv6(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, i) => bytes[2 * i]! << 8 | bytes[2 * i + 1]!);
  let start = 0;
  let length = 0;
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && groups[end] === 0) end++;
    if (end - i > length) [start, length] = [i, end - i];
  }
  const text = (part: number[]) => part.map((group) => group.toString(16)).join(":");
  if (length < 2) return text(groups);
  return `${text(groups.slice(0, start))}::${text(groups.slice(start + length))}`;
}

/** The 4 or 16 bytes of an IP address; undefined if it is none. */
export function ipBytes(host: string): Uint8Array | undefined {
  if (isIPv4(host)) return Uint8Array.from(host.split("."), Number);
  if (!isIPv6(host) || host.includes("%")) return undefined;
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(host);
  const pure = dotted === null ? host : dotted[1] +
    (Number(dotted[2]) << 8 | Number(dotted[3])).toString(16) + ":" +
    (Number(dotted[4]) << 8 | Number(dotted[5])).toString(16);
  const [head = "", tail] = pure.split("::");
  const groups = (part: string) => part === "" ? [] : part.split(":").map((g) => parseInt(g, 16));
  const [first, last] = [groups(head), groups(tail ?? "")];
  const all = [...first, ...Array<number>(8 - first.length - last.length).fill(0), ...last];
  return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 255]));
}

/**
 * An IPv4 address that a dual-stack socket reports as IPv6 (`::ffff:192.0.2.1`) as IPv4, and any address
 * without its zone: what tor understands.
 */
export function plainAddress(host: string): string {
  const bare = host.split("%")[0]!;
  const bytes = ipBytes(bare);
  if (bytes?.length !== 16) return bare;
  const mapped = bytes.subarray(0, 10).every((byte) => byte === 0) &&
    bytes[10] === 255 && bytes[11] === 255;
  return mapped ? formatIpv4(bytes.subarray(12)) : formatIpv6(bytes);
}

/** Whether an IP address is one of this machine's loopback addresses, or the name `localhost`. */
export function isLoopback(host: string): boolean {
  const plain = plainAddress(host);
  return plain === "::1" || plain === "localhost" || (isIPv4(plain) && plain.startsWith("127."));
}
