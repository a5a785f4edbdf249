import { binColumn } from "./forest_bins.ts";
import type { BinnedRows } from "./forest_grow.ts";
import type { Rows } from "./scaler.ts";

/** Bytes of a cache line, and so of a row of bins that small nodes read. */
const LINE = 64;

/** The memory of a {@linkcode BinnedTable}; plain data, so that it can be handed to workers. */
export interface TableMemory {
  /** The rows before they are binned. */
  readonly rows: Rows;
  /** Column-major bins. */
  readonly bins: Uint8Array;
  /** Row-major bins. */
  readonly rowBins: Uint8Array;
  /** Class of each row. */
  readonly labels: Uint16Array;
  /** Number of classes. */
  readonly classes: number;
}

/** Makes room for a table of bins; `shared` memory is seen by all workers that it is sent to. */
export function tableMemory(
  rows: Rows,
  labels: Uint16Array,
  classes: number,
  shared: boolean,
): TableMemory {
  const room = (bytes: number) => shared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes);
  let { values } = rows;
  let own = labels;
  if (shared) {
    values = new Float64Array(room(8 * rows.count * rows.width) as ArrayBuffer);
    values.set(rows.values.subarray(0, values.length));
    own = new Uint16Array(room(2 * rows.count) as ArrayBuffer);
    own.set(labels.subarray(0, rows.count));
  }
  const cells = rows.count * rows.width;
  return {
    rows: { ...rows, values },
    bins: new Uint8Array(room(cells) as ArrayBuffer),
    rowBins: new Uint8Array(room(rows.count * strideOf(rows.width)) as ArrayBuffer),
    labels: own,
    classes,
  };
}

/** Bytes between rows of row-major bins: no row lies across two cache lines that fits into one. */
function strideOf(width: number): number {
  if (width > LINE) return LINE * Math.ceil(width / LINE);
  return 2 ** Math.ceil(Math.log2(Math.max(1, width)));
}

/** Bins the columns `from .. to` of the table's rows; returns their edges. */
export function fillTable(memory: TableMemory, from: number, to: number): Float64Array[] {
  const { rows, bins, rowBins } = memory;
  const { count, width } = rows;
  const stride = strideOf(width);
  const scratch = new Float64Array(count);
  const found: Float64Array[] = [];
  for (let column = from; column < to; column++) {
    const own = bins.subarray(column * count, (column + 1) * count);
    found.push(binColumn(rows, column, own, scratch));
    for (let row = 0, at = column; row < count; row++, at += stride) rowBins[at] = own[row]!;
  }
  return found;
}

/** A filled table as growers read it. */
export function binnedRows({ rows, bins, rowBins, labels, classes }: TableMemory): BinnedRows {
  const { count, width } = rows;
  return { count, width, bins, rowBins, stride: strideOf(width), labels, classes };
}
