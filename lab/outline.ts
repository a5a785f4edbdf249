import {
  type CaptureRecord,
  encodeCapture,
  formatAddress,
  LinkType,
  readCapture,
  TCP_ACK,
  TCP_SYN,
} from "../capture/mod.ts";
import { writeFileAtomically } from "../base/mod.ts";
import { gzipSync } from "node:zlib";

/** Packets of each connection that an outline keeps. */
export interface Outline {
  /** From its first on. */
  readonly first: number;
  /** Up to its last. */
  readonly last: number;
}

/**
 * Enough to recognise the protocol by its handshake and to know when a connection began and ended, and too
 * little to learn anything else from.
 */
export const OUTLINE: Outline = { first: 12, last: 2 };

/**
 * Writes the outline of a scrubbed capture (gzipped libpcap, without link-layer headers): of each TCP connection
 * over IPv4 its first packets and its last. Users, sessions and episodes can be learned from it; its
 * connections are left out of everything else, for bytes are missing. Returns how many packets were written.
 */
export async function outline(from: string, to: string, keep: Outline = OUTLINE): Promise<number> {
  const packets: { readonly record: CaptureRecord; readonly place: number; of: number[] }[] = [];
  const open = new Map<string, number[]>();
  await readCapture(from, (packet) => {
    const { addresses, sourcePort, destinationPort, flags, time, data, ipLength } = packet;
    const ends = [`${formatAddress(addresses, 0, 4)} ${sourcePort}`]
      .concat(`${formatAddress(addresses, 16, 4)} ${destinationPort}`).sort().join(" ");
    // How many packets there are is known to all of a connection's once it is over.
    let of = open.get(ends);
    const opens = (flags & TCP_SYN) !== 0 && (flags & TCP_ACK) === 0;
    if (of === undefined || (opens && of[0]! > 1)) open.set(ends, of = [0]);
    const start = packet.payloadStart + packet.payloadLength - ipLength;
    packets.push({
      record: { time, data: data.slice(start, start + ipLength) },
      place: of[0]!++,
      of,
    });
  });
  const kept = packets.filter(({ place, of }) => place < keep.first || place >= of[0]! - keep.last);
  const file = ReadableStream.from(kept.map(({ record }) => record))
    .pipeThrough(encodeCapture({ format: "pcap", linkType: LinkType.raw }));
  const plain = new Uint8Array(await new Response(file).arrayBuffer());
  await writeFileAtomically(to, gzipSync(plain, { level: 9 }));
  return kept.length;
}
