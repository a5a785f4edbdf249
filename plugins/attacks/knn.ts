import type {
  AttackOptions,
  AttackPlugin,
  LabelledSamples,
  SampleSet,
  TrainingNotes,
  Verdicts,
} from "../attack.ts";
import { Draws } from "./draws.ts";
import { groupedFolds } from "./grouped_folds.ts";
import { readParameters } from "./parameters.ts";
import {
  featureRows,
  fitSamples,
  fitScaler,
  logarithms,
  type Rows,
  scale,
  type Scaler,
} from "./scaler.ts";

const PARAMETERS = {
  /** Neighbours; 0 has it tuned. */
  k: { default: 0, min: 0, max: 1000, integer: true },
  /** Unknown where the nearest neighbour is farther than `t * m_k`; 0 has it tuned. */
  t: { default: 0, min: 0, max: 1e9 },
  /** Share of held-out samples of known classes that tuning lets be unknown. */
  falseUnknown: { default: 0.05, min: 0, max: 1 },
  /** 1 takes the logarithms of the features, 0 the features as they are. */
  log: { default: 1, min: 0, max: 1, integer: true },
  /** Least ratio of the smallest to the largest eigenvalue; 0 keeps every feature that varies. */
  eigen: { default: 0.001, min: 0, max: 1 },
} as const;

const CANDIDATE_K = [1, 3, 5, 7, 9, 11, 15];
const TUNING_FOLDS = 5;
/** More samples than this are thinned for tuning (not for the attack itself). */
const TUNING_SAMPLES = 4000;

/** The samples that an attack compares with. */
export interface Reference {
  /** Their scaled features. */
  readonly rows: Rows;
  /** Their classes. */
  readonly labels: Uint16Array;
}

/** Neighbours of one sample, nearest first; ties by class, so that the samples' order does not matter. */
class Neighbours {
  readonly distance: Float64Array;
  readonly label: Int32Array;
  size = 0;

  constructor(readonly k: number) {
    this.distance = new Float64Array(k);
    this.label = new Int32Array(k);
  }

  /** Finds the `k` nearest rows of `reference` that `use` admits to `query`'s row `at`. */
  find(reference: Reference, query: Rows, at: number, use?: (row: number) => boolean): void {
    const { rows: { count, width, values }, labels } = reference;
    const { distance, label, k } = this;
    const sought = query.values;
    const base = at * width;
    let size = 0;
    for (let row = 0; row < count; row++) {
      if (use !== undefined && !use(row)) continue;
      let square = 0;
      for (let j = 0, from = row * width; j < width; j++) {
        const difference = values[from + j]! - sought[base + j]!;
        square += difference * difference;
      }
      const own = labels[row]!;
      if (size === k) {
        const last = distance[k - 1]!;
        if (square > last || (square === last && own >= label[k - 1]!)) continue;
      } else size++;
      let place = size - 1;
      while (
        place > 0 &&
        (distance[place - 1]! > square ||
          (distance[place - 1]! === square && label[place - 1]! > own))
      ) {
        distance[place] = distance[place - 1]!;
        label[place] = label[place - 1]!;
        place--;
      }
      distance[place] = square;
      label[place] = own;
    }
    for (let i = 0; i < size; i++) distance[i] = Math.sqrt(distance[i]!);
    this.size = size;
  }

  /** The class that the first `k` neighbours vote for with weight 1/d, and its share of the votes. */
  vote(k: number, votes: Float64Array): { label: number; share: number } {
    votes.fill(0);
    const voters = Math.min(k, this.size);
    const exact = this.distance[0] === 0;
    let total = 0;
    for (let i = 0; i < voters; i++) {
      const far = this.distance[i]!;
      if (exact && far > 0) break;
      const weight = exact ? 1 : 1 / far;
      votes[this.label[i]!]! += weight;
      total += weight;
    }
    let label = 0;
    for (let c = 1; c < votes.length; c++) if (votes[c]! > votes[label]!) label = c;
    return { label, share: total > 0 ? Math.min(1, votes[label]! / total) : 0 };
  }
}

/** Largest distance of a training sample of each class from the class's centroid: the seed's `m_k`. */
function classRadii(
  reference: Reference,
  classes: number,
  use: (row: number) => boolean = () => true,
): Float64Array {
  const { rows: { count, width, values }, labels } = reference;
  const centroids = new Float64Array(classes * width);
  const sizes = new Float64Array(classes);
  for (let row = 0; row < count; row++) {
    if (!use(row)) continue;
    const own = labels[row]!;
    sizes[own]!++;
    for (let j = 0; j < width; j++) centroids[own * width + j]! += values[row * width + j]!;
  }
  for (let i = 0; i < centroids.length; i++) {
    centroids[i]! /= Math.max(1, sizes[Math.floor(i / width)]!);
  }
  const radii = new Float64Array(classes);
  for (let row = 0; row < count; row++) {
    if (!use(row)) continue;
    const own = labels[row]!;
    let square = 0;
    for (let j = 0; j < width; j++) {
      square += (values[row * width + j]! - centroids[own * width + j]!) ** 2;
    }
    radii[own] = Math.max(radii[own]!, Math.sqrt(square));
  }
  return radii;
}

