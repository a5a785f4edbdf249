import type { LabelledSamples } from "../plugins/attack.ts";
import { groupedFolds } from "../plugins/attacks/grouped_folds.ts";
import { indicesWhere, selectSamples } from "./samples.ts";

/** One division of samples into a part to learn from and a part to test on. */
export interface Split {
  /** To learn from. */
  readonly train: LabelledSamples;
  /** To test on; no capture of it is in the other part. */
  readonly test: LabelledSamples;
  /** Where each sample of `test` comes from: indices into the whole. */
  readonly tested: readonly number[];
}

/** Splits for a cross-validation, and what was kept together. */
export interface Splits {
  /** Each sample is tested once. */
  readonly splits: readonly Split[];
  /** `capture`, or `block` where a class has a single capture (then the result is optimistic). */
  readonly grouping: "capture" | "block";
  /** Classes that have a single capture. */
  readonly singleCapture: readonly string[];
}

/**
 * Splits samples into `folds` folds by capture, no capture in both parts, each class spread evenly.
 * Seeded; the order of the samples does not matter.
 */
export function splitByCapture(samples: LabelledSamples, folds: number, seed: number): Splits {
  const { fold, count, grouping, singleCapture } = groupedFolds(samples, folds, seed);
  const splits = Array.from({ length: count }, (_, at) => {
    const tested = indicesWhere(samples, (i) => fold[i] === at);
    return {
      train: selectSamples(samples, indicesWhere(samples, (i) => fold[i] !== at)),
      test: selectSamples(samples, tested),
      tested,
    };
  });
  return { splits, grouping, singleCapture };
}
