import { binRows, type Edges, joinEdges } from "./forest_bins.ts";
import type { GrowOptions, Tree } from "./forest_grow.ts";
import { addVotes, layOut, type Nodes, votesToShares } from "./forest_nodes.ts";
import { binnedRows, fillTable, tableMemory } from "./forest_table.ts";
import { growTrees, type SomeTrees } from "./forest_trees.ts";
import type { Rows } from "./scaler.ts";

/** How a forest is grown. */
export interface ForestOptions {
  /** Number of trees. */
  readonly trees: number;
  /** Columns that each split chooses among; the square root of their number unless told. */
  readonly tries?: number;
  /** Samples that a leaf must hold; 1 unless told. */
  readonly leaf?: number;
  /**
   * Weight of a row of each class; 1 unless told. `balanced` gives every class the same weight in all,
   * however many rows it has.
   */
  readonly weights?: "balanced" | readonly number[];
  /** Seed of the bootstrap and of the columns tried, an integer; its low 32 bits count. */
  readonly seed: number;
}

/** What a forest is made of, plain data: what its file holds. */
export interface ForestParts {
  /** Number of columns. */
  readonly width: number;
  /** Number of classes. */
  readonly classes: number;
  /** Where the columns are cut. */
  readonly edges: Edges;
  /** The trees. */
  readonly trees: readonly Tree[];
  /** See {@linkcode RandomForest.outOfBagAccuracy}. */
  readonly outOfBagAccuracy: number;
  /** See {@linkcode RandomForest.importance}. */
  readonly importance: Float64Array;
}

/** Rows that are walked down the trees at a time, which bounds memory: each tree is fetched once for them. */
const BLOCK = 16_384;

/**
 * A random forest (Breiman 2001) for classification on typed arrays: bootstrap samples, the best Gini
 * split among a few random columns at each node, trees grown until pure, class shares averaged. Columns
 * are cut into at most 255 values at quantiles of the training rows; with fewer distinct values splits
 * are exact. The same rows, options and seed make the same forest, bit by bit, however many workers
 * share the work ({@linkcode growForest} in `forest_workers.ts`).
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
  /** What it is made of. */
  readonly parts: ForestParts;
  readonly #nodes: Nodes;

  /** A forest of these parts. */
  constructor(parts: ForestParts) {
    this.parts = parts;
    this.#nodes = layOut(parts.trees, parts.classes);
  }

  /** Share of training rows that the trees which did not see them label rightly; NaN without any. */
  get outOfBagAccuracy(): number {
    return this.parts.outOfBagAccuracy;
  }

  /**
   * How much each column took away of the trees' Gini impurity, weighted by the rows that it split: the
   * mean over the trees, of which each sums to 1. Beware: it favours columns with many values.
   */
  get importance(): Float64Array {
    return this.parts.importance;
  }

  /** Grows a forest on `rows`, whose classes `labels` tells (0 up to `classes`), in this thread. */
  static grow(
    rows: Rows,
    labels: Uint16Array,
    classes: number,
    options: ForestOptions,
  ): RandomForest {
    const memory = tableMemory(rows, labels, classes, false);
    const edges = fillTable(memory, 0, rows.width);
    const grow = growOptions(rows, labels, classes, options);
    let next = 0;
    const all = growTrees(
      binnedRows(memory),
      grow,
      () => next < options.trees ? next++ : undefined,
    );
    return assemble(rows.width, classes, labels, edges, [all]);
  }

  /** Row-major `count x classes`: the mean over the trees of the class shares in the leaf reached. */
  shares(rows: Rows): Float64Array {
    const { classes, edges, width } = this.parts;
    const votes = new Float64Array(rows.count * classes);
    const all = Int32Array.from({ length: Math.min(BLOCK, rows.count) }, (_, row) => row);
    for (let from = 0; from < rows.count; from += BLOCK) {
      const count = Math.min(BLOCK, rows.count - from);
      const values = rows.values.subarray(from * width, (from + count) * width);
      const bins = binRows({ count, width, values }, edges);
      const into = votes.subarray(from * classes, (from + count) * classes);
      for (const root of this.#nodes.roots) {
        addVotes(this.#nodes, root, bins, width, all, count, classes, into);
      }
    }
    return votesToShares(votes, classes);
  }
}

/** The options with what was not told filled in. */
export function growOptions(
  rows: Rows,
  labels: Uint16Array,
  classes: number,
  options: ForestOptions,
): GrowOptions {
  const tries = options.tries ?? Math.max(1, Math.floor(Math.sqrt(rows.width)));
  const weights = new Float64Array(classes).fill(1);
  if (options.weights === "balanced") {
    const counts = new Float64Array(classes);
    for (let row = 0; row < rows.count; row++) counts[labels[row]!]!++;
    const present = counts.reduce((sum, n) => sum + +(n > 0), 0);
    for (let c = 0; c < classes; c++) weights[c] = rows.count / (present * Math.max(1, counts[c]!));
  } else if (options.weights !== undefined) weights.set(options.weights);
  return { tries, leaf: options.leaf ?? 1, seed: options.seed, weights };
}

/** Joins what several growers have grown into one forest, in the order of the trees' numbers. */
export function assemble(
  width: number,
  classes: number,
  labels: Uint16Array,
  edges: readonly Float64Array[],
  grown: readonly SomeTrees[],
): RandomForest {
  const trees: Tree[] = [];
  for (const { indices, trees: some } of grown) {
    indices.forEach((index, i) => trees[index] = some[i]!);
  }
  const importance = new Float64Array(width);
  for (const { gain } of trees) {
    const sum = gain.reduce((total, own) => total + own, 0);
    if (sum > 0) gain.forEach((own, column) => importance[column]! += own / sum);
  }
  const total = importance.reduce((sum, own) => sum + own, 0);
  if (total > 0) { for (let c = 0; c < width; c++) importance[c]! /= total; }
  const votes = grown[0]!.votes.slice();
  for (const { votes: more } of grown.slice(1)) {
    for (let i = 0; i < votes.length; i++) votes[i]! += more[i]!;
  }
  return new RandomForest({
    width,
    classes,
    edges: joinEdges(edges),
    trees,
    outOfBagAccuracy: accuracyOf(votes, labels, classes),
    importance,
  });
}

function accuracyOf(votes: Float64Array, labels: Uint16Array, classes: number): number {
  let seen = 0;
  let right = 0;
  for (let row = 0, at = 0; at < votes.length; row++, at += classes) {
    let best = 0;
    for (let c = 1; c < classes; c++) if (votes[at + c]! > votes[at + best]!) best = c;
    if (votes[at + best] === 0) continue;
    seen++;
    if (best === labels[row]) right++;
  }
  return right / seen;
}
