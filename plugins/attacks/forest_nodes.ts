import type { Tree } from "./forest_grow.ts";

/** Trees laid out for walking. */
export interface Nodes {
  /**
   * Two numbers a node: column and greatest bin of the left side (`column << 8 | bin`), then the place of
   * the left child in this array. The right child is two places on.
   */
  readonly nodes: Int32Array;
  /** Offset into `shares` of each leaf, by half its place in `nodes`. */
  readonly leaf: Uint32Array;
  /** The classes' shares, in 65,535ths. */
  readonly shares: Uint16Array;
  /** The place of each tree's first node in `nodes`. */
  readonly roots: Uint32Array;
}

/**
 * Lays trees out for walking. A leaf is its own left child, and no bin lies above its 255. Depth first: the
 * later steps of a walk are near each other in memory, and memory is what walking waits for.
 */
export function layOut(trees: readonly Tree[], classes: number): Nodes {
  let size = 0;
  let lists = 0;
  for (const tree of trees) {
    size += tree.column.length;
    lists += tree.shares.length;
  }
  const nodes = new Int32Array(2 * size);
  const leaf = new Uint32Array(size);
  const shares = new Uint16Array(lists);
  const roots = new Uint32Array(trees.length);
  let base = 0;
  let list = 0;
  trees.forEach(({ column, split, shares: own }, t) => {
    roots[t] = 2 * base;
    const place = depthFirst(column);
    let child = 1;
    for (let n = 0; n < column.length; n++) {
      const at = base + place[n]!;
      if (column[n]! < 0) {
        nodes[2 * at] = 255;
        nodes[2 * at + 1] = 2 * at;
        leaf[at] = list + split[n]! * classes;
      } else {
        nodes[2 * at] = column[n]! << 8 | split[n]!;
        nodes[2 * at + 1] = 2 * (base + place[child]!);
        child += 2;
      }
    }
    shares.set(own, list);
    base += column.length;
    list += own.length;
  });
  return { nodes, leaf, shares, roots };
}

/** The place of each node of a tree, level by level, when siblings lie side by side and subtrees together. */
function depthFirst(column: Int32Array): Uint32Array {
  // Inner nodes at and below each node: as many pairs of children lie in its subtree.
  const pairs = new Uint32Array(column.length);
  let child = column.length;
  for (let n = column.length - 1; n >= 0; n--) {
    if (column[n]! < 0) continue;
    child -= 2;
    pairs[n] = 1 + pairs[child]! + pairs[child + 1]!;
  }
  const place = new Uint32Array(column.length);
  const next = new Uint32Array(column.length).fill(1, 0, 1);
  for (let n = 0; n < column.length; n++) {
    if (column[n]! < 0) continue;
    const at = next[n]!;
    place[child] = at;
    place[child + 1] = at + 1;
    next[child] = at + 2;
    next[child + 1] = at + 2 + 2 * pairs[child]!;
    child += 2;
  }
  return place;
}

/**
 * Walks rows down one tree and adds their leaves' shares to `votes` (row-major, `classes` wide). Four rows
 * go side by side, and no step branches on a comparison: that is what walking costs.
 *
 * @param bins Row-major bins, `stride` apart.
 * @param rows The rows that walk, `count` of them.
 */
export function addVotes(
  { nodes, leaf, shares }: Nodes,
  root: number,
  bins: Uint8Array,
  stride: number,
  rows: Int32Array,
  count: number,
  classes: number,
  votes: Float64Array,
): void {
  let at = 0;
  for (; at + 4 <= count; at += 4) {
    const b0 = rows[at]! * stride;
    const b1 = rows[at + 1]! * stride;
    const b2 = rows[at + 2]! * stride;
    const b3 = rows[at + 3]! * stride;
    let n0 = root;
    let n1 = root;
    let n2 = root;
    let n3 = root;
    for (;;) {
      const k0 = nodes[n0]!;
      const k1 = nodes[n1]!;
      const k2 = nodes[n2]!;
      const k3 = nodes[n3]!;
      const m0 = nodes[n0 + 1]! + (((k0 & 255) - bins[b0 + (k0 >>> 8)]!) >>> 30 & 2);
      const m1 = nodes[n1 + 1]! + (((k1 & 255) - bins[b1 + (k1 >>> 8)]!) >>> 30 & 2);
      const m2 = nodes[n2 + 1]! + (((k2 & 255) - bins[b2 + (k2 >>> 8)]!) >>> 30 & 2);
      const m3 = nodes[n3 + 1]! + (((k3 & 255) - bins[b3 + (k3 >>> 8)]!) >>> 30 & 2);
      const moved = (m0 ^ n0) | (m1 ^ n1) | (m2 ^ n2) | (m3 ^ n3);
      n0 = m0;
      n1 = m1;
      n2 = m2;
      n3 = m3;
      if (moved === 0) break;
    }
    add(shares, leaf[n0 >>> 1]!, votes, rows[at]! * classes, classes);
    add(shares, leaf[n1 >>> 1]!, votes, rows[at + 1]! * classes, classes);
    add(shares, leaf[n2 >>> 1]!, votes, rows[at + 2]! * classes, classes);
    add(shares, leaf[n3 >>> 1]!, votes, rows[at + 3]! * classes, classes);
  }
  for (; at < count; at++) {
    const row = rows[at]!;
    const node = walk(nodes, root, bins, row * stride);
    add(shares, leaf[node >>> 1]!, votes, row * classes, classes);
  }
}

function add(
  shares: Uint16Array,
  from: number,
  votes: Float64Array,
  to: number,
  classes: number,
): void {
  for (let c = 0; c < classes; c++) votes[to + c]! += shares[from + c]!;
}

/** The place of the leaf that the row at `base` of `bins` reaches from `root`. */
function walk(nodes: Int32Array, root: number, bins: Uint8Array, base: number): number {
  for (let node = root;;) {
    const key = nodes[node]!;
    const next = nodes[node + 1]! + (((key & 255) - bins[base + (key >>> 8)]!) >>> 30 & 2);
    if (next === node) return node;
    node = next;
  }
}

/** Votes as shares that sum to 1 for each row, in place; a row without votes keeps zeros. */
export function votesToShares(votes: Float64Array, classes: number): Float64Array {
  for (let at = 0; at < votes.length; at += classes) {
    let sum = 0;
    for (let c = 0; c < classes; c++) sum += votes[at + c]!;
    if (sum > 0) { for (let c = 0; c < classes; c++) votes[at + c]! /= sum; }
  }
  return votes;
}
