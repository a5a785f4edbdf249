/** What is kept of payloads: everything, or what tells the carrier and its handshake. */
export type KeptPayload = "all" | "handshake";

/** A TLS record of a stream, by its outer framing. */
export interface StreamRecord {
  /** Offset of its header in the stream. */
  readonly offset: number;
  /** Bytes on the wire, header included. */
  readonly size: number;
  /** TLS content type; 23 is application data. */
  readonly type: number;
}

/** Bytes kept of a stream that is not TLS, or before TLS starts in it. */
const PLAIN_LIMIT = 16_384;

const RECORD_HEADER = 5;
const APPLICATION_DATA = 23;

/**
 * One direction of a connection as a recording keeps it. With `handshake` the bodies of TLS application
 * data are left out and read as zeros: record headers and handshakes stay, the recording holds no user
 * data and compresses to almost nothing. Of what is not TLS the first 16 KiB are kept.
 *
 * @example
 * ```ts
 * import { RecordedStream } from "./recorded_stream.ts";
 * const stream = new RecordedStream("handshake");
 * stream.push(new Uint8Array([23, 3, 3, 0, 2, 77, 78]));
 * if (stream.read(0, 7).join() !== "23,3,3,0,2,0,0") throw new Error("user data was kept");
 * ```
 */
export class RecordedStream {
  readonly #kept: KeptPayload;
  readonly #starts: number[] = [];
  readonly #pieces: Uint8Array[] = [];
  readonly #records: StreamRecord[] = [];
  #length = 0;
  #plain = 0;
  #tls = false;
  // The TLS record being read: its header so far, and its body bytes that are to come.
  readonly #header = new Uint8Array(RECORD_HEADER);
  #headerRead = 0;
  #bodyLeft = 0;

  /** An empty stream. */
  constructor(kept: KeptPayload) {
    this.#kept = kept;
  }

  /** Bytes in the stream so far, kept or not. */
  get length(): number {
    return this.#length;
  }

  /** TLS records whose headers were seen, in order. */
  get records(): readonly StreamRecord[] {
    return this.#records;
  }

  /** Adds the bytes of one write. */
  push(bytes: Uint8Array): void {
    if (this.#kept === "all") this.#keep(this.#length, bytes);
    let at = 0;
    if (!this.#tls && startsRecord(bytes)) this.#tls = true;
    while (this.#tls && at < bytes.length) at = this.#record(bytes, at);
    const rest = bytes.subarray(at, at + Math.max(0, PLAIN_LIMIT - this.#plain));
    if (this.#kept !== "all" && rest.length > 0) {
      this.#keep(this.#length + at, rest);
      this.#plain += rest.length;
    }
    this.#length += bytes.length;
  }

  /** Bytes `[start, end)` of the stream, zeros where they were not kept. */
  read(start: number, end: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(end - start);
    let low = 0;
    let high = this.#starts.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#starts[middle]! + this.#pieces[middle]!.length <= start) low = middle + 1;
      else high = middle;
    }
    for (; low < this.#starts.length && this.#starts[low]! < end; low++) {
      const at = this.#starts[low]!;
      const piece = this.#pieces[low]!;
      const from = Math.max(0, start - at);
      bytes.set(piece.subarray(from, end - at), at + from - start);
    }
    return bytes;
  }

  #keep(offset: number, bytes: Uint8Array): void {
    this.#starts.push(offset);
    this.#pieces.push(bytes.slice());
  }

  /** Reads on in a TLS record at `at` of a write; returns where it stopped. */
  #record(bytes: Uint8Array, at: number): number {
    if (this.#bodyLeft > 0) {
      const part = bytes.subarray(at, at + this.#bodyLeft);
      if (this.#kept !== "all" && this.#header[0] !== APPLICATION_DATA) {
        this.#keep(this.#length + at, part);
      }
      this.#bodyLeft -= part.length;
      return at + part.length;
    }
    const part = bytes.subarray(at, at + RECORD_HEADER - this.#headerRead);
    this.#header.set(part, this.#headerRead);
    this.#headerRead += part.length;
    if (this.#kept !== "all") this.#keep(this.#length + at, part);
    if (this.#headerRead < RECORD_HEADER) return at + part.length;
    this.#headerRead = 0;
    if (!startsRecord(this.#header)) {
      // Not TLS after all: what follows is kept as plain bytes, up to their limit.
      this.#tls = false;
      return at + part.length;
    }
    this.#bodyLeft = this.#header[3]! << 8 | this.#header[4]!;
    this.#records.push({
      offset: this.#length + at + part.length - RECORD_HEADER,
      size: RECORD_HEADER + this.#bodyLeft,
      type: this.#header[0]!,
    });
    return at + part.length;
  }
}

/** Whether bytes begin with the header of a TLS record. */
function startsRecord(bytes: Uint8Array): boolean {
  return bytes.length >= RECORD_HEADER && bytes[0]! >= 20 && bytes[0]! <= 24 && bytes[1] === 3 &&
    bytes[2]! <= 4 && (bytes[3]! << 8 | bytes[4]!) <= 16_384 + 256;
}
