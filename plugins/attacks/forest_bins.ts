import type { Rows } from "./scaler.ts";

/** Values a column is cut into at most: splits lie between two of them. */
export const BINS = 255;

/** Where columns are cut: `edges[from[c] .. from[c + 1]]`, ascending, are the edges of column `c`. */
export interface Edges {
  /** Offsets into `edges`, one more than there are columns. */
  readonly from: Uint32Array;
  /** Bin `b` holds the values up to edge `b`, and the last bin those above the last edge. */
  readonly edges: Float64Array;
}

/**
 * The edges of one column: between each two distinct values where there are at most 255 of them, else
 * at 254 quantiles. `sorted` is the column in ascending order; NaN (at its end) counts as least.
 */
export function columnEdges(sorted: Float64Array): Float64Array {
  let count = sorted.length;
  while (count > 0 && Number.isNaN(sorted[count - 1]!)) count--;
  const edges = new Float64Array(BINS - 1);
  let found = 0;
  for (let i = 1; i < count; i++) {
    if (sorted[i - 1]! === sorted[i]!) continue;
    if (found === edges.length) return quantileEdges(sorted.subarray(0, count));
    edges[found++] = between(sorted[i - 1]!, sorted[i]!);
  }
  return edges.slice(0, found);
}

function quantileEdges(sorted: Float64Array): Float64Array {
  const edges = new Float64Array(BINS - 1);
  let found = 0;
  for (let b = 1; b < BINS; b++) {
    const at = Math.floor((b * sorted.length) / BINS);
    const low = sorted[at - 1]!;
    let next = at;
    while (next < sorted.length && sorted[next] === low) next++;
    if (next === sorted.length) break;
    const edge = between(low, sorted[next]!);
    if (found === 0 || edge > edges[found - 1]!) edges[found++] = edge;
  }
  return edges.slice(0, found);
}

function between(low: number, high: number): number {
  const middle = low + (high - low) / 2;
  return middle < high && middle >= low ? middle : low;
}

/** The bin of a value: the number of edges of `edges[from .. to]` that it lies above; 0 for NaN. */
export function binOf(value: number, edges: Float64Array, from: number, to: number): number {
  let low = from;
  let size = to - from;
  // Without a branch on the comparison, which no processor could predict.
  while (size > 1) {
    const half = size >>> 1;
    low += +(value > edges[low + half - 1]!) * half;
    size -= half;
  }
  if (size === 1) low += +(value > edges[low]!);
  return low - from;
}

/**
 * Finds the edges of one column of `rows` and writes its bins to `bins`. `scratch` is room for as many
 * numbers as there are rows.
 */
export function binColumn(
  rows: Rows,
  column: number,
  bins: Uint8Array,
  scratch: Float64Array,
): Float64Array {
  const { count, width, values } = rows;
  for (let row = 0, at = column; row < count; row++, at += width) scratch[row] = values[at]!;
  const edges = columnEdges(scratch.sort());
  for (let row = 0, at = column; row < count; row++, at += width) {
    bins[row] = binOf(values[at]!, edges, 0, edges.length);
  }
  return edges;
}

/** The edges of several columns as one table. */
export function joinEdges(columns: readonly Float64Array[]): Edges {
  const from = new Uint32Array(columns.length + 1);
  columns.forEach((edges, column) => from[column + 1] = from[column]! + edges.length);
  const edges = new Float64Array(from[columns.length]!);
  columns.forEach((own, column) => edges.set(own, from[column]!));
  return { from, edges };
}

/** Rows that are binned together: they and a column's edges fit into the cache. */
const TILE = 64;

/** The bins of all rows, row-major, for walking trees: the columns of a row lie side by side. */
export function binRows(rows: Rows, { from, edges }: Edges): Uint8Array {
  const { count, width, values } = rows;
  const bins = new Uint8Array(count * width);
  for (let first = 0; first < count; first += TILE) {
    const end = Math.min(count, first + TILE) * width;
    for (let column = 0; column < width; column++) {
      const low = from[column]!;
      const high = from[column + 1]!;
      for (let at = first * width + column; at < end; at += width) {
        bins[at] = binOf(values[at]!, edges, low, high);
      }
    }
  }
  return bins;
}
