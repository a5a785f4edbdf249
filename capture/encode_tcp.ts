import { parseAddress } from "./address.ts";
import { LinkType } from "./link_type.ts";

/** One end of a TCP connection. */
export interface Endpoint {
  /** IPv4 or IPv6 address as text; both ends of a packet have the same version. */
  readonly address: string;
  /** TCP port. */
  readonly port: number;
}

/** A TCP packet to be encoded. */
export interface TcpPacket {
  /** Who sends it. */
  readonly source: Endpoint;
  /** Who receives it. */
  readonly destination: Endpoint;
  /** TCP sequence number, unsigned 32 bits. */
  readonly sequence: number;
  /** TCP acknowledgement number, unsigned 32 bits. Default 0. */
  readonly acknowledgement?: number;
  /** TCP flags. */
  readonly flags: number;
  /** TCP window as it stands in the header. Default 65535. */
  readonly window?: number;
  /** Maximum segment size to announce: an option of 4 bytes, meant for SYNs. Default none. */
  readonly mss?: number;
  /** TCP timestamps `[value, echo]`: an option of 12 bytes with its padding. Default none. */
  readonly timestamps?: readonly [number, number];
  /** The payload, or its length where it shall be zeros. Default none. */
  readonly payload?: Uint8Array | number;
  /** IPv4 identification. Default 0. */
  readonly identification?: number;
}

/** Link types that {@linkcode encodeTcpPacket} writes. */
export type EncodedLinkType = typeof LinkType.ethernet | typeof LinkType.raw;

/** Dummy hardware addresses, locally administered: the destination's, then the source's. */
const ETHERNET_ADDRESSES = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];

/**
 * Encodes a whole frame with correct IPv4 and TCP checksums.
 *
 * Throws `TypeError` for addresses that are none or of different versions: a programming error.
 *
 * @example
 * ```ts
 * import { encodeTcpPacket } from "./encode_tcp.ts";
 * import { PacketDecoder } from "./decode.ts";
 * import { LinkType } from "./link_type.ts";
 * import { TCP_SYN } from "./packet.ts";
 * const frame = encodeTcpPacket(LinkType.ethernet, {
 *   source: { address: "10.0.0.1", port: 40000 },
 *   destination: { address: "10.0.0.2", port: 443 },
 *   sequence: 1,
 *   flags: TCP_SYN,
 *   mss: 1460,
 * });
 * const decoder = new PacketDecoder();
 * decoder.decode(LinkType.ethernet, frame, 0, frame.length, frame.length, false);
 * if (decoder.packet.destinationPort !== 443) throw new Error("not the packet that was encoded");
 * ```
 */
export function encodeTcpPacket(
  linkType: EncodedLinkType,
  packet: TcpPacket,
): Uint8Array<ArrayBuffer> {
  const source = parseAddress(packet.source.address);
  const destination = parseAddress(packet.destination.address);
  if (source === undefined || destination === undefined || source.version !== destination.version) {
    throw new TypeError(
      `not two addresses of one IP version: ${packet.source.address}, ${packet.destination.address}`,
    );
  }
  const { payload = 0, mss, timestamps } = packet;
  const payloadLength = typeof payload === "number" ? payload : payload.length;
  const tcpHeader = 20 + (mss === undefined ? 0 : 4) + (timestamps === undefined ? 0 : 12);
  const six = source.version === 6;
  const ip = linkType === LinkType.ethernet ? 14 : 0;
  const tcp = ip + (six ? 40 : 20);
  const frame = new Uint8Array(tcp + tcpHeader + payloadLength);
  const view = new DataView(frame.buffer);

  if (linkType === LinkType.ethernet) {
    frame.set(ETHERNET_ADDRESSES);
    view.setUint16(12, six ? 0x86dd : 0x0800);
  }
  const addressesAt = six ? ip + 8 : ip + 12;
  const addressLength = six ? 16 : 4;
  frame.set(source.bytes.subarray(0, addressLength), addressesAt);
  frame.set(destination.bytes.subarray(0, addressLength), addressesAt + addressLength);
  if (six) {
    frame[ip] = 0x60;
    view.setUint16(ip + 4, tcpHeader + payloadLength);
    frame[ip + 6] = 6;
    frame[ip + 7] = 64;
  } else {
    frame[ip] = 0x45;
    view.setUint16(ip + 2, 20 + tcpHeader + payloadLength);
    view.setUint16(ip + 4, packet.identification ?? 0);
    view.setUint16(ip + 6, 0x4000); // do not fragment
    frame[ip + 8] = 64;
    frame[ip + 9] = 6;
    view.setUint16(ip + 10, fold(sum(frame, ip, tcp)));
  }

  view.setUint16(tcp, packet.source.port);
  view.setUint16(tcp + 2, packet.destination.port);
  view.setUint32(tcp + 4, packet.sequence);
  view.setUint32(tcp + 8, packet.acknowledgement ?? 0);
  frame[tcp + 12] = tcpHeader << 2;
  frame[tcp + 13] = packet.flags;
  view.setUint16(tcp + 14, packet.window ?? 65535);
  let option = tcp + 20;
  if (mss !== undefined) {
    view.setUint32(option, 0x0204_0000 | mss);
    option += 4;
  }
  if (timestamps !== undefined) {
    view.setUint32(option, 0x0101_080a);
    view.setUint32(option + 4, timestamps[0]);
    view.setUint32(option + 8, timestamps[1]);
  }
  if (typeof payload !== "number") frame.set(payload, tcp + tcpHeader);
  const pseudoHeader = sum(frame, addressesAt, addressesAt + 2 * addressLength) + 6 + tcpHeader +
    payloadLength;
  view.setUint16(tcp + 16, fold(pseudoHeader + sum(frame, tcp, frame.length)));
  return frame;
}

/** Sum of 16-bit words; at most 2^16 of them, so that it stays exact. */
function sum(bytes: Uint8Array, start: number, end: number): number {
  let total = 0;
  for (let at = start; at + 1 < end; at += 2) total += bytes[at]! << 8 | bytes[at + 1]!;
  return (end - start) % 2 === 0 ? total : total + (bytes[end - 1]! << 8);
}

/** The Internet checksum (RFC 1071) of a sum. */
function fold(total: number): number {
  while (total > 0xffff) total = (total & 0xffff) + Math.floor(total / 0x10000);
  return ~total & 0xffff;
}
