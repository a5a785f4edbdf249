import type { RecordTable, SegmentTable } from "./connection.ts";

const FIRST_CAPACITY = 16;

function grow<Column extends Float64Array | Uint32Array | Uint8Array>(
  column: Column,
  capacity: number,
): Column {
  const larger = new (column.constructor as new (length: number) => Column)(capacity);
  larger.set(column);
  return larger;
}

/** A {@linkcode SegmentTable} that grows by doubling, so that a packet costs no allocation. */
export class SegmentColumns implements SegmentTable {
  /** Rows in use. */
  length = 0;
  /** See {@linkcode SegmentTable.time}. */
  time: Float64Array;
  /** See {@linkcode SegmentTable.side}. */
  side: Uint8Array;
  /** See {@linkcode SegmentTable.size}. */
  size: Uint32Array;
  /** See {@linkcode SegmentTable.offset}. */
  offset: Float64Array;
  /** See {@linkcode SegmentTable.acked}. */
  acked: Float64Array;

  /** Makes room for `capacity` rows. */
  constructor(capacity: number = FIRST_CAPACITY) {
    this.time = new Float64Array(capacity);
    this.side = new Uint8Array(capacity);
    this.size = new Uint32Array(capacity);
    this.offset = new Float64Array(capacity);
    this.acked = new Float64Array(capacity);
  }

  /** Appends one row. */
  push(time: number, side: number, size: number, offset: number, acked: number): void {
    const row = this.length;
    if (row === this.time.length) {
      const capacity = Math.max(FIRST_CAPACITY, row * 2);
      this.time = grow(this.time, capacity);
      this.side = grow(this.side, capacity);
      this.size = grow(this.size, capacity);
      this.offset = grow(this.offset, capacity);
      this.acked = grow(this.acked, capacity);
    }
    this.time[row] = time;
    this.side[row] = side;
    this.size[row] = size;
    this.offset[row] = offset;
    this.acked[row] = acked;
    this.length = row + 1;
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
  side: Uint8Array = new Uint8Array(0);
  /** See {@linkcode RecordTable.offset}. */
  offset: Float64Array = new Float64Array(0);
  /** See {@linkcode RecordTable.size}. */
  size: Uint32Array = new Uint32Array(0);
  /** See {@linkcode RecordTable.type}. */
  type: Uint8Array = new Uint8Array(0);

  /** Keeps at most `limit` rows. */
  constructor(readonly limit: number = 1 << 18) {}

  /** Appends one row, unless the table is full. */
  push(side: number, offset: number, size: number, type: number): void {
    const row = this.length;
    if (row >= this.limit) {
      this.dropped++;
      return;
    }
    if (row === this.side.length) {
      const capacity = Math.max(FIRST_CAPACITY, row * 2);
      this.side = grow(this.side, capacity);
      this.offset = grow(this.offset, capacity);
      this.size = grow(this.size, capacity);
      this.type = grow(this.type, capacity);
    }
    this.side[row] = side;
    this.offset[row] = offset;
    this.size[row] = size;
    this.type[row] = type;
    this.length = row + 1;
  }
}