/** How far a sample lies in units of its class's radius. */
function strangeness(nearest: number, radius: number): number {
  if (nearest === 0) return 0;
  return Math.min(nearest / radius, 1e9);
}

interface Tuning {
  readonly k: number;
  readonly t: number;
  readonly notes: Record<string, string | number>;
}

/**
 * Chooses `k` by the balanced accuracy of a cross-validation that splits no capture, and `t` by letting
 * each class in turn play the unknown one: nothing of it is in the training part, and `t` maximises the
 * mean of two shares, those of held-out samples of the other classes that are accepted and those of the
 * left-out class that are not, while at most `falseUnknown` of the former are turned away. (Tuned on known
 * classes alone `t` would only grow.)
 */
function tune(
  samples: LabelledSamples,
  rows: Rows,
  columns: readonly number[],
  seed: number,
  falseUnknown: number,
): Tuning {
  const { labels } = samples;
  const classes = samples.labelNames.length;
  const folds = groupedFolds(samples, TUNING_FOLDS, seed);
  if (folds.count < 2) return { k: 1, t: 1, notes: { tuning: "too few samples: k = 1, t = 1" } };
  const picked = new Uint8Array(rows.count).fill(1);
  if (rows.count > TUNING_SAMPLES) {
    const order = new Draws(seed).shuffle(Uint32Array.from(picked.keys()));
    for (let i = TUNING_SAMPLES; i < order.length; i++) picked[order[i]!] = 0;
  }
  const largest = CANDIDATE_K.at(-1)!;
  const found = new Neighbours(largest);
  const votes = new Float64Array(classes);
  const right = CANDIDATE_K.map(() => new Float64Array(classes));
  const tested = new Float64Array(classes);
  const scaled: { reference: Reference; train: (row: number) => boolean }[] = [];
  for (let fold = 0; fold < folds.count; fold++) {
    const train = (row: number) => folds.fold[row] !== fold && picked[row] === 1;
    const reference = { rows: scale(rows, fitScaler(rows, columns, train)), labels };
    scaled.push({ reference, train });
    for (let row = 0; row < rows.count; row++) {
      if (folds.fold[row] !== fold || picked[row] === 0) continue;
      found.find(reference, reference.rows, row, train);
      tested[labels[row]!]!++;
      CANDIDATE_K.forEach((k, index) => {
        const { label } = found.vote(k, votes);
        if (label === labels[row]) right[index]![label]!++;
      });
    }
  }
  const balanced = right.map((hits) => meanShare(hits, tested));
  const k = CANDIDATE_K[balanced.indexOf(Math.max(...balanced))]!;
  const notes: Record<string, string | number> = {
    tuning: `${folds.count} folds by ${folds.grouping}`,
    tunedAccuracy: Math.max(...balanced),
  };
  if (classes < 2) return { k, t: 1, notes: { ...notes, threshold: "one class only: t = 1" } };
  const trials: Trial[] = [];
  for (let unknown = 0; unknown < classes; unknown++) {
    for (let fold = 0; fold < folds.count; fold++) {
      const { reference, train } = scaled[fold]!;
      const known = (row: number) => train(row) && labels[row] !== unknown;
      const radii = classRadii(reference, classes, known);
      for (let row = 0; row < rows.count; row++) {
        if (folds.fold[row] !== fold || picked[row] === 0) continue;
        found.find(reference, reference.rows, row, known);
        if (found.size === 0) continue;
        const { label } = found.vote(k, votes);
        const ratio = strangeness(found.distance[0]!, radii[label]!);
        trials.push({ unknown, own: labels[row]!, ratio });
      }
    }
  }
  const { t, score } = chooseThreshold(trials, classes, falseUnknown);
  return { k, t, notes: { ...notes, unknownBalancedAccuracy: score } };
}

/** A held-out sample of class `own` judged while class `unknown` was left out. */
interface Trial {
  readonly unknown: number;
  readonly own: number;
  readonly ratio: number;
}

/** The `t` of the best balanced accuracy that turns away few enough of the known; the larger of equals. */
function chooseThreshold(
  trials: Trial[],
  classes: number,
  falseUnknown: number,
): { t: number; score: number } {
  trials.sort((a, b) => a.ratio - b.ratio);
  // Each (unknown, own) pair is a cell; within the cell of an unknown class, flagged counts as right.
  const cells = new Float64Array(classes * classes);
  for (const { unknown, own } of trials) cells[unknown * classes + own]!++;
  const under = new Float64Array(classes * classes);
  const score = () => {
    let sum = 0;
    let counted = 0;
    let kept = 0;
    for (let unknown = 0; unknown < classes; unknown++) {
      const mine = unknown * classes + unknown;
      let accepted = 0;
      let known = 0;
      for (let own = 0; own < classes; own++) {
        const cell = unknown * classes + own;
        if (own === unknown || cells[cell] === 0) continue;
        accepted += under[cell]! / cells[cell]!;
        known++;
      }
      if (known === 0 || cells[mine] === 0) continue;
      kept += accepted / known;
      sum += (accepted / known + 1 - under[mine]! / cells[mine]!) / 2;
      counted++;
    }
    return kept >= (1 - falseUnknown) * counted ? sum / Math.max(1, counted) : -1;
  };
  let best = { t: 1, score: -1 };
  for (let i = 0; i < trials.length;) {
    const ratio = trials[i]!.ratio;
    while (i < trials.length && trials[i]!.ratio === ratio) {
      under[trials[i]!.unknown * classes + trials[i]!.own]!++;
      i++;
    }
    const next = trials[i]?.ratio ?? ratio * 2;
    const now = score();
    if (now >= best.score) {
      best = { t: ratio > 0 ? Math.sqrt(ratio * Math.max(next, 1e-12)) : next / 2, score: now };
    }
  }
  return best;
}

