/** The most bytes that a varint takes: 8, for integers up to 2^53 - 1. */
export const MAX_VARINT_LENGTH = 8;

/** How many bytes {@linkcode writeVarint} takes for `value`, an integer from 0 to 2^53 - 1. */
export function varintLength(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x200000) return 3;
  if (value < 0x10000000) return 4;
  let length = 4;
  for (let rest = Math.floor(value / 0x10000000); rest > 0; rest = Math.floor(rest / 128)) length++;
  return length;
}

/**
 * Writes `value` (an integer from 0 to 2^53 - 1) at `at`, seven bits a byte, least significant first, the
 * top bit set on all bytes but the last (LEB128). Returns the position after it.
 *
 * @example
 * ```ts
 * import { varintLength, writeVarint } from "./varint.ts";
 * const buffer = new Uint8Array(8);
 * if (writeVarint(buffer, 0, 300) !== 2 || varintLength(300) !== 2) throw new Error("two bytes");
 * ```
 */
export function writeVarint(buffer: Uint8Array, at: number, value: number): number {
  let rest = value;
  while (rest >= 0x80) {
    buffer[at++] = rest % 128 | 0x80;
    rest = Math.floor(rest / 128);
  }
  buffer[at++] = rest;
  return at;
}
