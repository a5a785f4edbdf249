import { Draws } from "./draws.ts";
import type { Rows } from "./scaler.ts";

/** How a forest is grown. */
export interface ForestOptions {
  /** Number of trees. */
  readonly trees: number;
  /** Columns that each split chooses among; the square root of their number unless told. */
  readonly tries?: number;
  /** Samples that a leaf must hold; 1 unless told. */
  readonly leaf?: number;
  /** Seed of the bootstrap and of the columns tried. */
  readonly seed: number;
}

/** Values a column is cut into at most: splits lie between two of them. */
const BINS = 255;

/** One tree as columns: inner nodes have a column and a threshold, leaves the shares of the classes. */
interface Tree {
  readonly column: Int32Array;
  readonly threshold: Float64Array;
  /** The left child (values up to the threshold); the right one follows it. For a leaf, its offset. */
  readonly child: Int32Array;
  readonly shares: Float64Array;
}

/**
 * A random forest (Breiman 2001) for classification on typed arrays: bootstrap samples, the best Gini
 * split among a few random columns at each node, trees grown until pure, class shares averaged. Columns
 * are cut into at most 255 values at quantiles of the training rows; with fewer distinct values splits
 * are exact.
 *
 * @example
 * ```ts
 * import { RandomForest } from "./forest.ts";
 * const rows = { count: 4, width: 1, values: Float64Array.of(1, 2, 8, 9) };
 * const forest = RandomForest.grow(rows, Uint16Array.of(0, 0, 1, 1), 2, { trees: 20, seed: 1 });
 * const shares = forest.shares({ count: 1, width: 1, values: Float64Array.of(10) });
 * if (shares[1]! < 0.5) throw new Error("10 is on the side of 8 and 9");
 * ```
 */
export class RandomForest {
  /** Share of training rows that the trees which did not see them label rightly; NaN without any. */
  readonly outOfBagAccuracy: number;
  readonly #trees: readonly Tree[];
  readonly #classes: number;

  private constructor(trees: readonly Tree[], classes: number, outOfBagAccuracy: number) {
    this.#trees = trees;
    this.#classes = classes;
    this.outOfBagAccuracy = outOfBagAccuracy;
  }

  /** Grows a forest on `rows`, whose classes `labels` tells (0 up to `classes`). */
  static grow(
    rows: Rows,
    labels: Uint16Array,
    classes: number,
    options: ForestOptions,
  ): RandomForest {
    const grower = new Grower(rows, labels, classes, options);
    const draws = new Draws(options.seed);
    const trees: Tree[] = [];
    const votes = new Float64Array(rows.count * classes);
    const bagged = new Uint8Array(rows.count);
    const bag = new Int32Array(rows.count);
    for (let t = 0; t < options.trees; t++) {
      bagged.fill(0);
      for (let i = 0; i < bag.length; i++) {
        bag[i] = draws.integer(rows.count);
        bagged[bag[i]!] = 1;
      }
      const tree = grower.tree(bag, draws);
      trees.push(tree);
      for (let row = 0; row < rows.count; row++) {
        if (bagged[row] === 0) addShares(tree, rows, row, classes, votes);
      }
    }
    let seen = 0;
    let right = 0;
    for (let row = 0; row < rows.count; row++) {
      let best = 0;
      let total = 0;
      for (let c = 0; c < classes; c++) {
        total += votes[row * classes + c]!;
        if (votes[row * classes + c]! > votes[row * classes + best]!) best = c;
      }
      if (total === 0) continue;
      seen++;
      if (best === labels[row]) right++;
    }
    return new RandomForest(trees, classes, right / seen);
  }

  /** Row-major `count x classes`: the mean over the trees of the class shares in the leaf reached. */
  shares(rows: Rows): Float64Array {
    const shares = new Float64Array(rows.count * this.#classes);
    for (const tree of this.#trees) {
      for (let row = 0; row < rows.count; row++) {
        addShares(tree, rows, row, this.#classes, shares);
      }
    }
    for (let i = 0; i < shares.length; i++) shares[i]! /= this.#trees.length;
    return shares;
  }
}

function addShares(tree: Tree, rows: Rows, row: number, classes: number, into: Float64Array): void {
  const base = row * rows.width;
  let node = 0;
  while (tree.column[node]! >= 0) {
    const right = rows.values[base + tree.column[node]!]! > tree.threshold[node]!;
    node = tree.child[node]! + (right ? 1 : 0);
  }
  const leaf = tree.child[node]!;
  for (let c = 0; c < classes; c++) into[row * classes + c]! += tree.shares[leaf + c]!;
}

/** A column cut into bins: `edges[b]` separates bin `b` from `b + 1`. */
interface Binned {
  readonly bins: Uint8Array;
  readonly edges: Float64Array;
}

function binColumn(rows: Rows, column: number): Binned {
  const sorted = new Float64Array(rows.count);
  for (let row = 0; row < rows.count; row++) sorted[row] = rows.values[row * rows.width + column]!;
  const values = sorted.slice();
  sorted.sort();
  const distinct = sorted.filter((value, i) => i === 0 || value !== sorted[i - 1]);
  const between = (low: number, high: number) => {
    const middle = low + (high - low) / 2;
    return middle < high ? middle : low;
  };
  let edges: Float64Array;
  if (distinct.length <= BINS) {
    edges = new Float64Array(Math.max(0, distinct.length - 1));
    for (let i = 0; i < edges.length; i++) edges[i] = between(distinct[i]!, distinct[i + 1]!);
  } else {
    const chosen = new Set<number>();
    for (let b = 1; b < BINS; b++) {
      const at = Math.floor((b * sorted.length) / BINS);
      const low = sorted[at - 1]!;
      let next = at;
      while (next < sorted.length && sorted[next] === low) next++;
      if (next < sorted.length) chosen.add(between(low, sorted[next]!));
    }
    edges = Float64Array.from(chosen).sort();
  }
  const bins = Uint8Array.from(values, (value) => {
    let low = 0;
    let high = edges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (value > edges[middle]!) low = middle + 1;
      else high = middle;
    }
    return low;
  });
  return { bins, edges };
}

class Grower {
  readonly #columns: readonly Binned[];
  readonly #labels: Uint16Array;
  readonly #classes: number;
  readonly #tries: number;
  readonly #leaf: number;
  readonly #order: Int32Array;
  readonly #histogram: Int32Array;
  readonly #left: Float64Array;
  readonly #total: Float64Array;

