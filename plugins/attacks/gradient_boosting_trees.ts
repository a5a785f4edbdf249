import { Draws } from "./draws.ts";
import { binRows, type Edges, joinEdges } from "./forest_bins.ts";
import type { BinnedRows } from "./forest_grow.ts";
import { binnedRows, fillTable, tableMemory } from "./forest_table.ts";
import type { Rows } from "./scaler.ts";

/** How trees are boosted. */
export interface BoostingOptions {
  /** Rounds: each adds one tree for each score (one for two classes, else one a class). */
  readonly rounds: number;
  /** Share of each tree's values that counts, from 0 to 1. */
  readonly rate: number;
  /** Most leaves of a tree. */
  readonly leaves: number;
  /** Rows that a leaf must hold. */
  readonly leaf: number;
  /** Share of the rows that each round sees. */
  readonly rows: number;
  /** Share of the columns that each tree chooses among. */
  readonly columns: number;
  /** Added to the second derivatives: what pulls the values of small leaves to 0. */
  readonly ridge: number;
  /** Seed of the rows and columns drawn, an integer; its low 32 bits count. */
  readonly seed: number;
}

/** The usual options, but for the seed. */
export const BOOSTING: Omit<BoostingOptions, "seed"> = {
  rounds: 150,
  rate: 0.1,
  leaves: 15,
  leaf: 5,
  rows: 0.8,
  columns: 0.5,
  ridge: 1,
};

const BINS = 256;
/** Numbers of a histogram's bin: sum of gradients, sum of second derivatives, rows. */
const PER_BIN = 3;

/** A tree of values. An inner node's children are at `left` and `left + 1`. */
interface ValueTree {
  /** Column of each inner node; -1 for a leaf. */
  readonly column: Int32Array;
  /** Greatest bin that goes left. */
  readonly bin: Uint8Array;
  /** The left child of an inner node. */
  readonly left: Int32Array;
  /** Value of a leaf. */
  readonly value: Float64Array;
}

/** A leaf that may be split, and the best way to do it. */
interface Leaf {
  node: number;
  from: number;
  to: number;
  histogram: Float64Array;
  gain: number;
  column: number;
  bin: number;
}

/**
 * Gradient-boosted trees for classification (Friedman 2001, with second derivatives and histograms as XGBoost and
 * LightGBM have them) on typed arrays: logistic loss for two classes, softmax for more, trees grown leaf by leaf at
 * the greatest gain. Columns are cut into at most 255 values like those of the random forest. The same rows, options
 * and seed make the same trees.
 *
 * @example
 * ```ts
 * import { BoostedTrees, BOOSTING } from "./gradient_boosting_trees.ts";
 * const count = 40;
 * const values = Float64Array.from({ length: count }, (_, i) => i);
 * const labels = Uint16Array.from(values, (value) => value < 20 ? 0 : 1);
 * const trees = BoostedTrees.fit({ count, width: 1, values }, labels, 2, { ...BOOSTING, seed: 1 });
 * const shares = trees.shares({ count: 1, width: 1, values: Float64Array.of(35) });
 * if (shares[1]! < 0.9) throw new Error("35 is on the side of 1");
 * ```
 */
export class BoostedTrees {
  private constructor(
    /** Number of classes. */
    readonly classes: number,
    readonly width: number,
    private readonly edges: Edges,
    private readonly base: Float64Array,
    /** Round after round, the trees of each score. */
    private readonly trees: readonly ValueTree[],
    /** How much each column took away of the loss, in shares that sum to 1. */
    readonly importance: Float64Array,
  ) {}

  /** Boosts trees on `rows`, whose classes `labels` tells (0 up to `classes`). */
  static fit(
    rows: Rows,
    labels: Uint16Array,
    classes: number,
    options: BoostingOptions,
  ): BoostedTrees {
    const memory = tableMemory(rows, labels, classes, false);
    const edges = joinEdges(fillTable(memory, 0, rows.width));
    const booster = new Booster(binnedRows(memory), options);
    const trees = booster.run();
    const total = booster.gains.reduce((sum, gain) => sum + gain, 0);
    const importance = booster.gains.map((gain) => total === 0 ? 0 : gain / total);
    return new BoostedTrees(classes, rows.width, edges, booster.base, trees, importance);
  }

  /** Each class's probability, row-major `count x classes`. */
  shares(rows: Rows): Float64Array {
    const { base, classes, edges, trees, width } = this;
    if (rows.width !== width) throw new Error(`rows of ${rows.width} columns, not ${width}`);
    const bins = binRows(rows, edges);
    const scores = base.length;
    const score = new Float64Array(scores);
    const shares = new Float64Array(rows.count * classes);
    for (let row = 0; row < rows.count; row++) {
      score.set(base);
      for (let t = 0; t < trees.length; t++) {
        score[t % scores]! += valueOf(trees[t]!, bins, row * width);
      }
      probabilities(score, shares, row * classes);
    }
    return shares;
  }
}

