import { DamagedCaptureError, NotACaptureError, TruncatedCaptureError } from "./capture_error.ts";
import type { CaptureInterface, CaptureSummary } from "./capture_summary.ts";
import { PacketDecoder } from "./decode.ts";
import { LinkType } from "./link_type.ts";
import type { Packet } from "./packet.ts";

/** Longest packet record that is believed, in bytes: the limit of libpcap and Wireshark. */
export const MAX_PACKET_BYTES = 262_144;

/** Longest block that is held in memory: a packet and its options. Other blocks are skipped. */
const MAX_BLOCK_BYTES = 1 << 20;

/** Interfaces that one file may describe: a bound on memory. */
const MAX_INTERFACES = 65_536;

const BLOCK_SECTION = 0x0a0d0d0a;
const BLOCK_INTERFACE = 1;
const BLOCK_PACKET = 2;
const BLOCK_SIMPLE_PACKET = 3;
const BLOCK_ENHANCED_PACKET = 6;
const OPTION_COMMENT = 1;
const OPTION_TSRESOL = 9;
const OPTION_TSOFFSET = 14;

/** Snoop data link types (RFC 1761) as link types of pcap files. */
const SNOOP_LINK_TYPES = new Map([[2, 6], [4, LinkType.ethernet], [9, LinkType.ppp]]);

/** Compressed formats that are refused by name; gzip is undone before the parser. */
const COMPRESSED: readonly [string, readonly number[]][] = [
  ["zstd", [0x28, 0xb5, 0x2f, 0xfd]],
  ["xz", [0xfd, 0x37, 0x7a, 0x58]],
  ["bzip2", [0x42, 0x5a, 0x68]],
  ["lz4", [0x04, 0x22, 0x4d, 0x18]],
  ["zip", [0x50, 0x4b, 0x03, 0x04]],
  ["gzip", [0x1f, 0x8b]],
];

interface Interface extends CaptureInterface {
  /** Units of time in a second. */
  readonly ticks: number;
  /** Seconds to add to each time. */
  readonly offset: number;
}

type Format = "unknown" | "pcap" | "pcapng" | "snoop";

const text = new TextDecoder();

/** Options of a {@linkcode CaptureParser}. */
export interface CaptureParserOptions {
  /** Fill `packet.comment` from pcapng comments; off by default, for it allocates a string. */
  readonly comments?: boolean;
}

/**
 * Turns the bytes of a capture, in chunks of any size, into packets: pcap (microseconds, nanoseconds,
 * Kuznetzov's modified form), pcapng and snoop, in both byte orders. Synchronous; allocates nothing per
 * packet; holds at most one record (1 MiB) between chunks.
 *
 * `push` throws {@linkcode NotACaptureError} or {@linkcode DamagedCaptureError} and
 * `finish` {@linkcode TruncatedCaptureError}; the packets before were delivered.
 *
 * @example
 * ```ts
 * import { CaptureParser } from "./capture_parser.ts";
 * const header = new Uint8Array(24);
 * new DataView(header.buffer).setUint32(0, 0xa1b2c3d4);
 * header[5] = 2; // version 2.4
 * header[7] = 4;
 * header[23] = 1; // Ethernet
 * let packets = 0;
 * const parser = new CaptureParser("empty.pcap", () => packets++);
 * parser.push(header);
 * if (parser.finish().packets !== packets) throw new Error("packets out of nowhere");
 * ```
 */
export class CaptureParser {
  readonly #name: string;
  readonly #sink: (packet: Packet) => void;
  readonly #comments: boolean;
  readonly #decoder = new PacketDecoder();

  #format: Format = "unknown";
  #littleEndian = true;
  // pcap: size of a record's header, and units of its second time field in a millisecond.
  #recordHeader = 16;
  #subsecondsPerMs = 1000;
  #swappedLengths: "no" | "yes" | "maybe" = "no";
  // pcapng: interfaces of this section, and of the file.
  #interfaces: Interface[] = [];
  readonly #allInterfaces: Interface[] = [];

  // Bytes of an incomplete record, kept until the next chunk.
  #carry: Uint8Array = new Uint8Array(4096);
  #carried = 0;
  // Bytes that must be there, from the first unread one, before parsing can go on.
  #need = 4;
  // Bytes of an unread block that are still to be dropped.
  #skip = 0;
  // Absolute offset of the first byte not yet parsed.
  #offset = 0;

  #packets = 0;
  #untimed = 0;
  #backwards = 0;
  #firstTime = Infinity;
  #lastTime = -Infinity;
  #previousTime = -Infinity;