function meanShare(part: Float64Array, whole: Float64Array): number {
  let sum = 0;
  let counted = 0;
  for (let i = 0; i < whole.length; i++) {
    if (whole[i] === 0) continue;
    sum += part[i]! / whole[i]!;
    counted++;
  }
  return counted === 0 ? 0 : sum / counted;
}

/** What nearest neighbours are found by. */
export interface NeighbourModel {
  /** The training samples, scaled. */
  readonly reference: Reference;
  /** How they were scaled. */
  readonly scaler: Scaler;
  /** The largest distance of each class from its centroid. */
  readonly radii: Float64Array;
  /** Neighbours that vote. */
  readonly k: number;
  /** Unknown where the nearest is farther than `t` radii. */
  readonly t: number;
  /** Whether logarithms of the features are compared. */
  readonly log: boolean;
}

/** Takes samples to compare with; tunes `k` and `t` where the options do not give them. */
export function trainNeighbours(
  samples: LabelledSamples,
  options: AttackOptions,
): { model: NeighbourModel; notes: TrainingNotes } {
  const parameters = readParameters(PARAMETERS, options.parameters);
  const log = parameters.log === 1;
  const { rows, columns, scaler, notes } = fitSamples(samples, log, parameters.eigen);
  const tuning = parameters.k > 0 && parameters.t > 0
    ? { k: parameters.k, t: parameters.t, notes: {} }
    : tune(samples, rows, columns, options.seed, parameters.falseUnknown);
  const k = parameters.k || tuning.k;
  const t = parameters.t || tuning.t;
  const reference = { rows: scale(rows, scaler), labels: samples.labels };
  const radii = classRadii(reference, samples.labelNames.length);
  return {
    model: { reference, scaler, radii, k, t, log },
    notes: { k, t, ...notes, ...tuning.notes },
  };
}

/** Judges samples by their neighbours; with `shares` (`count x classes`), also writes the votes there. */
export function judgeByNeighbours(
  { reference, scaler, radii, k, t, log }: NeighbourModel,
  samples: Rows,
  shares?: Float64Array,
): Verdicts {
  const rows = scale(log ? logarithms(samples) : samples, scaler);
  const found = new Neighbours(Math.min(k, reference.rows.count));
  const votes = new Float64Array(radii.length);
  const labels = new Int32Array(samples.count);
  const confidence = new Float64Array(samples.count);
  const anomaly = new Float64Array(samples.count);
  for (let i = 0; i < samples.count; i++) {
    found.find(reference, rows, i);
    const { label, share } = found.vote(k, votes);
    const strange = strangeness(found.distance[0]!, radii[label]!) / t;
    // A feature that is no finite number is as far from everything as can be.
    anomaly[i] = Number.isFinite(strange) ? strange : Number.MAX_VALUE;
    labels[i] = anomaly[i]! > 1 ? -1 : label;
    confidence[i] = Number.isFinite(share) ? share : 0;
    if (shares === undefined || labels[i]! < 0) continue;
    const total = votes.reduce((sum, own) => sum + own, 0);
    for (let c = 0; c < votes.length; c++) shares[i * votes.length + c] = votes[c]! / total;
  }
  return { labels, confidence, anomaly };
}

let trained: NeighbourModel | undefined;

/**
 * The seed's attack: z-scored features, checked for being well conditioned; weighted k-nearest
 * neighbours (weight 1/d); unknown where the nearest neighbour's distance `d_i > t * m_k`, with `m_k`
 * the largest distance of a training sample of the predicted class from that class's centroid.
 *
 * Parameters: `k`, `t` (tuned by cross-validation where 0), `falseUnknown`, `log` (without it heavy tails
 * of sizes and durations rule the z-scores; the seed does not mention logarithms) and `eigen`. Anomaly is
 * `d_i / (t * m_k)`: above 1 is unknown.
 */
const knn: AttackPlugin = {
  contract: 1,
  name: "knn",
  reads: "features",

  train(samples: LabelledSamples, options: AttackOptions) {
    const { model, notes } = trainNeighbours(samples, options);
    trained = model;
    return notes;
  },

  classify(samples: SampleSet) {
    if (trained === undefined) throw new Error("classify was called before train");
    return judgeByNeighbours(trained, featureRows(samples, false));
  },
};

export default knn;
