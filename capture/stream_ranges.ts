/** Holes remembered in one stream; the oldest is given up when there are more. */
const MAX_HOLES = 256;

/** A jump further than this is believed only once the next segment continues it. */
const MAX_JUMP = 16 * 1024 * 1024;

/**
 * Which bytes of one TCP stream have been seen. Sequence numbers of 32 bits become offsets that never
 * wrap, counted from the first byte after the SYN (or, without one, from the first byte known of).
 *
 * Holes below the highest byte seen are kept, so that a late segment yields exactly the bytes that were
 * missing and a retransmission yields none.
 */
export class StreamRanges {
  /** Whether offset 0 has a sequence number yet. */
  anchored = false;
  /** One past the highest byte seen. */
  end = 0;
  /** Number of pieces that the last {@linkcode accept} found to be new. */
  pieces = 0;
  /** Offsets of those pieces. */
  readonly pieceOffset: number[] = [0];
  /** Lengths of those pieces. */
  readonly pieceLength: number[] = [0];

  #base = 0;
  /** Hole starts and ends, alternating, ascending. */
  #holes: number[] = [];
  #givenUp = 0;
  #suspect = -1;

  /** Makes `sequence` the number of offset 0. */
  anchor(sequence: number): void {
    this.#base = sequence >>> 0;
    this.anchored = true;
  }

  /** The offset nearest to what has been seen so far that bears `sequence`. */
  offsetOf(sequence: number): number {
    const expected = (this.#base + this.end) >>> 0;
    return this.end + ((sequence - expected) | 0);
  }

  /** Bytes below {@linkcode end} that were never seen. */
  get missing(): number {
    let sum = this.#givenUp;
    for (let i = 0; i < this.#holes.length; i += 2) sum += this.#holes[i + 1]! - this.#holes[i]!;
    return sum;
  }

  /** One past the last byte before the first hole: how far the stream is complete. */
  get contiguous(): number {
    return this.#holes.length > 0 ? this.#holes[0]! : this.end;
  }

  /**
   * Takes a segment at `offset`; afterwards {@linkcode pieces}, {@linkcode pieceOffset} and
   * {@linkcode pieceLength} name its bytes that had not been seen before. Returns their number.
   */
  accept(offset: number, length: number): number {
    this.pieces = 0;
    const stop = offset + length;
    if (offset === this.end && offset >= 0) {
      this.#piece(offset, length);
      this.end = stop;
      return length;
    }
    if (offset > this.end) {
      if (offset - this.end > MAX_JUMP && offset !== this.#suspect) {
        this.#suspect = stop;
        return 0;
      }
      this.#suspect = -1;
      this.#addHole(this.end, offset);
      this.#piece(offset, length);
      this.end = stop;
      return length;
    }
    let fresh = this.#holes.length > 0 ? this.#fill(offset, stop) : 0;
    if (stop > this.end && stop > 0) {
      const start = Math.max(this.end, 0);
      this.#piece(start, stop - start);
      fresh += stop - start;
      this.end = stop;
    }
    return fresh;
  }

  #piece(offset: number, length: number): void {
    this.pieceOffset[this.pieces] = offset;
    this.pieceLength[this.pieces] = length;
    this.pieces++;
  }

  #addHole(start: number, stop: number): void {
    if (this.#holes.length >= 2 * MAX_HOLES) {
      this.#givenUp += this.#holes[1]! - this.#holes[0]!;
      this.#holes.splice(0, 2);
    }
    this.#holes.push(start, stop);
  }

  #fill(offset: number, stop: number): number {
    let fresh = 0;
    for (let i = 0; i < this.#holes.length;) {
      const holeStart = this.#holes[i]!;
      const holeStop = this.#holes[i + 1]!;
      const from = Math.max(offset, holeStart);
      const to = Math.min(stop, holeStop);
      if (from >= to) {
        i += 2;
        continue;
      }
      this.#piece(from, to - from);
      fresh += to - from;
      if (from === holeStart && to === holeStop) {
        this.#holes.splice(i, 2);
      } else if (from === holeStart) {
        this.#holes[i] = to;
        i += 2;
      } else if (to === holeStop) {
        this.#holes[i + 1] = from;
        i += 2;
      } else {
        this.#holes.splice(i + 1, 0, from, to);
        i += 4;
      }
    }
    return fresh;
  }
}