  constructor(rows: Rows, labels: Uint16Array, classes: number, options: ForestOptions) {
    this.#columns = Array.from({ length: rows.width }, (_, column) => binColumn(rows, column));
    this.#labels = labels;
    this.#classes = classes;
    this.#tries = options.tries ?? Math.max(1, Math.round(Math.sqrt(rows.width)));
    this.#leaf = options.leaf ?? 1;
    this.#order = Int32Array.from({ length: rows.width }, (_, column) => column);
    this.#histogram = new Int32Array((BINS + 1) * classes);
    this.#left = new Float64Array(classes);
    this.#total = new Float64Array(classes);
  }

  /** Grows one tree on the rows of `bag`, which it reorders. */
  tree(bag: Int32Array, draws: Draws): Tree {
    const column: number[] = [];
    const threshold: number[] = [];
    const child: number[] = [];
    const shares: number[] = [];
    const node = () => {
      threshold.push(0);
      child.push(0);
      return column.push(-1) - 1;
    };
    const waiting: [node: number, from: number, to: number][] = [[node(), 0, bag.length]];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const [at, from, to] = next;
      const split = this.#split(bag, from, to, draws);
      if (split === undefined) {
        child[at] = shares.length;
        for (let c = 0; c < this.#classes; c++) shares.push(this.#total[c]! / (to - from));
        continue;
      }
      const middle = partition(bag, from, to, this.#columns[split.column]!.bins, split.bin);
      column[at] = split.column;
      threshold[at] = this.#columns[split.column]!.edges[split.bin]!;
      child[at] = node();
      const right = node();
      waiting.push([right, middle, to], [child[at]!, from, middle]);
    }
    return {
      column: Int32Array.from(column),
      threshold: Float64Array.from(threshold),
      child: Int32Array.from(child),
      shares: Float64Array.from(shares),
    };
  }

  /** The best Gini split among a few columns; undefined for a leaf. Leaves the class counts in #total. */
  #split(
    bag: Int32Array,
    from: number,
    to: number,
    draws: Draws,
  ): { column: number; bin: number } | undefined {
    const total = this.#total.fill(0);
    const classes = this.#classes;
    for (let i = from; i < to; i++) total[this.#labels[bag[i]!]!]!++;
    const size = to - from;
    let pure = 0;
    for (let c = 0; c < classes; c++) pure += total[c]! * total[c]!;
    pure /= size;
    if (pure === size || size < 2 * this.#leaf) return undefined;
    let best: { column: number; bin: number } | undefined;
    let most = pure + 1e-9;
    const order = this.#order;
    // A column that does not vary here does not count as tried.
    for (let drawn = 0, tried = 0; drawn < order.length && tried < this.#tries; drawn++) {
      const swap = drawn + draws.integer(order.length - drawn);
      const chosen = order[swap]!;
      order[swap] = order[drawn]!;
      order[drawn] = chosen;
      const { bins } = this.#columns[chosen]!;
      const histogram = this.#histogram;
      let low = BINS;
      let high = 0;
      for (let i = from; i < to; i++) {
        const row = bag[i]!;
        const bin = bins[row]!;
        if (bin < low) low = bin;
        if (bin > high) high = bin;
        histogram[bin * classes + this.#labels[row]!]!++;
      }
      if (low < high) tried++;
      const left = this.#left.fill(0);
      let below = 0;
      for (let bin = low; bin < high; bin++) {
        let here = 0;
        for (let c = 0; c < classes; c++) {
          const count = histogram[bin * classes + c]!;
          left[c]! += count;
          here += count;
        }
        below += here;
        if (here === 0 || below < this.#leaf || size - below < this.#leaf) continue;
        let score = 0;
        let rest = 0;
        for (let c = 0; c < classes; c++) {
          score += left[c]! * left[c]!;
          rest += (total[c]! - left[c]!) ** 2;
        }
        score = score / below + rest / (size - below);
        if (score > most) {
          most = score;
          best = { column: chosen, bin };
        }
      }
      histogram.fill(0, low * classes, (high + 1) * classes);
    }
    return best;
  }
}

/** Moves the rows of `bag[from..to)` whose bin is at most `bin` to the front; returns their end. */
function partition(
  bag: Int32Array,
  from: number,
  to: number,
  bins: Uint8Array,
  bin: number,
): number {
  let low = from;
  let high = to - 1;
  while (low <= high) {
    const row = bag[low]!;
    if (bins[row]! <= bin) low++;
    else {
      bag[low] = bag[high]!;
      bag[high--] = row;
    }
  }
  return low;
}
