const SMALLEST = 4096;

/** Bytes that the rings' old memory may hold, ready to be used again. */
const MOST_SPARE = 8388608;

/** Old memory of rings by its length: streams that fill and empty all the time would make garbage only. */
const spare = new Map<number, Uint8Array<ArrayBuffer>[]>();
let spareBytes = 0;

function take(length: number): Uint8Array<ArrayBuffer> {
  const old = spare.get(length)?.pop();
  if (old === undefined) return new Uint8Array(length);
  spareBytes -= length;
  return old;
}

function giveBack(bytes: Uint8Array<ArrayBuffer>): void {
  if (bytes.length === 0 || spareBytes + bytes.length > MOST_SPARE) return;
  spareBytes += bytes.length;
  const list = spare.get(bytes.length);
  if (list === undefined) spare.set(bytes.length, [bytes]);
  else list.push(bytes);
}

/**
 * Bytes of a stream between two offsets that never lie more than `limit` apart, in a ring that grows as
 * needed and is given back when empty. The owner keeps the offsets.
 */
export class Ring {
  #bytes = new Uint8Array(0);

  /** `limit`: the most bytes between the lowest and the highest offset held. */
  constructor(readonly limit: number) {}

  /** Bytes of memory held now. */
  get capacity(): number {
    return this.#bytes.length;
  }

  /**
   * Puts `bytes` at `offset`. `base` is the lowest offset still wanted and `end` the highest one held
   * so far. Throws RangeError past the limit: the owner checks before.
   */
  write(base: number, end: number, offset: number, bytes: Uint8Array): void {
    const needed = offset + bytes.length - base;
    if (needed > this.limit || offset < base) throw new RangeError("outside the ring");
    if (needed > this.#bytes.length) this.#grow(base, Math.max(end, base), needed);
    const at = offset % this.#bytes.length;
    const first = Math.min(bytes.length, this.#bytes.length - at);
    this.#bytes.set(first === bytes.length ? bytes : bytes.subarray(0, first), at);
    if (first < bytes.length) this.#bytes.set(bytes.subarray(first), 0);
  }

  /** Copies the bytes from `offset` on to fill `target`. */
  read(offset: number, target: Uint8Array): void {
    const at = offset % this.#bytes.length;
    const first = Math.min(target.length, this.#bytes.length - at);
    target.set(this.#bytes.subarray(at, at + first));
    if (first < target.length) target.set(this.#bytes.subarray(0, target.length - first), first);
  }

  /** Gives the memory back; nothing is held any more. */
  release(): void {
    giveBack(this.#bytes);
    this.#bytes = new Uint8Array(0);
  }

  #grow(base: number, end: number, needed: number): void {
    let capacity = Math.max(SMALLEST, this.#bytes.length);
    while (capacity < needed) capacity *= 2;
    const old = this.#bytes;
    const grown = take(Math.min(capacity, Math.max(this.limit, SMALLEST)));
    for (let offset = base; offset < end;) {
      const from = offset % old.length;
      const to = offset % grown.length;
      const length = Math.min(end - offset, old.length - from, grown.length - to);
      grown.set(old.subarray(from, from + length), to);
      offset += length;
    }
    giveBack(old);
    this.#bytes = grown;
  }
}
