/** A packet to be written. */
export interface CaptureRecord {
  /** Milliseconds since the Unix epoch. */
  readonly time: number;
  /** The bytes kept, from the link layer on. */
  readonly data: Uint8Array;
  /** Bytes on the wire, if more than were kept. Default `data.length`. */
  readonly wireLength?: number;
  /** A comment, kept by pcapng only. */
  readonly comment?: string;
}

/** Options of the writers. */
export interface WriteCaptureOptions {
  /** File format. Default `pcapng`. */
  readonly format?: "pcap" | "pcapng";
  /** Link type of every packet, by its number in capture files. */
  readonly linkType: number;
  /** Unit of time. Default `ns` for pcapng and `us` for pcap. */
  readonly resolution?: "us" | "ns";
  /** pcapng: name of the program that made the file. Default `TrafficMimic`. */
  readonly application?: string;
  /** pcapng: name of the interface, if it has one. */
  readonly interfaceName?: string;
  /** pcapng: a comment on the file as a whole. */
  readonly comment?: string;
}

const encoder = new TextEncoder();

/** Bytes gathered before they are handed on. */
const CHUNK = 1 << 16;

const OPTION_COMMENT = 1;
const OPTION_INTERFACE_NAME = 2;
const OPTION_APPLICATION = 4;
const OPTION_TSRESOL = 9;

/**
 * Encodes a capture: `pipeThrough` it, from records to the bytes of a file.
 *
 * Comments are cut at 65535 bytes, the longest option.
 *
 * @example
 * ```ts
 * import { encodeCapture } from "./write_capture.ts";
 * import { readCapture } from "./read_capture.ts";
 * import { LinkType } from "./link_type.ts";
 * const records = ReadableStream.from([
 *   { time: 1000.5, data: new Uint8Array(60), comment: "padding=60" },
 * ]);
 * const stream = records.pipeThrough(encodeCapture({ linkType: LinkType.ethernet }));
 * const seen: string[] = [];
 * await readCapture({ name: "made", stream }, (packet) => {
 *   seen.push(`${packet.time} ${packet.comment}`);
 * }, { comments: true });
 * if (seen.join() !== "1000.5 padding=60") throw new Error(seen.join());
 * ```
 */
export function encodeCapture(
  options: WriteCaptureOptions,
): TransformStream<CaptureRecord, Uint8Array<ArrayBuffer>> {
  const pcap = options.format === "pcap";
  const nanoseconds = (options.resolution ?? (pcap ? "us" : "ns")) === "ns";
  let chunk = new Uint8Array(CHUNK);
  let used = 0;
  return new TransformStream({
    start(controller) {
      const header = pcap ? pcapHeader(options, nanoseconds) : pcapngHeader(options, nanoseconds);
      controller.enqueue(header);
    },
    transform(record, controller) {
      const size = pcap ? 16 + record.data.length : packetBlockSize(record);
      if (used + size > chunk.length) {
        if (used > 0) controller.enqueue(chunk.subarray(0, used));
        chunk = new Uint8Array(Math.max(CHUNK, size));
        used = 0;
      }
      const view = new DataView(chunk.buffer, used, size);
      if (pcap) pcapRecord(view, record, nanoseconds);
      else packetBlock(view, record, nanoseconds);
      used += size;
    },
    flush(controller) {
      if (used > 0) controller.enqueue(chunk.subarray(0, used));
    },
  });
}

/**
 * Writes a capture file whole or not at all, streaming: the bytes go to a temporary name in the same
 * folder, which is then renamed over `path`.
 */
export async function writeCaptureFile(
  path: string,
  records: Iterable<CaptureRecord> | AsyncIterable<CaptureRecord>,
  options: WriteCaptureOptions,
): Promise<void> {
  const temporary = `${path}.${crypto.randomUUID()}.tmp`;
  try {
    const file = await Deno.open(temporary, { write: true, createNew: true });
    // `from` takes any iterable; the pipe closes the file.
    await ReadableStream.from(records).pipeThrough(encodeCapture(options)).pipeTo(file.writable);
    await Deno.rename(temporary, path);
  } catch (error) {
    await Deno.remove(temporary).catch(() => {});
    throw error;
  }
}

function padded(length: number): number {
  return length + 3 & ~3;
}

/** Whole seconds and the rest in units of the resolution. */
function splitTime(time: number, nanoseconds: boolean): [number, number] {
  const perSecond = nanoseconds ? 1e9 : 1e6;
  let seconds = Math.floor(time / 1000);
  let rest = Math.round((time - seconds * 1000) * (perSecond / 1000));
  if (rest >= perSecond) {
    rest -= perSecond;
    seconds++;
  }
  return [seconds, rest];
}

