import { ByteReader, ByteWriter, DamagedBytesError } from "./bytes.ts";
import { RandomForest } from "./forest.ts";
import type { Tree } from "./forest_grow.ts";

/** Version of the layout. */
const VERSION = 1;

/** Trees, nodes of one tree and columns that a file may have: what is more is damage. */
const MOST = 1 << 24;

/**
 * Writes a forest as bytes, the same on every architecture (little-endian): version (u16), numbers of
 * columns (u16), classes (u16) and trees (u32), out-of-bag accuracy (f64), the importance of each column
 * (f64); for each column the number of its edges (u8) and the edges (f64); then the trees. A tree is its
 * number of nodes (u32) and of lists of shares (u32); for each node, level by level, 0 for a leaf or its
 * column + 1 (u8, or u16 with more than 254 columns); for each inner node in that order the greatest bin
 * of its left side (u8); for each leaf the number of its list (u16, or u32 with more than 65,536 lists);
 * the lists (u16 a class, in 65,535ths). The children of the k-th inner node are nodes 1 + 2k and 2 + 2k.
 */
export function encodeForest({ parts }: RandomForest): Uint8Array<ArrayBuffer> {
  const { width, classes, edges, trees, outOfBagAccuracy, importance } = parts;
  const writer = new ByteWriter();
  writer.u16(VERSION);
  writer.u16(width);
  writer.u16(classes);
  writer.u32(trees.length);
  writer.f64(outOfBagAccuracy);
  writer.f64s(importance);
  for (let c = 0; c < width; c++) {
    const own = edges.edges.subarray(edges.from[c]!, edges.from[c + 1]!);
    writer.u8(own.length);
    writer.f64s(own);
  }
  for (const { column, split, shares } of trees) {
    const lists = shares.length / classes;
    writer.u32(column.length);
    writer.u32(lists);
    for (const own of column) width > 254 ? writer.u16(own + 1) : writer.u8(own + 1);
    for (let n = 0; n < column.length; n++) if (column[n]! >= 0) writer.u8(split[n]!);
    for (let n = 0; n < column.length; n++) {
      if (column[n]! < 0) lists > 65_536 ? writer.u32(split[n]!) : writer.u16(split[n]!);
    }
    writer.u16s(shares);
  }
  return writer.done();
}

/**
 * Reads a forest that {@linkcode encodeForest} has written. Whatever the bytes, no tree leads outside
 * itself or in a circle.
 *
 * @throws {DamagedBytesError} if the bytes are not a forest of this version.
 */
export function decodeForest(bytes: Uint8Array): RandomForest {
  const reader = new ByteReader(bytes);
  const bad = (what: string) => new DamagedBytesError(what, reader.offset);
  const version = reader.u16();
  if (version !== VERSION) throw bad(`a forest of version ${version}, not ${VERSION}`);
  const width = reader.u16();
  const classes = reader.u16();
  const count = reader.u32();
  if (classes === 0 || count === 0 || count > MOST) throw bad("a forest without classes or trees");
  const outOfBagAccuracy = reader.f64();
  const importance = reader.f64s(width);
  const from = new Uint32Array(width + 1);
  const columns: Float64Array[] = [];
  for (let c = 0; c < width; c++) {
    const own = reader.f64s(reader.u8());
    for (let e = 1; e < own.length; e++) {
      if (!(own[e]! > own[e - 1]!)) throw bad("edges that do not ascend");
    }
    columns.push(own);
    from[c + 1] = from[c]! + own.length;
  }
  const edges = new Float64Array(from[width]!);
  columns.forEach((own, c) => edges.set(own, from[c]!));
  const trees: Tree[] = [];
  for (let t = 0; t < count; t++) trees.push(readTree(reader, width, classes, bad));
  if (reader.left > 0) throw bad("more bytes than the forest has");
  return new RandomForest({
    width,
    classes,
    edges: { from, edges },
    trees,
    outOfBagAccuracy,
    importance,
  });
}

function readTree(
  reader: ByteReader,
  width: number,
  classes: number,
  bad: (what: string) => DamagedBytesError,
): Tree {
  const nodes = reader.u32();
  const lists = reader.u32();
  if (nodes === 0 || nodes > reader.left || lists === 0) throw bad("a tree without nodes");
  const column = new Int32Array(nodes);
  const split = new Uint32Array(nodes);
  let inner = 0;
  for (let n = 0; n < nodes; n++) {
    column[n] = (width > 254 ? reader.u16() : reader.u8()) - 1;
    if (column[n]! >= width) throw bad("a column that there is not");
    // A node must be somebody's child, and comes after its parent.
    if (n > 2 * inner) throw bad("a node without a parent");
    if (column[n]! >= 0) inner++;
  }
  if (nodes !== 1 + 2 * inner) throw bad("children that there are not");
  for (let n = 0; n < nodes; n++) if (column[n]! >= 0) split[n] = reader.u8();
  for (let n = 0; n < nodes; n++) {
    if (column[n]! >= 0) continue;
    split[n] = lists > 65_536 ? reader.u32() : reader.u16();
    if (split[n]! >= lists) throw bad("a list of shares that there is not");
  }
  const shares = reader.u16s(lists * classes);
  return { column, split, shares, gain: new Float64Array(width) };
}
