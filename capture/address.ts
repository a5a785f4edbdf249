/**
 * An address as text: dotted IPv4, or IPv6 in its canonical form (RFC 5952).
 *
 * @param bytes holds the address, as {@linkcode Packet.addresses} does
 * @param at where it starts: 0 for the source, 16 for the destination of a packet
 *
 * @example
 * ```ts
 * import { formatAddress, parseAddress } from "./address.ts";
 * const { bytes, version } = parseAddress("2001:db8:0:0:1:0:0:1")!;
 * if (formatAddress(bytes, 0, version) !== "2001:db8::1:0:0:1") throw new Error("not canonical");
 * ```
 */
export function formatAddress(bytes: Uint8Array, at: number, version: 0 | 4 | 6): string {
  if (version === 4) return `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`;
  if (version === 0) return "";
  const groups = Array.from(
    { length: 8 },
    (_, i) => bytes[at + 2 * i]! << 8 | bytes[at + 2 * i + 1]!,
  );
  // The longest run of two or more zero groups, the first of equals, becomes "::".
  let from = -1;
  let longest = 1;
  for (let i = 0; i < 8; i++) {
    let run = 0;
    while (i + run < 8 && groups[i + run] === 0) run++;
    if (run > longest) [from, longest] = [i, run];
  }
  const hex = (part: readonly number[]) => part.map((group) => group.toString(16)).join(":");
  if (from < 0) return hex(groups);
  return `${hex(groups.slice(0, from))}::${hex(groups.slice(from + longest))}`;
}

/** The bytes of an address (the last 12 zero for IPv4), or undefined if the text is none. */
export function parseAddress(
  text: string,
): { readonly bytes: Uint8Array<ArrayBuffer>; readonly version: 4 | 6 } | undefined {
  const bytes = new Uint8Array(16);
  const four = parseDotted(text);
  if (four !== undefined) {
    bytes.set(four);
    return { bytes, version: 4 };
  }
  if (!text.includes(":")) return undefined;
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const parts: number[][] = [];
  for (const half of halves) {
    const groups: number[] = [];
    const words = half === "" ? [] : half.split(":");
    for (const [i, word] of words.entries()) {
      const dotted = i === words.length - 1 ? parseDotted(word) : undefined;
      if (dotted !== undefined) {
        groups.push(dotted[0]! << 8 | dotted[1]!, dotted[2]! << 8 | dotted[3]!);
      } else if (/^[0-9a-f]{1,4}$/i.test(word)) groups.push(parseInt(word, 16));
      else return undefined;
    }
    parts.push(groups);
  }
  const [head = [], tail = []] = parts;
  const zeros = 8 - head.length - tail.length;
  if (halves.length === 1 ? zeros !== 0 : zeros < 1) return undefined;
  const groups = [...head, ...new Array<number>(zeros).fill(0), ...tail];
  for (const [i, group] of groups.entries()) {
    bytes[2 * i] = group >> 8;
    bytes[2 * i + 1] = group & 255;
  }
  return { bytes, version: 6 };
}

function parseDotted(text: string): number[] | undefined {
  if (!/^\d{1,3}(\.\d{1,3}){3}$/.test(text)) return undefined;
  const numbers = text.split(".").map(Number);
  return numbers.every((number) => number < 256) ? numbers : undefined;
}
