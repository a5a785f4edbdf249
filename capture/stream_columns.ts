import type { RecordTable, SegmentTable } from "./connection.ts";

const FIRST_CAPACITY = 16;

const NO_FLOATS = new Float64Array(0);
const NO_WORDS = new Uint32Array(0);
const NO_BYTES = new Uint8Array(0);

/** A {@linkcode SegmentTable} that grows by doubling, so that a packet costs no allocation. */
export class SegmentColumns implements SegmentTable {
  /** Rows in use. */
  length = 0;
  /** See {@linkcode SegmentTable.time}. */
  time: Float64Array = NO_FLOATS;
  /** See {@linkcode SegmentTable.side}. */
  side: Uint8Array = NO_BYTES;
  /** See {@linkcode SegmentTable.size}. */
  size: Uint32Array = NO_WORDS;
  /** See {@linkcode SegmentTable.offset}. */
  offset: Float64Array = NO_FLOATS;
  /** See {@linkcode SegmentTable.acked}. */
  acked: Float64Array = NO_FLOATS;

  /** Appends one row. */
  push(time: number, side: number, size: number, offset: number, acked: number): void {
    const row = this.length;
    if (row === this.time.length) this.#grow(Math.max(FIRST_CAPACITY, row * 2));
    this.time[row] = time;
    this.side[row] = side;
    this.size[row] = size;
    this.offset[row] = offset;
    this.acked[row] = acked;
    this.length = row + 1;
  }

  /** All columns share one buffer: small typed arrays are dear to allocate, their buffers most of all. */
  #grow(capacity: number): void {
    const buffer = new ArrayBuffer(capacity * (3 * 8 + 4 + 1));
    const { time, offset, acked, size, side } = this;
    this.time = new Float64Array(buffer, 0, capacity);
    this.offset = new Float64Array(buffer, capacity * 8, capacity);
    this.acked = new Float64Array(buffer, capacity * 16, capacity);
    this.size = new Uint32Array(buffer, capacity * 24, capacity);
    this.side = new Uint8Array(buffer, capacity * 28, capacity);
    this.time.set(time);
    this.offset.set(offset);
    this.acked.set(acked);
    this.size.set(size);
    this.side.set(side);
  }

  /** Removes the rows whose size has been set to 0. */
  dropEmpty(): void {
    let kept = 0;
    for (let row = 0; row < this.length; row++) {
      if (this.size[row] === 0) continue;
      if (kept !== row) {
        this.time[kept] = this.time[row]!;
        this.side[kept] = this.side[row]!;
        this.size[kept] = this.size[row]!;
        this.offset[kept] = this.offset[row]!;
        this.acked[kept] = this.acked[row]!;
      }
      kept++;
    }
    this.length = kept;
  }
}

/** A {@linkcode RecordTable} that grows by doubling up to a limit; rows past it are counted, not kept. */
export class RecordColumns implements RecordTable {
  /** Rows in use. */
  length = 0;
  /** Records that did not fit. */
  dropped = 0;
  /** See {@linkcode RecordTable.side}. */
  side: Uint8Array = NO_BYTES;
  /** See {@linkcode RecordTable.offset}. */
  offset: Float64Array = NO_FLOATS;
  /** See {@linkcode RecordTable.size}. */
  size: Uint32Array = NO_WORDS;
  /** See {@linkcode RecordTable.type}. */
  type: Uint8Array = NO_BYTES;

  /** Keeps at most `limit` rows. */
  constructor(readonly limit: number = 1 << 18) {}

  /** Appends one row, unless the table is full. */
  push(side: number, offset: number, size: number, type: number): void {
    const row = this.length;
    if (row >= this.limit) {
      this.dropped++;
      return;
    }
    if (row === this.side.length) this.#grow(Math.max(FIRST_CAPACITY, row * 2));
    this.side[row] = side;
    this.offset[row] = offset;
    this.size[row] = size;
    this.type[row] = type;
    this.length = row + 1;
  }

  #grow(capacity: number): void {
    const buffer = new ArrayBuffer(capacity * (8 + 4 + 1 + 1));
    const { offset, size, side, type } = this;
    this.offset = new Float64Array(buffer, 0, capacity);
    this.size = new Uint32Array(buffer, capacity * 8, capacity);
    this.side = new Uint8Array(buffer, capacity * 12, capacity);
    this.type = new Uint8Array(buffer, capacity * 13, capacity);
    this.offset.set(offset);
    this.size.set(size);
    this.side.set(side);
    this.type.set(type);
  }
}
