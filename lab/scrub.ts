import {
  type CaptureRecord,
  encodeCapture,
  formatAddress,
  LinkType,
  readCapture,
  TCP_SYN,
} from "../capture/mod.ts";
import { UserError, writeFileAtomically } from "../base/mod.ts";
import { gzipSync } from "node:zlib";
import { type ByteRange, redactionOf } from "./redaction.ts";

/** The capture cannot be made fit to ship. */
export class CannotScrub extends UserError {}

/** When a scrubbed capture begins: 1 January 2025, 00:00 UTC, in milliseconds since the Unix epoch. */
export const SCRUBBED_EPOCH: number = Date.UTC(2025, 0, 1);

/** What {@linkcode scrub} did. */
export interface ScrubReport {
  /** Packets written; packets of other kinds than TCP over IPv4 are left out. */
  readonly packets: number;
  /** Packets left out. */
  readonly leftOut: number;
  /** Payload bytes kept as they were. */
  readonly kept: number;
  /** Payload bytes overwritten with zeros. */
  readonly zeroed: number;
}

interface Kept {
  readonly time: number;
  readonly data: Uint8Array<ArrayBuffer>;
  readonly payloadStart: number;
  readonly stream: Stream;
  /** Offset of the payload in its stream. */
  readonly offset: number;
}

/** One direction of one connection. */
class Stream {
  readonly #start: number;
  readonly #pieces: { readonly offset: number; readonly bytes: Uint8Array }[] = [];
  #length = 0;
  #redaction: { readonly ranges: readonly ByteRange[]; readonly length: number } | undefined;

  constructor(firstSequence: number) {
    this.#start = firstSequence;
  }

  offsetOf(sequence: number): number {
    // Signed: a retransmitted SYN or a keep-alive lies before the first byte.
    return (sequence - this.#start) | 0;
  }

  add(offset: number, bytes: Uint8Array): void {
    this.#pieces.push({ offset, bytes });
    this.#length = Math.max(this.#length, offset + bytes.length);
  }

  /** Overwrites in `payload`, which lies at `offset`, what must not be shipped; returns how much. */
  redact(offset: number, payload: Uint8Array): number {
    const { ranges, length } = this.#redaction ??= this.#find();
    let zeroed = 0;
    const zero = (from: number, to: number) => {
      const start = Math.max(0, from - offset);
      const end = Math.min(payload.length, to - offset);
      if (end <= start) return;
      payload.fill(0, start, end);
      zeroed += end - start;
    };
    zero(offset, 0);
    for (const [from, to] of ranges) zero(from, to);
    zero(length, Infinity);
    return zeroed;
  }

  #find() {
    const bytes = new Uint8Array(this.#length);
    let length = 0;
    const pieces = this.#pieces.toSorted((a, b) => a.offset - b.offset);
    for (const piece of pieces) {
      if (piece.offset > length) break;
      bytes.set(piece.bytes, piece.offset);
      length = Math.max(length, piece.offset + piece.bytes.length);
    }
    return { ranges: redactionOf(bytes.subarray(0, length)), length };
  }
}

/** The Internet checksum (RFC 1071) of `bytes` from `start` to `end`, on top of `sum`. */
function checksum(view: DataView, start: number, end: number, sum = 0): number {
  for (let at = start; at + 1 < end; at += 2) sum += view.getUint16(at);
  if ((end - start) % 2 === 1) sum += view.getUint8(end - 1) << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 65536);
  return ~sum & 0xffff;
}

/**
 * Clears the identification of an IPv4 packet that may not be fragmented (RFC 6864: it means nothing
 * there, and random numbers do not compress), and writes both checksums anew.
 */
function finish(packet: Uint8Array<ArrayBuffer>): void {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
  const tcp = (packet[0]! & 15) * 4;
  if ((packet[6]! & 0x40) !== 0) view.setUint16(4, 0);
  view.setUint16(10, 0);
  view.setUint16(10, checksum(view, 0, tcp));
  let pseudoHeader = 6 + packet.length - tcp;
  for (let at = 12; at < 20; at += 2) pseudoHeader += view.getUint16(at);
  view.setUint16(tcp + 16, 0);
  view.setUint16(tcp + 16, checksum(view, tcp, packet.length, pseudoHeader));
}

/**
 * Makes a capture of the laboratory fit to ship: overwrites ciphertext (see {@linkcode redactionOf}),
 * drops link-layer headers, has time begin at {@linkcode SCRUBBED_EPOCH}, and writes gzipped libpcap.
 * Sizes, times between packets, TLS record headers and handshakes stay, so that connections, records,
 * messages and features read from it are the same as before.
 *
 * Reads the whole capture into memory: it is meant for samples. Throws {@linkcode CannotScrub} if a packet
 * was cut by the snap length, and whatever the reader throws.
 */
export async function scrub(from: string, to: string): Promise<ScrubReport> {
  const streams = new Map<string, Stream>();
  const packets: Kept[] = [];
  let leftOut = 0;
  await readCapture(from, (packet) => {
    if (packet.version !== 4 || packet.protocol !== 6) {
      leftOut++;
      return;
    }
    const { payloadStart, payloadLength, payloadCaptured, addresses, sequence, flags } = packet;
    if (payloadCaptured < payloadLength) {
      throw new CannotScrub(`${from}: packet ${packet.index} was cut: record with whole packets`);
    }
    const headers = packet.ipLength - payloadLength;
    const data = packet.data.slice(payloadStart - headers, payloadStart + payloadLength);
    const name = [0, 16].map((at) => formatAddress(addresses, at, 4)).join(" ") +
      ` ${packet.sourcePort} ${packet.destinationPort}`;
    let stream = streams.get(name);
    // A SYN begins a new connection, unless it is the last one's again.
    const opens = (flags & TCP_SYN) !== 0;
    if (stream === undefined || (opens && stream.offsetOf(sequence) !== -1)) {
      stream = new Stream(opens ? (sequence + 1) >>> 0 : sequence);
      streams.set(name, stream);
    }
    const offset = stream.offsetOf(opens ? sequence + 1 : sequence);
    const payload = data.subarray(headers);
    if (payload.length > 0 && offset >= 0) stream.add(offset, payload.slice());
    packets.push({ time: packet.time, data, payloadStart: headers, stream, offset });
  });
  const first = packets[0]?.time ?? 0;
  // Whole microseconds, the file's unit, so that no gap between packets changes.
  const microseconds = (time: number) => Math.round((time - first) * 1000);
  let kept = 0;
  let zeroed = 0;
  function* records(): Generator<CaptureRecord> {
    for (const { time, data, payloadStart, stream, offset } of packets) {
      const payload = data.subarray(payloadStart);
      const gone = stream.redact(offset, payload);
      zeroed += gone;
      kept += payload.length - gone;
      finish(data);
      yield { time: SCRUBBED_EPOCH + microseconds(time) / 1000, data };
    }
  }
  const file = ReadableStream.from(records())
    .pipeThrough(encodeCapture({ format: "pcap", linkType: LinkType.raw }));
  const plain = new Uint8Array(await new Response(file).arrayBuffer());
  await writeFileAtomically(to, gzipSync(plain, { level: 9 }));
  return { packets: packets.length, leftOut, kept, zeroed };
}
