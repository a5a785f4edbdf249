import { CaptureParser } from "../../capture/capture_parser.ts";
import type { CaptureSummary } from "../../capture/capture_summary.ts";
import { encodeTcpPacket, type TcpPacket } from "../../capture/encode_tcp.ts";
import { LinkType } from "../../capture/link_type.ts";
import { type Packet, TCP_ACK } from "../../capture/packet.ts";

/** Concatenates bytes. */
export function join(
  ...parts: readonly (Uint8Array | readonly number[])[]
): Uint8Array<ArrayBuffer> {
  const size = parts.reduce((total, part) => total + part.length, 0);
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Numbers of 16 or 32 bits in one byte order. */
export class Order {
  constructor(readonly little: boolean) {}

  /** 16-bit numbers. */
  u16(...values: readonly number[]): Uint8Array<ArrayBuffer> {
    const view = new DataView(new ArrayBuffer(2 * values.length));
    values.forEach((value, i) => view.setUint16(2 * i, value, this.little));
    return new Uint8Array(view.buffer);
  }

  /** 32-bit numbers. */
  u32(...values: readonly number[]): Uint8Array<ArrayBuffer> {
    const view = new DataView(new ArrayBuffer(4 * values.length));
    values.forEach((value, i) => view.setUint32(4 * i, value, this.little));
    return new Uint8Array(view.buffer);
  }

  /** A pcapng block. */
  block(type: number, body: Uint8Array, trailer = 12 + body.length): Uint8Array<ArrayBuffer> {
    return join(this.u32(type, 12 + body.length), body, this.u32(trailer));
  }

  /** A pcapng section header block. */
  section(): Uint8Array<ArrayBuffer> {
    return this.block(
      0x0a0d0d0a,
      join(this.u32(0x1a2b3c4d), this.u16(1, 0), this.u32(0xffffffff, 0xffffffff)),
    );
  }

  /** A pcapng interface description with options as they stand. */
  interface(linkType: number, snapLength = 0, options: Uint8Array = new Uint8Array(0)) {
    return this.block(1, join(this.u16(linkType, 0), this.u32(snapLength), options));
  }

  /** A pcapng option, padded. */
  option(code: number, value: Uint8Array | readonly number[]): Uint8Array<ArrayBuffer> {
    return join(this.u16(code, value.length), value, new Uint8Array(-value.length & 3));
  }

  /** An enhanced packet block. */
  packet(
    source: number,
    ticks: bigint,
    data: Uint8Array,
    { wire = data.length, options = new Uint8Array(0) as Uint8Array } = {},
  ) {
    return this.block(
      6,
      join(
        this.u32(source, Number(ticks >> 32n), Number(ticks & 0xffffffffn), data.length, wire),
        data,
        new Uint8Array(-data.length & 3),
        options,
      ),
    );
  }

  /** A pcap file header. */
  pcap(linkType: number, magic = 0xa1b2c3d4, snapLength = 65535, minor = 4) {
    return join(this.u32(magic), this.u16(2, minor), this.u32(0, 0, snapLength, linkType));
  }

  /** A pcap record. */
  record(seconds: number, rest: number, data: Uint8Array, wire = data.length) {
    return join(this.u32(seconds, rest, data.length, wire), data);
  }
}

/** Little-endian files. */
export const LITTLE = new Order(true);
/** Big-endian files. */
export const BIG = new Order(false);

/** What tests compare of a packet: a copy, for the reader reuses its own. */
export type Seen =
  & Omit<Packet, "addresses" | "data" | "payloadStart">
  & { addresses: string; payload: string };

/** Copies a packet. */
export function seen(packet: Packet): Seen {
  const { addresses, data, payloadStart, ...rest } = packet;
  return {
    ...rest,
    addresses: packet.version === 0 ? "" : addresses.join(),
    payload: data.subarray(payloadStart, payloadStart + packet.payloadCaptured).join(),
  };
}

/** Parses a whole capture given in pieces. */
export function parse(
  pieces: readonly Uint8Array[] | Uint8Array,
  options: { comments?: boolean } = {},
): { packets: Seen[]; summary: CaptureSummary } {
  const packets: Seen[] = [];
  const parser = new CaptureParser("made.pcap", (packet) => packets.push(seen(packet)), options);
  for (const piece of pieces instanceof Uint8Array ? [pieces] : pieces) parser.push(piece);
  return { packets, summary: parser.finish() };
}

/** A data segment of 10.0.0.1:40000 to 10.0.0.2:443, changed as wanted. */
export function tcp(change: Partial<TcpPacket> = {}): TcpPacket {
  return {
    source: { address: "10.0.0.1", port: 40000 },
    destination: { address: "10.0.0.2", port: 443 },
    sequence: 1000,
    acknowledgement: 2000,
    flags: TCP_ACK,
    payload: new Uint8Array([1, 2, 3, 4, 5]),
    ...change,
  };
}

/** The same segment as an Ethernet frame. */
export function ethernet(change: Partial<TcpPacket> = {}): Uint8Array<ArrayBuffer> {
  return encodeTcpPacket(LinkType.ethernet, tcp(change));
}

/** The same segment as an IP packet. */
export function ip(change: Partial<TcpPacket> = {}): Uint8Array<ArrayBuffer> {
  return encodeTcpPacket(LinkType.raw, tcp(change));
}

/** IPv6 ends of a packet. */
export const SIX: Pick<TcpPacket, "source" | "destination"> = {
  source: { address: "2001:db8::1", port: 40000 },
  destination: { address: "2001:db8::2", port: 443 },
};