function valueOf(
  { column, bin, left, value }: ValueTree,
  bins: Uint8Array,
  row: number,
): number {
  let node = 0;
  while (column[node]! >= 0) {
    node = left[node]! + +(bins[row + column[node]!]! > bin[node]!);
  }
  return value[node]!;
}

/** Writes the probabilities of all classes for the scores of one row. */
function probabilities(score: Float64Array, into: Float64Array, at: number): void {
  if (score.length === 1) {
    const second = 1 / (1 + Math.exp(-score[0]!));
    into[at] = 1 - second;
    into[at + 1] = second;
    return;
  }
  let most = -Infinity;
  for (let k = 0; k < score.length; k++) most = Math.max(most, score[k]!);
  let sum = 0;
  for (let k = 0; k < score.length; k++) sum += into[at + k] = Math.exp(score[k]! - most);
  for (let k = 0; k < score.length; k++) into[at + k]! /= sum;
}

class Booster {
  /** Scores before the first tree: logarithms of the classes' odds or shares. */
  readonly base: Float64Array;
  /** Gain of each column over all trees. */
  readonly gains: Float64Array;
  readonly #data: BinnedRows;
  readonly #options: BoostingOptions;
  readonly #draws: Draws;
  readonly #scores: Float64Array;
  readonly #gradient: Float64Array;
  readonly #curvature: Float64Array;
  readonly #order: Int32Array;
  readonly #spare: Int32Array;
  readonly #columns: Int32Array;
  readonly #pool: Float64Array[] = [];
  #tried = 0;

  constructor(data: BinnedRows, options: BoostingOptions) {
    const { classes, count, labels, width } = data;
    this.#data = data;
    this.#options = options;
    this.#draws = new Draws(options.seed);
    const shares = new Float64Array(classes);
    for (let row = 0; row < count; row++) shares[labels[row]!]! += 1 / count;
    // A class without rows gets a score that is low, not minus infinity.
    const log = (share: number) => Math.log(Math.max(share, 1e-6));
    this.base = classes === 2
      ? Float64Array.of(log(shares[1]!) - log(shares[0]!))
      : shares.map(log);
    this.#scores = new Float64Array(count * this.base.length);
    for (let i = 0; i < this.#scores.length; i++) {
      this.#scores[i] = this.base[i % this.base.length]!;
    }
    this.gains = new Float64Array(width);
    this.#gradient = new Float64Array(count);
    this.#curvature = new Float64Array(count);
    this.#order = new Int32Array(count);
    this.#spare = new Int32Array(count);
    this.#columns = Int32Array.from({ length: width }, (_, column) => column);
  }

