import type { Verdicts } from "../plugins/attack.ts";

/** A share of a number of trials, with its 95 % interval. */
export interface Share {
  /** The share, 0 to 1; 0 of 0 trials. */
  readonly share: number;
  /** Trials. */
  readonly n: number;
  /** Wilson's 95 % interval. */
  readonly ci95: readonly [number, number];
}

const Z95 = 1.959963984540054;

/** `hits` of `n` as a share with Wilson's score interval, which stays inside 0 to 1. */
export function shareOf(hits: number, n: number): Share {
  if (n === 0) return { share: 0, n, ci95: [0, 1] };
  const share = hits / n;
  const square = Z95 * Z95;
  const middle = share + square / (2 * n);
  const reach = Z95 * Math.sqrt(share * (1 - share) / n + square / (4 * n * n));
  const whole = 1 + square / n;
  return {
    share,
    n,
    ci95: [Math.max(0, (middle - reach) / whole), Math.min(1, (middle + reach) / whole)],
  };
}

/** Counts of verdicts by true class: a row a class, a column a class and a last one for `unknown`. */
export interface Confusion {
  /** Names of the true classes. */
  readonly rows: readonly string[];
  /** Names of the verdicts, the last of them `unknown`. */
  readonly columns: readonly string[];
  /** `counts[row][column]`. */
  readonly counts: readonly (readonly number[])[];
}

/** The confusion matrix of verdicts about samples whose classes `truth` tells. */
export function confusion(
  truth: ArrayLike<number>,
  verdicts: ArrayLike<number>,
  rows: readonly string[],
  classes: readonly string[],
): Confusion {
  const counts = rows.map(() => new Array<number>(classes.length + 1).fill(0));
  for (let i = 0; i < truth.length; i++) {
    const verdict = verdicts[i]!;
    counts[truth[i]!]![verdict < 0 ? classes.length : verdict]!++;
  }
  return { rows, columns: [...classes, "unknown"], counts };
}

/** Mean over the classes that occur of the share labelled rightly; unknown counts as wrong. */
export function balancedAccuracy({ counts }: Confusion): number {
  let sum = 0;
  let seen = 0;
  counts.forEach((row, label) => {
    const n = row.reduce((total, count) => total + count, 0);
    if (n === 0) return;
    sum += row[label]! / n;
    seen++;
  });
  return seen === 0 ? 0 : sum / seen;
}

/**
 * Area under the ROC curve: the probability that a positive scores above a negative, ties counting half.
 * NaN where one of the two is missing.
 */
export function areaUnderCurve(scores: ArrayLike<number>, positive: ArrayLike<number>): number {
  const order = Array.from({ length: scores.length }, (_, i) => i)
    .sort((a, b) => scores[a]! - scores[b]!);
  let ranks = 0;
  let positives = 0;
  for (let from = 0; from < order.length;) {
    let to = from;
    while (to < order.length && scores[order[to]!] === scores[order[from]!]) to++;
    const rank = (from + 1 + to) / 2;
    for (let i = from; i < to; i++) {
      if (positive[order[i]!]! > 0) {
        ranks += rank;
        positives++;
      }
    }
    from = to;
  }
  const negatives = order.length - positives;
  return (ranks - positives * (positives + 1) / 2) / (positives * negatives);
}

/** Least, median, greatest and standard deviation of some figures. */
export interface Spread {
  /** The least. */
  readonly min: number;
  /** The middle one, or the mean of the middle two. */
  readonly median: number;
  /** The greatest. */
  readonly max: number;
  /** Standard deviation (of a sample); 0 of fewer than two. */
  readonly sd: number;
}

/** The spread of figures, NaNs left out; all 0 without any. */
export function spreadOf(figures: readonly number[]): Spread {
  const sorted = figures.filter((figure) => !Number.isNaN(figure)).sort((a, b) => a - b);
  const n = sorted.length;
  if (n === 0) return { min: 0, median: 0, max: 0, sd: 0 };
  const mean = sorted.reduce((sum, figure) => sum + figure, 0) / n;
  const squares = sorted.reduce((sum, figure) => sum + (figure - mean) ** 2, 0);
  return {
    min: sorted[0]!,
    median: (sorted[Math.floor((n - 1) / 2)]! + sorted[Math.floor(n / 2)]!) / 2,
    max: sorted[n - 1]!,
    sd: n < 2 ? 0 : Math.sqrt(squares / (n - 1)),
  };
}

/**
 * The verdicts of a two-class attack as scores for the second class: its confidence, or one minus the
 * confidence in the first; one half where it does not know.
 */
export function secondClassScores({ labels, confidence }: Verdicts): Float64Array {
  return Float64Array.from(confidence, (sure, i) => {
    if (labels[i] === 1) return sure;
    return labels[i] === 0 ? 1 - sure : 0.5;
  });
}
