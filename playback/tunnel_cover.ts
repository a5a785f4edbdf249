import type { Timer } from "./clock.ts";
import { FRAME, MAX_PIECE } from "./frame.ts";
import type { FrameParser } from "./frame_parser.ts";
import type { StreamState } from "./stream.ts";

/** A frame that is sent until acknowledged. */
export interface QueuedFrame {
  /** The whole frame. */
  readonly bytes: Uint8Array;
  /** Told when the peer has it. */
  readonly onAcked: (() => void) | undefined;
  /** Frames of the engine's go ahead of those of streams, and before the peer is verified. */
  readonly engine: boolean;
}

/** What was put where on a connection: `end` is the connection's byte position after it. */
export type Extent =
  | { end: number; kind: "data"; stream: StreamState; offset: number; length: number }
  | { end: number; kind: "frame"; frame: QueuedFrame }
  | { end: number; kind: "credit"; stream: StreamState; limit: number }
  | { end: number; kind: "ack"; of: Cover; bytes: number };

const NONE: readonly Extent[] = [];

/** Whether a frame of `length` bytes should be begun at `at`: it fits, or never would fit much better. */
export function suits(buffer: Uint8Array, at: number, length: number): boolean {
  const room = buffer.length - at;
  return length <= room || (room > 0 && 2 * length > buffer.length);
}

/**
 * One cover connection as its tunnel sees it, both directions: what was put where in the bytes that we write
 * there, and how far the peer has been told of those that we read.
 *
 * @example
 * ```ts
 * import { Cover } from "./tunnel_cover.ts";
 * const cover = new Cover(1);
 * const buffer = new Uint8Array(10);
 * const frame = { bytes: new Uint8Array(12), onAcked: undefined, engine: true };
 * cover.put(buffer, 0, frame.bytes, { end: 0, kind: "frame", frame });
 * cover.written += buffer.length;
 * if (!cover.midFrame) throw new Error("nine bytes go as a piece, three are left");
 * cover.putRest(buffer, 0);
 * if (cover.takeUpTo(13).length !== 0 || cover.takeUpTo(14).length !== 1) throw new Error("ends at 14");
 * ```
 */
export class Cover {
  /** Whether bytes may still be written and read. */
  open = true;
  /** Frames for this connection alone, lost with it. */
  bound: Uint8Array[] = [];

  // Sending.

  /** Bytes of all buffers filled before the present one. */
  written = 0;
  /** What has not been acknowledged, in the order of its ends. */
  readonly extents: Extent[] = [];
  /** The stream of the data frame put last: the next one may follow on it. */
  lastStream = -1;
  /** The offset after its bytes. */
  lastEnd = -1;
  /** The peer said that it takes no more. */
  finalAcked = false;
  /** The deadline for the last acknowledgement. */
  timer: Timer | undefined;
  /** The rest of a frame that is being sent in pieces, and what it is remembered by at its end. */
  #rest: { bytes: Uint8Array; extent: Extent | undefined } | undefined;
  /** The last byte of a piece that was begun in a buffer of one byte. */
  #owed: number | undefined;

  // Receiving.

  /** Takes the peer's bytes apart; undefined when no more are wanted. */
  parser: FrameParser | undefined;
  /** Whether a frame since the last acknowledgement wants one. */
  eliciting = false;
  /** Acknowledgements since then, which do not want one. */
  quiet = 0;
  /** Position acknowledged last. */
  ackSent = 0;
  /** Whether the peer is known to have heard of it. */
  ackHeard = true;
  /** Position at the close. */
  finalPosition = 0;
  /** Nothing more is to be told about what was received. */
  receiveDone = false;

  /** `number` names it at both ends. */
  constructor(readonly number: number) {}

  /** Whether a frame has been begun of which the rest must go before any other may begin. */
  get midFrame(): boolean {
    return this.#rest !== undefined;
  }

  /** Whether something is begun, a frame or a piece of one. */
  get begun(): boolean {
    return this.#rest !== undefined || this.#owed !== undefined;
  }

  /** How much of the peer's bytes has been processed. */
  get received(): number {
    return this.parser?.processed ?? this.finalPosition;
  }

  /** Puts at the head of `buffer` the byte that belongs there whatever else goes in; returns the position after it. */
  putOwed(buffer: Uint8Array): number {
    if (this.#owed === undefined) return 0;
    buffer[0] = this.#owed;
    this.#owed = undefined;
    return 1;
  }

  /** Puts a frame at `at`; what does not fit goes in pieces into the connection's next buffers. */
  put(buffer: Uint8Array, at: number, bytes: Uint8Array, extent: Extent | undefined): number {
    if (bytes.length > buffer.length - at) {
      this.#rest = { bytes, extent };
      return this.putRest(buffer, at);
    }
    buffer.set(bytes, at);
    this.placed(at + bytes.length, extent);
    return at + bytes.length;
  }

  /** Puts what is left of a frame that was begun, as far as it fits; returns the position after it. */
  putRest(buffer: Uint8Array, at: number): number {
    if (this.#rest !== undefined && buffer.length === 1 && at === 0) {
      // Not even a piece fits into one byte: its one byte follows in the next buffer.
      buffer[0] = FRAME.piece;
      const { bytes, extent } = this.#rest;
      this.#owed = bytes[0];
      this.#rest.bytes = bytes.subarray(1);
      if (bytes.length === 1) {
        this.#rest = undefined;
        this.placed(2, extent);
      }
      return 1;
    }
    while (this.#rest !== undefined) {
      const { bytes, extent } = this.#rest;
      const length = Math.min(bytes.length, buffer.length - at - 1, MAX_PIECE);
      if (length <= 0) break;
      buffer[at++] = FRAME.piece + length - 1;
      buffer.set(bytes.subarray(0, length), at);
      at += length;
      if (length < bytes.length) this.#rest.bytes = bytes.subarray(length);
      else {
        this.#rest = undefined;
        this.placed(at, extent);
      }
    }
    return at;
  }

  /** A frame ends at `at` of the buffer being filled: it is remembered by `extent`, whose end this sets. */
  placed(at: number, extent: Extent | undefined): void {
    if (extent === undefined) return;
    extent.end = this.written + at;
    this.extents.push(extent);
  }

  /** Takes out what ends at `position` or before. */
  takeUpTo(position: number): readonly Extent[] {
    const { extents } = this;
    let count = 0;
    while (count < extents.length && extents[count]!.end <= position) count++;
    return count === 0 ? NONE : extents.splice(0, count);
  }

  /** Takes out what ends after `position`, and what was begun and has not ended. */
  takeAfter(position: number): readonly Extent[] {
    const { extents } = this;
    if (this.#rest?.extent !== undefined) {
      this.#rest.extent.end = Infinity;
      extents.push(this.#rest.extent);
    }
    this.#rest = undefined;
    let from = extents.length;
    while (from > 0 && extents[from - 1]!.end > position) from--;
    return from === extents.length ? NONE : extents.splice(from);
  }
}
