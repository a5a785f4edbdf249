import { LinkType } from "./link_type.ts";
import {
  type Packet,
  PROTOCOL_FRAGMENT,
  PROTOCOL_NONE,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from "./packet.ts";

/** What a link layer's decoder answers instead of the position of an IP header. */
const NOT_IP = -1;
const CUT = -2;
const UNKNOWN_LINK = -3;
const MALFORMED = -4;

/** Nested tunnels that are followed; deeper packets are described by the last one reached. */
const MAX_TUNNELS = 8;

/** The byte order of this machine's typed arrays. */
const LITTLE_ENDIAN = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1;

/** The longest IP packet believed of a record that seems to hold headers only: a jumbo frame. */
const MAX_PLAUSIBLE_MTU = 9216;

/** What became of the packets given to a {@linkcode PacketDecoder}; each counter is of packets. */
export interface DecodeCounts {
  /** With a readable IP header. */
  ip: number;
  /** TCP whose ports, numbers and lengths are valid. */
  tcp: number;
  /** UDP likewise. */
  udp: number;
  /** IP fragments, skipped: a first fragment's payload is not whole and the others have no ports. */
  fragments: number;
  /** Not IP: ARP, spanning tree, ... */
  notIp: number;
  /** Of a link type that is not read. */
  unknownLink: number;
  /** Cut by the snap length before the end of the headers. */
  cut: number;
  /** Headers that contradict themselves or the frame. */
  malformed: number;
}

/** Skips the fields of a PPP frame; `at` is at its address field or protocol. */
function ppp(data: Uint8Array, at: number, end: number): number {
  if (at + 2 > end) return CUT;
  if (data[at] === 0xff && data[at + 1] === 0x03) at += 2;
  if (at + 2 > end) return CUT;
  let protocol = data[at]!;
  // A protocol field may be compressed to one byte, which is odd (RFC 1661, section 6.5).
  if ((protocol & 1) === 1) at += 1;
  else {
    protocol = protocol << 8 | data[at + 1]!;
    at += 2;
  }
  if (protocol === 0x21 || protocol === 0x57) return at;
  if (protocol === 0x281 || protocol === 0x283) return mpls(data, at, end);
  return NOT_IP;
}

/** Skips MPLS labels; what follows has no type, so its first four bits decide. */
function mpls(data: Uint8Array, at: number, end: number): number {
  for (;;) {
    if (at + 4 > end) return CUT;
    const bottom = (data[at + 2]! & 1) === 1;
    at += 4;
    if (bottom) break;
  }
  if (at >= end) return CUT;
  const version = data[at]! >> 4;
  return version === 4 || version === 6 ? at : NOT_IP;
}

/** Follows EtherTypes from the one at `at`, through VLAN tags, SNAP, MPLS and PPPoE. */
function etherType(data: Uint8Array, at: number, end: number): number {
  for (;;) {
    if (at + 2 > end) return CUT;
    const type = data[at]! << 8 | data[at + 1]!;
    at += 2;
    switch (type) {
      case 0x0800:
      case 0x86dd:
        return at;
      case 0x8100:
      case 0x88a8:
      case 0x9100:
      case 0x9200:
      case 0x9300:
        at += 2;
        break;
      case 0x8847:
      case 0x8848:
        return mpls(data, at, end);
      case 0x8864:
        return ppp(data, at + 6, end);
      default:
        if (type >= 0x600) return NOT_IP;
        // IEEE 802.3 with LLC: a SNAP header carries an EtherType, SAP 6 is IP.
        if (at + 3 > end) return CUT;
        if (data[at] === 0x06 && data[at + 1] === 0x06) return at + 3;
        if (data[at] !== 0xaa || data[at + 1] !== 0xaa) return NOT_IP;
        at += 6;
    }
  }
}

/** IPv4 or IPv6 behind four bytes of address family in either byte order. */
function addressFamily(data: Uint8Array, at: number, end: number): number {
  if (at + 4 > end) return CUT;
  const low = data[at]! | data[at + 1]! << 8;
  const high = data[at + 2]! | data[at + 3]! << 8;
  const family = high === 0 ? low : low === 0 ? data[at + 2]! << 8 | data[at + 3]! : -1;
  switch (family) {
    case 2:
    // IPv6 has another number on Linux, Windows, the BSDs, FreeBSD and macOS.
    case 10:
    case 23:
    case 24:
    case 28:
    case 30:
      return at + 4;
    default:
      return NOT_IP;
  }
}

/** Position of the IP header in a frame of `linkType`, or why there is none. */
function linkLayer(linkType: number, data: Uint8Array, at: number, end: number): number {
  switch (linkType) {
    case LinkType.ethernet:
      return at + 14 > end ? CUT : etherType(data, at + 12, end);
    case LinkType.raw:
    case LinkType.rawFreeBsd:
    case LinkType.rawOpenBsd:
    case LinkType.ipv4:
    case LinkType.ipv6:
      return at;
    case LinkType.linuxCooked:
      return at + 16 > end ? CUT : etherType(data, at + 14, end);
    case LinkType.linuxCooked2: {
      if (at + 20 > end) return CUT;
      const type = data[at]! << 8 | data[at + 1]!;
      // The EtherType stands in front of the header; a tagged or labelled payload follows it.
      if (type === 0x0800 || type === 0x86dd) return at + 20;
      if (type === 0x8847 || type === 0x8848) return mpls(data, at + 20, end);
      if (type === 0x8864) return ppp(data, at + 26, end);
      if (type === 0x8100 || type === 0x88a8) return etherType(data, at + 22, end);
      return NOT_IP;
    }
    case LinkType.null:
    case LinkType.loop:
      return addressFamily(data, at, end);
    case LinkType.ppp:
    case LinkType.pppHdlc:
    case LinkType.pppd:
      return ppp(data, at, end);
    case LinkType.pppWithDirection:
      return ppp(data, at + 1, end);
    case LinkType.pppoe:
      return ppp(data, at + 6, end);
    case LinkType.ciscoHdlc:
      return at + 4 > end ? CUT : etherType(data, at + 2, end);
    default:
      return UNKNOWN_LINK;
  }
}

/** Position of the IP header inside a GRE packet (RFC 2784, 2890; version 1: RFC 2637). */
function gre(data: Uint8Array, at: number, end: number): number {
  if (at + 4 > end) return CUT;
  const flags = data[at]! << 8 | data[at + 1]!;
  if ((flags & 0x4000) !== 0) return NOT_IP;
  const type = data[at + 2]! << 8 | data[at + 3]!;
  let next = at + 4;
  if ((flags & 0x8000) !== 0) next += 4;
  if ((flags & 0x2000) !== 0) next += 4;
  if ((flags & 0x1000) !== 0) next += 4;
  if ((flags & 7) === 1 && (flags & 0x80) !== 0) next += 4;
  switch (type) {
    case 0x0800:
    case 0x86dd:
      return next;
    case 0x6558:
      return linkLayer(LinkType.ethernet, data, next, end);
    case 0x8847:
    case 0x8848:
      return mpls(data, next, end);
    case 0x880b:
      return ppp(data, next, end);
    default:
      return NOT_IP;
  }
}

/**
 * Decodes one packet after the other into the same {@linkcode Packet}: link layer, IPv4 or IPv6 with
 * options and extension headers, TCP or UDP. Allocates nothing per packet, checks every length before
 * it reads, and never throws. Checksums are not verified: a capture on the sending host has them unset.
 *
 * Lengths come from the IP header. Where that says more than the frame held on the wire (and the
 * packet was not cut), the frame's length counts and the packet is also counted as malformed; where it
 * says 0 (segmentation offload), the frame's length counts.
 *
 * @example
 * ```ts
 * import { PacketDecoder } from "./decode.ts";
 * import { LinkType } from "./link_type.ts";
 * const decoder = new PacketDecoder();
 * decoder.decode(LinkType.raw, new Uint8Array([0x45, 0, 0]), 0, 3, 40, false);
 * if (decoder.packet.version !== 0 || decoder.counts.cut !== 1) throw new Error("not cut?");
 * ```
 */
export class PacketDecoder {
  /** The record that every call fills again. */
  readonly packet: Packet = {
    index: 0,
    time: 0,
    version: 0,
    protocol: PROTOCOL_NONE,
    addresses: new Uint8Array(32),
    sourcePort: 0,
    destinationPort: 0,
    sequence: 0,
    acknowledgement: 0,
    flags: 0,
    payloadLength: 0,
    ipLength: 0,
    wireLength: 0,
    data: new Uint8Array(0),
    payloadStart: 0,
    payloadCaptured: 0,
    comment: "",
  };
  /** What became of the packets so far. */
  readonly counts: DecodeCounts = {
    ip: 0,
    tcp: 0,
    udp: 0,
    fragments: 0,
    notIp: 0,
    unknownLink: 0,
    cut: 0,
    malformed: 0,
  };

  /** `packet.data`; the packets of a chunk share it. */
  #view = new DataView(this.packet.data.buffer);
  /** `packet.addresses`, four bytes at once as they stand. */
  readonly #addressWords = new Int32Array(this.packet.addresses.buffer);

  // Where the IP payload starts and ends by the header that #ipHeader read last.
  #payload = 0;
  #ipEnd = 0;
  #fragment = false;
  #overlong = false;
  #addressesHold6 = false;

  /**
   * Decodes the frame in `data[start, end)`. `wireLength` is its length before the snap length cut it;
   * `atSnapLength` tells that it is exactly as long as the longest record that the recorder kept.
   */
  decode(
    linkType: number,
    data: Uint8Array,
    start: number,
    end: number,
    wireLength: number,
    atSnapLength: boolean,
  ): void {
    const packet = this.packet;
    const counts = this.counts;
    packet.version = 0;
    packet.protocol = PROTOCOL_NONE;
    packet.sourcePort = 0;
    packet.destinationPort = 0;
    packet.sequence = 0;
    packet.acknowledgement = 0;
    packet.flags = 0;
    packet.payloadLength = 0;
    packet.payloadCaptured = 0;
    packet.ipLength = 0;
    if (packet.data !== data) {
      packet.data = data;
      this.#view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    }
    packet.payloadStart = start;

    const captured = end - start;
    const wire = wireLength > captured ? wireLength : captured;
    const wireEnd = start + wire;
    const isCut = wire > captured;
    packet.wireLength = wire;

    const at = linkLayer(linkType, data, start, end);
    let outcome = at < 0 ? at : this.#ipHeader(data, at, end, wireEnd, isCut, atSnapLength);
    if (outcome < 0) {
      if (outcome === NOT_IP) counts.notIp++;
      else if (outcome === UNKNOWN_LINK) counts.unknownLink++;
      else if (outcome === CUT && (isCut || atSnapLength)) counts.cut++;
      else counts.malformed++;
      return;
    }
    counts.ip++;
    let protocol = outcome;
    for (let depth = 0; depth < MAX_TUNNELS && !this.#fragment; depth++) {
      if (protocol !== 4 && protocol !== 41 && protocol !== 47) break;
      const ipEnd = this.#ipEnd;
      const bound = end < ipEnd ? end : ipEnd;
      const inner = protocol === 47 ? gre(data, this.#payload, bound) : this.#payload;
      if (inner < 0) break;
      outcome = this.#ipHeader(data, inner, bound, ipEnd, isCut, atSnapLength);
      if (outcome < 0) break;
      protocol = outcome;
    }
    if (this.#overlong) counts.malformed++;
    this.#overlong = false;
    if (this.#fragment) {
      packet.protocol = PROTOCOL_FRAGMENT;
      counts.fragments++;
      return;
    }
    this.#transport(protocol, data, end, isCut || atSnapLength);
  }

  /**
   * Reads the IP header at `at` into the packet and returns the protocol behind it (extension headers
   * skipped), or a negative outcome, in which case the packet is left as it was.
   */
  #ipHeader(
    data: Uint8Array,
    at: number,
    end: number,
    wireEnd: number,
    isCut: boolean,
    atSnapLength: boolean,
  ): number {
    if (at >= end) return CUT;
    const packet = this.packet;
    const addresses = packet.addresses;
    const version = data[at]! >> 4;
    if (version === 4) {
      if (at + 20 > end) return CUT;
      const headerLength = (data[at]! & 15) << 2;
      if (headerLength < 20) return MALFORMED;
      let length = data[at + 2]! << 8 | data[at + 3]!;
      if (length === 0) length = wireEnd - at;
      if (length < headerLength) return MALFORMED;
      length = this.#plausible(length, at, headerLength, end, wireEnd, isCut, atSnapLength);
      packet.version = 4;
      packet.ipLength = length;
      if (this.#addressesHold6) {
        addresses.fill(0);
        this.#addressesHold6 = false;
      }
      const words = this.#addressWords;
      words[0] = this.#view.getInt32(at + 12, LITTLE_ENDIAN);
      words[4] = this.#view.getInt32(at + 16, LITTLE_ENDIAN);
      this.#fragment = ((data[at + 6]! & 0x3f) | data[at + 7]!) !== 0;
      this.#ipEnd = at + length;
      const protocol = data[at + 9]!;
      if (protocol !== 51 || this.#fragment) {
        this.#payload = at + headerLength;
        return protocol;
      }
      return this.#extensionHeaders(data, at + headerLength, end, protocol);
    }
    if (version === 6) {
      if (at + 40 > end) return CUT;
      const stated = data[at + 4]! << 8 | data[at + 5]!;
      let length = stated === 0 && data[at + 6] !== 59 ? wireEnd - at : 40 + stated;
      length = this.#plausible(length, at, 40, end, wireEnd, isCut, atSnapLength);
      packet.version = 6;
      packet.ipLength = length;
      for (let i = 0; i < 8; i++) {
        this.#addressWords[i] = this.#view.getInt32(at + 8 + 4 * i, LITTLE_ENDIAN);
      }
      this.#addressesHold6 = true;
      this.#fragment = false;
      this.#ipEnd = at + length;
      return this.#extensionHeaders(data, at + 40, end, data[at + 6]!);
    }
    return MALFORMED;
  }

  /** The IP length, or the frame's where the header claims more than was on the wire. */
  #plausible(
    length: number,
    at: number,
    headerLength: number,
    end: number,
    wireEnd: number,
    isCut: boolean,
    atSnapLength: boolean,
  ): number {
    const wire = wireEnd - at;
    if (length <= wire) return length;
    // Some recorders of header-only traces store the cut length as the wire's length too.
    const headersOnly = end <= at + headerLength + 60 && length <= MAX_PLAUSIBLE_MTU;
    if (!isCut && (atSnapLength || headersOnly)) return length;
    this.#overlong = true;
    return wire;
  }

  /** Skips IPv6 extension headers and AH; returns the protocol behind them. */
  #extensionHeaders(data: Uint8Array, at: number, end: number, protocol: number): number {
    for (;;) {
      switch (protocol) {
        case 0: // hop-by-hop options
        case 43: // routing
        case 60: // destination options
        case 135: // mobility
        case 139: // HIP
        case 140: // shim6
          if (at + 2 > end) return this.#noTransport(at);
          protocol = data[at]!;
          at += (data[at + 1]! + 1) << 3;
          break;
        case 51: // authentication
          if (at + 2 > end) return this.#noTransport(at);
          protocol = data[at]!;
          at += (data[at + 1]! + 2) << 2;
          break;
        case 44: { // fragment
          if (at + 8 > end) return this.#noTransport(at);
          if ((data[at + 2]! | data[at + 3]! & 0xf9) !== 0) {
            this.#fragment = true;
            this.#payload = at;
            return protocol;
          }
          protocol = data[at]!; // an atomic fragment (RFC 6946) is a whole packet
          at += 8;
          break;
        }
        default:
          this.#payload = at;
          return protocol;
      }
    }
  }

  /** The packet ended inside its extension headers. */
  #noTransport(at: number): number {
    this.#payload = at;
    return PROTOCOL_NONE;
  }

  #transport(protocol: number, data: Uint8Array, end: number, mayBeCut: boolean): void {
    const packet = this.packet;
    const counts = this.counts;
    const at = this.#payload;
    const ipEnd = this.#ipEnd;
    const bound = end < ipEnd ? end : ipEnd;
    let headerLength = 0;
    if (protocol === PROTOCOL_TCP) {
      if (at + 20 > bound) {
        if (at + 20 <= ipEnd && mayBeCut) counts.cut++;
        else counts.malformed++;
        return;
      }
      headerLength = data[at + 12]! >> 4 << 2;
      if (headerLength < 20 || at + headerLength > ipEnd) {
        counts.malformed++;
        return;
      }
      packet.sequence = this.#view.getUint32(at + 4);
      packet.acknowledgement = this.#view.getUint32(at + 8);
      packet.flags = data[at + 13]!;
      counts.tcp++;
    } else if (protocol === PROTOCOL_UDP) {
      if (at + 8 > bound) {
        if (at + 8 <= ipEnd && mayBeCut) counts.cut++;
        else counts.malformed++;
        return;
      }
      headerLength = 8;
      counts.udp++;
    } else if (protocol === PROTOCOL_NONE) {
      if (mayBeCut) counts.cut++;
      else counts.malformed++;
      return;
    }
    packet.protocol = protocol;
    if (headerLength !== 0) {
      packet.sourcePort = data[at]! << 8 | data[at + 1]!;
      packet.destinationPort = data[at + 2]! << 8 | data[at + 3]!;
    }
    const payload = at + headerLength;
    packet.payloadStart = payload < bound ? payload : bound;
    packet.payloadLength = ipEnd > payload ? ipEnd - payload : 0;
    packet.payloadCaptured = bound > payload ? bound - payload : 0;
  }
}