  run(): ValueTree[] {
    const { classes, count, labels, rowBins, stride } = this.#data;
    const { rounds, rows } = this.#options;
    const scores = this.base.length;
    const trees: ValueTree[] = [];
    const shares = new Float64Array(count * classes);
    const score = new Float64Array(scores);
    for (let round = 0; round < rounds; round++) {
      for (let row = 0; row < count; row++) {
        for (let k = 0; k < scores; k++) score[k] = this.#scores[row * scores + k]!;
        probabilities(score, shares, row * classes);
      }
      let size = 0;
      for (let row = 0; row < count; row++) {
        if (rows >= 1 || this.#draws.float() < rows) this.#order[size++] = row;
      }
      for (let k = 0; k < scores; k++) {
        const own = scores === 1 ? 1 : k;
        for (let row = 0; row < count; row++) {
          const share = shares[row * classes + own]!;
          this.#gradient[row] = share - (labels[row] === own ? 1 : 0);
          this.#curvature[row] = Math.max(1e-12, share * (1 - share));
        }
        const tree = this.#grow(size);
        trees.push(tree);
        for (let row = 0; row < count; row++) {
          this.#scores[row * scores + k]! += valueOf(tree, rowBins, row * stride);
        }
        // The tree's partition moved rows about; the next tree of this round sees the same ones.
      }
    }
    return trees;
  }

  /** Grows a tree on the first `size` rows of the order. */
  #grow(size: number): ValueTree {
    const { leaves, rate, ridge } = this.#options;
    const { width } = this.#data;
    this.#tried = Math.max(1, Math.round(this.#options.columns * width));
    for (let i = 0; i < this.#tried; i++) {
      const swap = i + this.#draws.integer(width - i);
      const held = this.#columns[i]!;
      this.#columns[i] = this.#columns[swap]!;
      this.#columns[swap] = held;
    }
    const most = 2 * leaves - 1;
    const column = new Int32Array(most).fill(-1);
    const bin = new Uint8Array(most);
    const left = new Int32Array(most);
    const value = new Float64Array(most);
    let nodes = 1;
    const open: Leaf[] = [this.#leafOf(0, 0, size)];
    this.#fill(open[0]!);
    this.#search(open[0]!);
    while (open.length < leaves) {
      let best: Leaf | undefined;
      for (const leaf of open) if (leaf.gain > (best?.gain ?? 0)) best = leaf;
      if (best === undefined) break;
      const { from, to, node } = best;
      const middle = this.#partition(best);
      this.gains[best.column]! += best.gain;
      column[node] = best.column;
      bin[node] = best.bin;
      left[node] = nodes;
      const other = this.#leafOf(0, 0, 0);
      const smallIsLeft = middle - from <= to - middle;
      // The larger child's histogram is its parent's less the smaller one's.
      const [small, large] = [other, best];
      [small.from, small.to, small.node] = smallIsLeft
        ? [from, middle, nodes]
        : [middle, to, nodes + 1];
      [large.from, large.to, large.node] = smallIsLeft
        ? [middle, to, nodes + 1]
        : [from, middle, nodes];
      this.#fill(small);
      this.#subtract(large.histogram, small.histogram);
      nodes += 2;
      open.push(small);
      this.#search(small);
      this.#search(large);
    }
    for (const leaf of open) {
      let gradient = 0;
      let curvature = 0;
      for (let i = leaf.from; i < leaf.to; i++) {
        gradient += this.#gradient[this.#order[i]!]!;
        curvature += this.#curvature[this.#order[i]!]!;
      }
      value[leaf.node] = leaf.to > leaf.from ? -rate * gradient / (curvature + ridge) : 0;
      this.#pool.push(leaf.histogram);
    }
    return {
      column: column.slice(0, nodes),
      bin: bin.slice(0, nodes),
      left: left.slice(0, nodes),
      value: value.slice(0, nodes),
    };
  }

  #leafOf(node: number, from: number, to: number): Leaf {
    const histogram = this.#pool.pop() ??
      new Float64Array(this.#data.width * BINS * PER_BIN);
    return { node, from, to, histogram, gain: 0, column: 0, bin: 0 };
  }

  /** Sums the leaf's rows by column and bin. */
  #fill({ from, to, histogram }: Leaf): void {
    const { bins, count } = this.#data;
    for (let tried = 0; tried < this.#tried; tried++) {
      const column = this.#columns[tried]!;
      const start = column * BINS * PER_BIN;
      histogram.fill(0, start, start + BINS * PER_BIN);
      const base = column * count;
      for (let i = from; i < to; i++) {
        const row = this.#order[i]!;
        const at = start + bins[base + row]! * PER_BIN;
        histogram[at]! += this.#gradient[row]!;
        histogram[at + 1]! += this.#curvature[row]!;
        histogram[at + 2]! += 1;
      }
    }
  }

  #subtract(from: Float64Array, what: Float64Array): void {
    for (let tried = 0; tried < this.#tried; tried++) {
      const start = this.#columns[tried]! * BINS * PER_BIN;
      for (let i = start; i < start + BINS * PER_BIN; i++) from[i]! -= what[i]!;
    }
  }

  /** Finds the split of a leaf that takes most from the loss; a gain of 0 where none does. */
  #search(leaf: Leaf): void {
    const { leaf: least, ridge } = this.#options;
    const { histogram } = leaf;
    const rows = leaf.to - leaf.from;
    leaf.gain = 0;
    if (rows < 2 * least) return;
    for (let tried = 0; tried < this.#tried; tried++) {
      const column = this.#columns[tried]!;
      const start = column * BINS * PER_BIN;
      let gradient = 0;
      let curvature = 0;
      for (let at = start; at < start + BINS * PER_BIN; at += PER_BIN) {
        gradient += histogram[at]!;
        curvature += histogram[at + 1]!;
      }
      const whole = gradient * gradient / (curvature + ridge);
      let leftGradient = 0;
      let leftCurvature = 0;
      let leftRows = 0;
      for (let bin = 0; bin < BINS - 1; bin++) {
        const at = start + bin * PER_BIN;
        const here = histogram[at + 2]!;
        if (here === 0) continue;
        leftGradient += histogram[at]!;
        leftCurvature += histogram[at + 1]!;
        leftRows += here;
        if (leftRows < least) continue;
        if (rows - leftRows < least) break;
        const rightGradient = gradient - leftGradient;
        const rightCurvature = Math.max(0, curvature - leftCurvature);
        const gain = leftGradient * leftGradient / (leftCurvature + ridge) +
          rightGradient * rightGradient / (rightCurvature + ridge) - whole;
        // What is as small as rounding is no gain.
        if (gain > leaf.gain && gain > 1e-9) {
          leaf.gain = gain;
          leaf.column = column;
          leaf.bin = bin;
        }
      }
    }
  }

  /** Moves the rows that go left to the front, both sides in order; returns their end. */
  #partition({ from, to, column, bin }: Leaf): number {
    const { bins, count } = this.#data;
    const base = column * count;
    let low = from;
    let high = 0;
    for (let i = from; i < to; i++) {
      const row = this.#order[i]!;
      if (bins[base + row]! <= bin) this.#order[low++] = row;
      else this.#spare[high++] = row;
    }
    for (let i = 0; i < high; i++) this.#order[low + i] = this.#spare[i]!;
    return low;
  }
}