  /** `name` is the file's, for messages; `sink` gets each packet, the same object every time. */
  constructor(name: string, sink: (packet: Packet) => void, options: CaptureParserOptions = {}) {
    this.#name = name;
    this.#sink = sink;
    this.#comments = options.comments ?? false;
  }

  /** Reads the next bytes; `chunk` may be reused by the caller afterwards. */
  push(chunk: Uint8Array): void {
    let at = 0;
    const end = chunk.length;
    while (at < end) {
      if (this.#skip > 0) {
        const dropped = Math.min(this.#skip, end - at);
        this.#skip -= dropped;
        this.#offset += dropped;
        at += dropped;
        continue;
      }
      if (this.#carried === 0) {
        const parsed = this.#parse(chunk, at, end);
        this.#offset += parsed - at;
        at = parsed;
        if (this.#skip > 0) continue;
        this.#keep(chunk, at, end);
        return;
      }
      // Complete what the last chunk left, by no more than it needs: the rest is parsed in place.
      const missing = this.#need - this.#carried;
      const taken = Math.min(missing, end - at);
      this.#keep(chunk, at, at + taken);
      at += taken;
      if (taken < missing) return;
      const parsed = this.#parse(this.#carry, 0, this.#carried);
      this.#drop(parsed);
      if (this.#skip > 0) {
        const skipped = Math.min(this.#skip, this.#carried);
        this.#skip -= skipped;
        this.#drop(skipped);
      }
    }
  }

  /** Ends the capture; throws if it was cut short or empty. */
  finish(): CaptureSummary {
    if (this.#format === "unknown") {
      if (this.#offset + this.#carried === 0) {
        throw new NotACaptureError(this.#name, "the file is empty, not a capture");
      }
      this.#refuse(this.#carry, 0, this.#carried);
    }
    if (this.#allInterfaces.length === 0 && this.#format !== "pcapng") {
      throw new TruncatedCaptureError(this.#name, "cut short in the file header", this.#carried);
    }
    if (this.#carried > 0 || this.#skip > 0) {
      throw new TruncatedCaptureError(
        this.#name,
        `cut short in the middle of a packet, after ${this.#packets} whole packets`,
        this.#offset,
      );
    }
    return this.summary();
  }

  /** What was read so far; also valid after an error. */
  summary(): CaptureSummary {
    return {
      name: this.#name,
      format: this.#format === "unknown" ? "pcap" : this.#format,
      bytes: this.#offset + this.#carried,
      packets: this.#packets,
      ...this.#decoder.counts,
      untimed: this.#untimed,
      backwards: this.#backwards,
      firstTime: this.#firstTime === Infinity ? undefined : this.#firstTime,
      lastTime: this.#lastTime === -Infinity ? undefined : this.#lastTime,
      interfaces: this.#allInterfaces.map(({ linkType, snapLength, packets }) => ({
        linkType,
        snapLength,
        packets,
      })),
      truncatedAt: this.#carried > 0 || this.#skip > 0 ? this.#offset : undefined,
    };
  }

  /** Forgets the first bytes of an incomplete record. */
  #drop(bytes: number): void {
    this.#offset += bytes;
    this.#carry.copyWithin(0, bytes, this.#carried);
    this.#carried -= bytes;
  }

  #keep(bytes: Uint8Array, start: number, end: number): void {
    const size = this.#carried + end - start;
    if (size > this.#carry.length) {
      const larger = new Uint8Array(Math.max(size, 2 * this.#carry.length));
      larger.set(this.#carry.subarray(0, this.#carried));
      this.#carry = larger;
    }
    this.#carry.set(bytes.subarray(start, end), this.#carried);
    this.#carried = size;
  }

  /** Parses what is whole in `bytes[start, end)` and returns where it stopped. */
  #parse(bytes: Uint8Array, start: number, end: number): number {
    let at = start;
    if (this.#format === "unknown") {
      if (end - at < this.#need) return at;
      this.#recognise(bytes, at, end);
    }
    // The file headers of pcap and snoop; pcapng starts with an ordinary block.
    if (this.#format !== "pcapng" && this.#allInterfaces.length === 0) {
      this.#need = this.#format === "pcap" ? 24 : 16;
      if (end - at < this.#need) return at;
      if (this.#format === "pcap") this.#pcapHeader(bytes, at);
      else this.#snoopHeader(bytes, at);
      at += this.#need;
    }
    switch (this.#format) {
      case "pcap":
        return this.#pcapRecords(bytes, at, start, end);
      case "snoop":
        return this.#snoopRecords(bytes, at, start, end);
      default:
        return this.#blocks(bytes, at, start, end);
    }
  }

  #recognise(bytes: Uint8Array, at: number, end: number): void {
    const big = u32(bytes, at, false);
    const little = u32(bytes, at, true);
    if (big === BLOCK_SECTION) this.#format = "pcapng";
    else if (big === 0x736e6f6f) this.#format = "snoop";
    else {
      for (const [magic, littleEndian] of [[big, false], [little, true]] as const) {
        if (magic !== 0xa1b2c3d4 && magic !== 0xa1b23c4d && magic !== 0xa1b2cd34) continue;
        this.#format = "pcap";
        this.#littleEndian = littleEndian;
        this.#subsecondsPerMs = magic === 0xa1b23c4d ? 1e6 : 1e3;
        this.#recordHeader = magic === 0xa1b2cd34 ? 24 : 16;
      }
      if (this.#format === "unknown") this.#refuse(bytes, at, end);
    }
  }

  #refuse(bytes: Uint8Array, at: number, end: number): never {
    // Four bytes, so that the answer does not depend on how the bytes are cut into chunks.
    end = Math.min(end, at + 4);
    const known = "pcap, pcapng and snoop files are read, also gzipped";
    for (const [name, magic] of COMPRESSED) {
      if (magic.every((byte, i) => at + i < end && bytes[at + i] === byte)) {
        throw new NotACaptureError(
          this.#name,
          `compressed with ${name}: decompress it first (${known})`,
        );
      }
    }
    let printable = end > at;
    for (let i = at; i < end; i++) {
      const byte = bytes[i]!;
      if (byte < 9 || byte > 126 || byte > 13 && byte < 32) printable = false;
    }
    const what = printable ? "a text file, not a capture" : "not a capture";
    throw new NotACaptureError(this.#name, `${what} (${known})`);
  }

  #damaged(what: string, at: number, start: number): never {
    throw new DamagedCaptureError(
      this.#name,
      `damaged: ${what}, after ${this.#packets} packets`,
      this.#offset + at - start,
    );
  }

  #pcapHeader(bytes: Uint8Array, at: number): void {
    const little = this.#littleEndian;
    const major = u16(bytes, at + 4, little);
    const minor = u16(bytes, at + 6, little);
    if (major !== 2) {
      throw new NotACaptureError(
        this.#name,
        `pcap version ${major}.${minor} is not read, only version 2`,
      );
    }
    // Until version 2.3 the two lengths of a record stood the other way round; 2.3 was written both ways.
    this.#swappedLengths = minor < 3 ? "yes" : minor === 3 ? "maybe" : "no";
    this.#allInterfaces.push({
      snapLength: u32(bytes, at + 16, little),
      // The upper half tells of a frame check sequence, which needs no treatment: lengths are IP's.
      linkType: u32(bytes, at + 20, little) & 0xffff,
      packets: 0,
      ticks: 1e3 * this.#subsecondsPerMs,
      offset: 0,
    });
  }

  #pcapRecords(bytes: Uint8Array, at: number, start: number, end: number): number {
    const little = this.#littleEndian;
    const header = this.#recordHeader;
    const perMs = this.#subsecondsPerMs;
    const source = this.#allInterfaces[0]!;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#need = header;
    while (end - at >= header) {
      const time = view.getUint32(at, little) * 1000 + view.getUint32(at + 4, little) / perMs;
      let captured = view.getUint32(at + 8, little);
      let wire = view.getUint32(at + 12, little);
      if (
        this.#swappedLengths === "yes" || this.#swappedLengths === "maybe" && captured > wire
      ) {
        [captured, wire] = [wire, captured];
      }
      if (captured > MAX_PACKET_BYTES) {
        this.#damaged(`a packet of ${captured} bytes`, at, start);
      }
      const next = at + header + captured;
      if (next > end) {
        this.#need = header + captured;
        return at;
      }
      this.#emit(source, time, bytes, at + header, next, wire);
      at = next;
    }
    return at;
  }

