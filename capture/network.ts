import { UsageError } from "../base/errors.ts";
import { parseAddress } from "./address.ts";

/** A text that is no network. */
export class InvalidNetworkError extends UsageError {}

/** A set of addresses with a common prefix. */
export interface Network {
  /** IP version of its addresses. */
  readonly version: 4 | 6;
  /** Whether the address at `at` of `bytes` (4 or 16 of them) belongs to it. */
  contains(bytes: Uint8Array, at: number): boolean;
}

/**
 * Reads `192.168.12.0/24`, `2001:db8::/32`, or one address.
 *
 * Throws {@linkcode InvalidNetworkError}.
 *
 * @example
 * ```ts
 * import { parseNetwork } from "./network.ts";
 * const network = parseNetwork("192.168.12.0/23");
 * if (!network.contains(new Uint8Array([192, 168, 13, 7]), 0)) throw new Error("outside");
 * if (network.contains(new Uint8Array([192, 168, 14, 7]), 0)) throw new Error("inside");
 * ```
 */
export function parseNetwork(text: string): Network {
  const [address = "", length, ...more] = text.split("/");
  const parsed = parseAddress(address);
  const most = parsed?.version === 4 ? 32 : 128;
  const bits = length === undefined ? most : /^\d{1,3}$/.test(length) ? Number(length) : NaN;
  if (parsed === undefined || more.length > 0 || !(bits <= most)) {
    throw new InvalidNetworkError(
      `${text}: not a network: write 192.168.12.0/24, fd00::/8 or one address`,
    );
  }
  const { bytes: prefix, version } = parsed;
  const whole = bits >> 3;
  const mask = 0xff00 >> (bits & 7) & 0xff;
  return {
    version,
    contains(bytes, at) {
      for (let i = 0; i < whole; i++) if (bytes[at + i] !== prefix[i]) return false;
      return mask === 0 || ((bytes[at + whole]! ^ prefix[whole]!) & mask) === 0;
    },
  };
}
