/** What reads a stream's bytes in order. The buffer is valid during the call only. */
export interface OrderedSink {
  /** The next bytes of the stream: `buffer[start..end)`. */
  bytes(buffer: Uint8Array, start: number, end: number): void;
  /** The next `length` bytes of the stream are not in the capture. */
  gap(length: number): void;
}

interface Pending {
  offset: number;
  length: number;
  bytes: Uint8Array;
}

/** Segments kept while a hole that the peer has already acknowledged might still be filled. */
const PATIENCE = 16;

/**
 * Puts the payload of one direction in order, in bounded memory: segments behind a hole wait, until the
 * hole is filled, or the peer has acknowledged it (so the capture lost it) and some more segments have
 * come, or the buffer is full. Then the hole is reported as a gap.
 */
export class StreamOrder {
  /** Offset of the next byte to hand on. */
  next = 0;

  #pending: Pending[] = [];
  #bytes = 0;

  /** Hands bytes to `sink`, holding back at most `limit` bytes. */
  constructor(readonly sink: OrderedSink, readonly limit: number) {}

  /** Takes `length` bytes at `offset`, of which `captured` are in `buffer` from `start` on. */
  segment(
    offset: number,
    length: number,
    buffer: Uint8Array,
    start: number,
    captured: number,
    peerAcked: number,
  ): void {
    if (offset + length <= this.next) return;
    if (offset > this.next) {
      this.#hold(offset, length, buffer.slice(start, start + captured));
      while (this.#bytes > this.limit) this.#skip();
      if (this.#pending.length >= PATIENCE && peerAcked >= this.#pending[0]!.offset) this.#skip();
      return;
    }
    this.#deliver(offset, length, buffer, start, captured);
    if (this.#pending.length > 0) this.#drain();
  }

  /** The stream ends: hands on what was held back, with its gaps. */
  finish(): void {
    while (this.#pending.length > 0) this.#skip();
  }

  #hold(offset: number, length: number, bytes: Uint8Array): void {
    let at = this.#pending.length;
    while (at > 0 && this.#pending[at - 1]!.offset > offset) at--;
    this.#pending.splice(at, 0, { offset, length, bytes });
    // The constant stands for the objects themselves, so that floods of tiny segments are bounded too.
    this.#bytes += bytes.length + 64;
  }

  #skip(): void {
    const hole = this.#pending[0]!.offset - this.next;
    if (hole > 0) {
      this.sink.gap(hole);
      this.next += hole;
    }
    this.#drain();
  }

  #drain(): void {
    while (this.#pending.length > 0 && this.#pending[0]!.offset <= this.next) {
      const { offset, length, bytes } = this.#pending.shift()!;
      this.#bytes -= bytes.length + 64;
      if (offset + length > this.next) this.#deliver(offset, length, bytes, 0, bytes.length);
    }
  }

  #deliver(
    offset: number,
    length: number,
    buffer: Uint8Array,
    start: number,
    captured: number,
  ): void {
    const known = this.next - offset;
    if (captured > known) {
      this.sink.bytes(buffer, start + known, start + captured);
      this.next += captured - known;
    }
    const cut = offset + length - this.next;
    if (cut > 0) {
      this.sink.gap(cut);
      this.next += cut;
    }
  }
}