  #snoopHeader(bytes: Uint8Array, at: number): void {
    const version = u32(bytes, at + 8, false);
    if (u32(bytes, at + 4, false) !== 0x70000000 || version !== 2) {
      throw new NotACaptureError(this.#name, `snoop version ${version} is not read, only 2`);
    }
    const linkType = u32(bytes, at + 12, false);
    this.#allInterfaces.push({
      snapLength: 0,
      linkType: SNOOP_LINK_TYPES.get(linkType) ?? 0x10000 + linkType,
      packets: 0,
      ticks: 1e6,
      offset: 0,
    });
  }

  #snoopRecords(bytes: Uint8Array, at: number, start: number, end: number): number {
    const source = this.#allInterfaces[0]!;
    this.#need = 24;
    while (end - at >= 24) {
      const wire = u32(bytes, at, false);
      const captured = u32(bytes, at + 4, false);
      const record = u32(bytes, at + 8, false);
      if (record < 24 + captured || record > MAX_PACKET_BYTES) {
        this.#damaged(`a record of ${record} bytes for a packet of ${captured}`, at, start);
      }
      if (end - at < record) {
        this.#need = record;
        return at;
      }
      const time = u32(bytes, at + 16, false) * 1000 + u32(bytes, at + 20, false) / 1000;
      this.#emit(source, time, bytes, at + 24, at + 24 + captured, wire);
      at += record;
    }
    return at;
  }

  #blocks(bytes: Uint8Array, at: number, start: number, end: number): number {
    this.#need = 12;
    while (end - at >= 12) {
      const little = this.#littleEndian;
      const type = u32(bytes, at, little);
      if (type === BLOCK_SECTION) this.#sectionOrder(bytes, at, start);
      const length = u32(bytes, at + 4, this.#littleEndian);
      if (length < 12 || length % 4 !== 0) {
        this.#damaged(`a block of ${length} bytes`, at, start);
      }
      const kept = type === BLOCK_SECTION || type === BLOCK_INTERFACE || type === BLOCK_PACKET ||
        type === BLOCK_SIMPLE_PACKET || type === BLOCK_ENHANCED_PACKET;
      if (length > MAX_BLOCK_BYTES) {
        if (kept) this.#damaged(`a block of ${length} bytes`, at, start);
        this.#skip = length;
        return at;
      }
      if (end - at < length) {
        this.#need = length;
        return at;
      }
      if (u32(bytes, at + length - 4, this.#littleEndian) !== length) {
        this.#damaged(`a block whose two lengths differ`, at, start);
      }
      switch (type) {
        case BLOCK_SECTION:
          this.#section(bytes, at, length, start);
          break;
        case BLOCK_INTERFACE:
          this.#interface(bytes, at, length, start);
          break;
        case BLOCK_SIMPLE_PACKET:
          this.#simplePacket(bytes, at, length, start);
          break;
        case BLOCK_PACKET:
        case BLOCK_ENHANCED_PACKET:
          this.#packet(bytes, at, length, type, start);
          break;
      }
      at += length;
    }
    return at;
  }

  /** The byte order may change with each section; its block type reads the same in both. */
  #sectionOrder(bytes: Uint8Array, at: number, start: number): void {
    const magic = u32(bytes, at + 8, true);
    if (magic === 0x1a2b3c4d) this.#littleEndian = true;
    else if (magic === 0x4d3c2b1a) this.#littleEndian = false;
    else this.#damaged("a section of unknown byte order", at, start);
  }

  #section(bytes: Uint8Array, at: number, length: number, start: number): void {
    if (length < 28) this.#damaged(`a section header of ${length} bytes`, at, start);
    const major = u16(bytes, at + 12, this.#littleEndian);
    if (major !== 1) this.#damaged(`a section of pcapng version ${major}`, at, start);
    this.#interfaces = [];
  }

  #interface(bytes: Uint8Array, at: number, length: number, start: number): void {
    if (length < 20) this.#damaged(`an interface description of ${length} bytes`, at, start);
    if (this.#allInterfaces.length >= MAX_INTERFACES) {
      this.#damaged(`more than ${MAX_INTERFACES} interfaces`, at, start);
    }
    const little = this.#littleEndian;
    let ticks = 1e6;
    let offset = 0;
    const end = at + length - 4;
    for (let option = at + 16; option + 4 <= end;) {
      const code = u16(bytes, option, little);
      const size = u16(bytes, option + 2, little);
      const value = option + 4;
      if (code === 0) break;
      if (value + size > end) {
        this.#damaged(`an option of an interface that runs over its block`, option, start);
      }
      if (code === OPTION_TSRESOL && size >= 1) {
        const exponent = bytes[value]! & 0x7f;
        ticks = (bytes[value]! & 0x80) === 0 ? 10 ** exponent : 2 ** exponent;
      } else if (code === OPTION_TSOFFSET && size >= 8) {
        const high = u32(bytes, value + (little ? 4 : 0), little) | 0;
        const low = u32(bytes, value + (little ? 0 : 4), little);
        offset = high * 4294967296 + low;
      }
      option = value + (size + 3 & ~3);
    }
    const source = {
      linkType: u16(bytes, at + 8, little),
      snapLength: u32(bytes, at + 12, little),
      packets: 0,
      ticks,
      offset,
    };
    this.#interfaces.push(source);
    this.#allInterfaces.push(source);
  }

  #simplePacket(bytes: Uint8Array, at: number, length: number, start: number): void {
    const source = this.#interfaces[0];
    if (source === undefined) this.#damaged("a packet of no interface", at, start);
    if (length < 16) this.#damaged(`a packet block of ${length} bytes`, at, start);
    const wire = u32(bytes, at + 8, this.#littleEndian);
    let captured = Math.min(wire, length - 16);
    if (source.snapLength > 0) captured = Math.min(captured, source.snapLength);
    this.#untimed++;
    this.#decoder.packet.comment = "";
    this.#emit(source, undefined, bytes, at + 12, at + 12 + captured, wire);
  }

  #packet(bytes: Uint8Array, at: number, length: number, type: number, start: number): void {
    if (length < 32) this.#damaged(`a packet block of ${length} bytes`, at, start);
    const little = this.#littleEndian;
    const index = type === BLOCK_PACKET ? u16(bytes, at + 8, little) : u32(bytes, at + 8, little);
    const source = this.#interfaces[index];
    if (source === undefined) {
      this.#damaged(`a packet of interface ${index}, which is not described`, at, start);
    }
    const captured = u32(bytes, at + 20, little);
    if (captured > length - 32) {
      this.#damaged(`a packet of ${captured} bytes in a block of ${length}`, at, start);
    }
    const wire = u32(bytes, at + 24, little);
    const time = milliseconds(
      u32(bytes, at + 12, little),
      u32(bytes, at + 16, little),
      source.ticks,
    ) + source.offset * 1000;
    const data = at + 28;
    if (this.#comments) {
      this.#decoder.packet.comment = this.#comment(
        bytes,
        data + (captured + 3 & ~3),
        at + length - 4,
      );
    }
    this.#emit(source, time, bytes, data, data + captured, wire);
  }

  #comment(bytes: Uint8Array, option: number, end: number): string {
    const little = this.#littleEndian;
    while (option + 4 <= end) {
      const code = u16(bytes, option, little);
      const size = u16(bytes, option + 2, little);
      if (code === 0 || option + 4 + size > end) break;
      if (code === OPTION_COMMENT) {
        return text.decode(bytes.subarray(option + 4, option + 4 + size));
      }
      option += 4 + (size + 3 & ~3);
    }
    return "";
  }

  #emit(
    source: Interface,
    time: number | undefined,
    bytes: Uint8Array,
    start: number,
    end: number,
    wire: number,
  ): void {
    const decoder = this.#decoder;
    const packet = decoder.packet;
    if (time === undefined) time = this.#previousTime === -Infinity ? 0 : this.#previousTime;
    else {
      if (time < this.#previousTime) this.#backwards++;
      if (time < this.#firstTime) this.#firstTime = time;
      if (time > this.#lastTime) this.#lastTime = time;
      this.#previousTime = time;
    }
    packet.index = this.#packets++;
    packet.time = time;
    source.packets++;
    decoder.decode(source.linkType, bytes, start, end, wire, end - start === source.snapLength);
    this.#sink(packet);
  }
}

function u16(bytes: Uint8Array, at: number, little: boolean): number {
  return little ? bytes[at]! | bytes[at + 1]! << 8 : bytes[at]! << 8 | bytes[at + 1]!;
}

function u32(bytes: Uint8Array, at: number, little: boolean): number {
  return little
    ? (bytes[at]! | bytes[at + 1]! << 8 | bytes[at + 2]! << 16 | bytes[at + 3]! << 24) >>> 0
    : (bytes[at]! << 24 | bytes[at + 1]! << 16 | bytes[at + 2]! << 8 | bytes[at + 3]!) >>> 0;
}

/**
 * A 64-bit count of `ticks` a second in milliseconds. Nanoseconds since 1970 exceed 2^53, so that their
 * plain conversion to float64 is off by up to 128 ns: the remainder is taken modulo 2^32, exactly.
 */
function milliseconds(high: number, low: number, ticks: number): number {
  const value = high * 4294967296 + low;
  if (value <= Number.MAX_SAFE_INTEGER || ticks !== 1e9) {
    return ticks < 1000 ? value * 1000 / ticks : value / (ticks / 1000);
  }
  const seconds = Math.floor(value / 1e9);
  return seconds * 1000 + (low - Math.imul(seconds, 1e9) | 0) / 1e6;
}
