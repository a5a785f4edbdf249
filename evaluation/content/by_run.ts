import { Draws } from "../../plugins/attacks/draws.ts";
import { RandomForest } from "../../plugins/attacks/forest.ts";
import type { Rows } from "../../plugins/attacks/scaler.ts";
import { areaUnderCurve, shareOf } from "../metrics.ts";
import { leafVectors, nearestByHamming } from "./leaf_neighbours.ts";

/** Observations with what they are of, and the run that each is from. */
export interface RunRows {
  /** One row each. */
  readonly rows: Rows;
  /** Class of each. */
  readonly labels: Uint16Array;
  /** Run of each. */
  readonly runs: Uint16Array;
  /** Number of classes. */
  readonly classes: number;
}

/** A share with Wilson's interval, and how far apart the runs are. */
export interface Accuracy {
  /** Share of all. */
  readonly share: number;
  /** Wilson's 95 % interval. */
  readonly ci95: readonly [number, number];
  /** Cases. */
  readonly n: number;
  /** The least and the greatest share of a run. */
  readonly runs: readonly [number, number];
}

/** How well classes are told apart when every run is judged by what the others taught. */
export interface ToldByRun {
  /** Of the forest. */
  readonly forest: Accuracy;
  /** Of the nearest neighbours by leaves. */
  readonly neighbours: Accuracy;
  /** What guessing comes to: the share of the most frequent class. */
  readonly chance: number;
  /** Verdicts of the forest: `confusion[class][verdict]`. */
  readonly confusion: readonly (readonly number[])[];
  /** Columns that told most, by the decrease of impurity over all runs. */
  readonly telling: readonly number[];
  /** With two classes: area under the forest's ROC curve, pooled, with an interval by bootstrap over runs. */
  readonly auc?: { readonly value: number; readonly ci95: readonly [number, number] };
}

/** How {@linkcode toldByRun} attacks. */
export interface ByRunOptions {
  /** Trees. */
  readonly trees: number;
  /** Unsigned 32-bit seed. */
  readonly seed: number;
}

/** Neighbours that vote. */
const NEIGHBOURS = 3;
const RESAMPLES = 1000;

/** The rows of some indices. */
function select({ width, values }: Rows, indices: readonly number[]): Rows {
  const found = new Float64Array(indices.length * width);
  indices.forEach((index, i) =>
    found.set(values.subarray(index * width, (index + 1) * width), i * width)
  );
  return { count: indices.length, width, values: found };
}

function accuracyOf(right: Uint8Array, runs: Uint16Array): Accuracy {
  const byRun = new Map<number, [number, number]>();
  for (let i = 0; i < right.length; i++) {
    const own = byRun.get(runs[i]!) ?? [0, 0];
    own[0] += right[i]!;
    own[1]++;
    byRun.set(runs[i]!, own);
  }
  const shares = [...byRun.values()].map(([hits, n]) => hits / n);
  const { ci95, n, share } = shareOf(right.reduce((sum, hit) => sum + hit, 0), right.length);
  return { share, ci95, n, runs: [Math.min(...shares), Math.max(...shares)] };
}

/**
 * Each run in turn is judged by a forest, and by nearest neighbours among the forest's leaf vectors, that all other
 * runs taught.
 */
export function toldByRun(
  { classes, labels, rows, runs }: RunRows,
  { seed, trees }: ByRunOptions,
): ToldByRun {
  const byForest = new Uint8Array(rows.count);
  const byNeighbours = new Uint8Array(rows.count);
  const scores = new Float64Array(rows.count);
  const confusion = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
  const importance = new Float64Array(rows.width);
  const all = Array.from({ length: rows.count }, (_, i) => i);
  for (const run of new Set(runs)) {
    const known = all.filter((i) => runs[i] !== run);
    const asked = all.filter((i) => runs[i] === run);
    const train = select(rows, known);
    const test = select(rows, asked);
    const own = Uint16Array.from(known, (i) => labels[i]!);
    const forest = RandomForest.grow(train, own, classes, { trees, seed });
    forest.importance.forEach((value, column) => importance[column]! += value);
    const shares = forest.shares(test);
    const neighbours = nearestByHamming(
      leafVectors(forest, train),
      own,
      leafVectors(forest, test),
      trees,
      classes,
      NEIGHBOURS,
    );
    asked.forEach((index, i) => {
      const votes = shares.subarray(i * classes, (i + 1) * classes);
      let best = 0;
      for (let c = 1; c < classes; c++) if (votes[c]! > votes[best]!) best = c;
      const truth = labels[index]!;
      byForest[index] = +(best === truth);
      byNeighbours[index] = +(neighbours[i] === truth);
      scores[index] = votes[1]!;
      confusion[truth]![best]!++;
    });
  }
  const counts = confusion.map((row) => row.reduce((sum, count) => sum + count, 0));
  return {
    forest: accuracyOf(byForest, runs),
    neighbours: accuracyOf(byNeighbours, runs),
    chance: Math.max(...counts) / rows.count,
    confusion,
    telling: Array.from(importance.keys()).sort((a, b) => importance[b]! - importance[a]!)
      .slice(0, 5),
    ...(classes === 2 ? { auc: areaOverRuns(scores, labels, runs, new Draws(seed)) } : {}),
  };
}

/** The mean over runs of the area under the ROC curve, resampled over runs. */
function areaOverRuns(
  scores: Float64Array,
  labels: Uint16Array,
  runs: Uint16Array,
  draws: Draws,
): { readonly value: number; readonly ci95: readonly [number, number] } {
  const areas = [...new Set(runs)].map((run) => {
    const own = Array.from(runs.keys()).filter((i) => runs[i] === run);
    return areaUnderCurve(own.map((i) => scores[i]!), own.map((i) => labels[i]!));
  }).filter((area) => !Number.isNaN(area));
  return { value: meanOf(areas), ci95: bootstrapMean(areas, draws) };
}

/** The mean of some numbers; NaN of none. */
export function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** A 95 % interval of the mean of some figures, one a run, by drawing runs again. */
export function bootstrapMean(figures: readonly number[], draws: Draws): [number, number] {
  const means = Float64Array.from({ length: RESAMPLES }, () => {
    let sum = 0;
    for (let i = 0; i < figures.length; i++) sum += figures[draws.integer(figures.length)]!;
    return sum / figures.length;
  }).sort();
  return [means[Math.floor(0.025 * RESAMPLES)]!, means[Math.floor(0.975 * RESAMPLES)]!];
}
