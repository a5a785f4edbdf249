/**
 * The published rules by which a national firewall took connections for fully encrypted ones, from the first
 * payload of a client alone (Wu et al., "How the Great Firewall of China Detects and Blocks Fully Encrypted
 * Traffic", USENIX Security 2023, section 4).
 *
 * @module
 */

/** Why a first payload is let pass. */
export type Exemption =
  | "bits"
  | "printable beginning"
  | "mostly printable"
  | "printable run"
  | "TLS"
  | "HTTP";

const METHODS = ["GET ", "PUT ", "POST ", "HEAD "];

function isPrintable(byte: number): boolean {
  return byte >= 0x20 && byte <= 0x7e;
}

/** Bits that are set in a byte. */
function bitsIn(byte: number): number {
  let count = 0;
  for (let rest = byte; rest > 0; rest >>= 1) count += rest & 1;
  return count;
}

/**
 * By which rules a client's first payload is no fully encrypted traffic; none if it would be blocked. An empty
 * payload is none of either.
 *
 * @example
 * ```ts
 * import { exemptionsOf } from "./fully_encrypted.ts";
 * const greeting = new TextEncoder().encode("SSH-2.0-OpenSSH_9.2\r\n");
 * if (!exemptionsOf(greeting).includes("printable beginning")) throw new Error("it begins with text");
 * const random = Uint8Array.from({ length: 400 }, (_, i) => (i * 167 + 13) & 255);
 * if (exemptionsOf(random).length > 0) throw new Error("as many bits set as not, and no text");
 * ```
 */
export function exemptionsOf(first: Uint8Array): Exemption[] {
  if (first.length === 0) return [];
  let bits = 0;
  let printable = 0;
  let run = 0;
  let longest = 0;
  for (const byte of first) {
    bits += bitsIn(byte);
    if (isPrintable(byte)) {
      printable++;
      longest = Math.max(longest, ++run);
    } else run = 0;
  }
  const perByte = bits / first.length;
  const beginning = String.fromCharCode(...first.subarray(0, 6));
  const found: Exemption[] = [];
  if (perByte <= 3.4 || perByte >= 4.6) found.push("bits");
  if (first.length >= 6 && first.subarray(0, 6).every(isPrintable)) {
    found.push("printable beginning");
  }
  if (printable > first.length / 2) found.push("mostly printable");
  if (longest > 20) found.push("printable run");
  const [type, major, minor] = first;
  if ((type === 0x16 || type === 0x17) && major === 3 && minor !== undefined && minor <= 9) {
    found.push("TLS");
  }
  if (METHODS.some((method) => beginning.startsWith(method))) found.push("HTTP");
  return found;
}