function pcapHeader(options: WriteCaptureOptions, nanoseconds: boolean): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(24));
  view.setUint32(0, nanoseconds ? 0xa1b23c4d : 0xa1b2c3d4, true);
  view.setUint16(4, 2, true);
  view.setUint16(6, 4, true);
  view.setUint32(16, 262_144, true);
  view.setUint32(20, options.linkType, true);
  return new Uint8Array(view.buffer);
}

function pcapRecord(view: DataView<ArrayBuffer>, record: CaptureRecord, nanoseconds: boolean) {
  const [seconds, rest] = splitTime(record.time, nanoseconds);
  view.setUint32(0, seconds, true);
  view.setUint32(4, rest, true);
  view.setUint32(8, record.data.length, true);
  view.setUint32(12, Math.max(record.data.length, record.wireLength ?? 0), true);
  new Uint8Array(view.buffer, view.byteOffset + 16).set(record.data);
}

function optionBytes(options: readonly [number, Uint8Array][]): Uint8Array<ArrayBuffer> {
  if (options.length === 0) return new Uint8Array(0);
  const size = options.reduce((total, [, value]) => total + 4 + padded(value.length), 4);
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [code, value] of options) {
    view.setUint16(at, code, true);
    view.setUint16(at + 2, value.length, true);
    bytes.set(value, at + 4);
    at += 4 + padded(value.length);
  }
  return bytes;
}

function textOption(code: number, text: string | undefined): [number, Uint8Array][] {
  return text === undefined || text === "" ? [] : [[code, optionText(text)]];
}

/** The text in UTF-8, cut at a character where it is longer than an option may be. */
function optionText(text: string): Uint8Array {
  const bytes = new Uint8Array(Math.min(65_535, 3 * text.length));
  return bytes.subarray(0, encoder.encodeInto(text, bytes).written);
}

function block(type: number, body: Uint8Array, options: Uint8Array): Uint8Array<ArrayBuffer> {
  const size = 12 + body.length + options.length;
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, true);
  view.setUint32(4, size, true);
  bytes.set(body, 8);
  bytes.set(options, 8 + body.length);
  view.setUint32(size - 4, size, true);
  return bytes;
}

function pcapngHeader(options: WriteCaptureOptions, nanoseconds: boolean): Uint8Array<ArrayBuffer> {
  const section = new Uint8Array(16).fill(0xff, 8); // the section's length is not known
  const view = new DataView(section.buffer);
  view.setUint32(0, 0x1a2b3c4d, true);
  view.setUint16(4, 1, true);
  const source = new Uint8Array(8);
  new DataView(source.buffer).setUint16(0, options.linkType, true);
  new DataView(source.buffer).setUint32(4, 262_144, true);
  const sectionBlock = block(
    0x0a0d0d0a,
    section,
    optionBytes([
      ...textOption(OPTION_COMMENT, options.comment),
      ...textOption(OPTION_APPLICATION, options.application ?? "TrafficMimic"),
    ]),
  );
  const interfaceBlock = block(
    1,
    source,
    optionBytes([
      ...textOption(OPTION_INTERFACE_NAME, options.interfaceName),
      [OPTION_TSRESOL, new Uint8Array([nanoseconds ? 9 : 6])],
    ]),
  );
  const bytes = new Uint8Array(sectionBlock.length + interfaceBlock.length);
  bytes.set(sectionBlock);
  bytes.set(interfaceBlock, sectionBlock.length);
  return bytes;
}

function packetBlockSize(record: CaptureRecord): number {
  const options = record.comment ? 8 + padded(optionText(record.comment).length) : 0;
  return 32 + padded(record.data.length) + options;
}

function packetBlock(view: DataView<ArrayBuffer>, record: CaptureRecord, nanoseconds: boolean) {
  const [seconds, rest] = splitTime(record.time, nanoseconds);
  const ticks = BigInt(seconds) * (nanoseconds ? 1_000_000_000n : 1_000_000n) + BigInt(rest);
  const size = view.byteLength;
  const length = record.data.length;
  const bytes = new Uint8Array(view.buffer, view.byteOffset, size);
  view.setUint32(0, 6, true);
  view.setUint32(4, size, true);
  view.setUint32(12, Number(ticks >> 32n), true);
  view.setUint32(16, Number(ticks & 0xffff_ffffn), true);
  view.setUint32(20, length, true);
  view.setUint32(24, Math.max(length, record.wireLength ?? 0), true);
  bytes.set(record.data, 28);
  if (record.comment) {
    bytes.set(optionBytes(textOption(OPTION_COMMENT, record.comment)), 28 + padded(length));
  }
  view.setUint32(size - 4, size, true);
}
