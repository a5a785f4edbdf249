import { Draws } from "../plugins/attacks/draws.ts";
import { selectFlows } from "./flow_data.ts";
import { judgementOf } from "./judgement.ts";
import { judge, trainModel, type TrainModelOptions } from "./model.ts";
import type { Trial } from "./trial.ts";

/** How well a model does that learned from part of the flows. */
export interface LearningPoint {
  /** Share of the flows learned from. */
  readonly share: number;
  /** Flows learned from, the mean over the parts of the trial. */
  readonly flows: number;
  /** Mean over applications of the share named rightly, without a threshold; over parts and repeats. */
  readonly correct: number;
  /** Standard deviation of that over parts and repeats. */
  readonly deviation: number;
}

const SHARES = [0.05, 0.1, 0.25, 0.5, 1];

/**
 * Trains again and again on more and more of what each part of a trial has learned from, drawn by lot for
 * each application alike, and judges what that part tests.
 */
export async function learningCurve(
  trial: Trial,
  options: TrainModelOptions,
  repeats = 3,
  onProgress: (done: number, total: number) => void = () => {},
): Promise<LearningPoint[]> {
  const points: LearningPoint[] = [];
  for (const [index, share] of SHARES.entries()) {
    const figures: number[] = [];
    let flows = 0;
    for (const { trained, tested, model } of trial.parts) {
      for (let repeat = 0; repeat < repeats; repeat++) {
        onProgress(index, SHARES.length);
        const seed = options.seed + repeat;
        const keep = drawn(trained.labels, trained.labelNames.length, share, seed);
        const some = selectFlows(trained, (i) => keep[i] === 1);
        flows += some.rows.count;
        const { onProgress: _, ...quiet } = options;
        const own = await trainModel(some, model.settings, { ...quiet, seed });
        const known = own.labels.length;
        figures.push(
          judgementOf(tested.labels, judge(own, tested.rows), tested.labelNames, known, 0)
            .average.correct,
        );
      }
    }
    const mean = figures.reduce((sum, own) => sum + own, 0) / figures.length;
    const squares = figures.reduce((sum, own) => sum + (own - mean) ** 2, 0);
    points.push({
      share,
      flows: flows / figures.length,
      correct: mean,
      deviation: figures.length < 2 ? 0 : Math.sqrt(squares / (figures.length - 1)),
    });
  }
  return points;
}

/** Marks a share of the flows of each application, at least two of each. */
function drawn(labels: Uint16Array, classes: number, share: number, seed: number): Uint8Array {
  const keep = new Uint8Array(labels.length);
  const draws = new Draws(seed);
  for (let label = 0; label < classes; label++) {
    const own: number[] = [];
    labels.forEach((other, i) => {
      if (other === label) own.push(i);
    });
    draws.shuffle(own);
    for (const i of own.slice(0, Math.max(2, Math.round(share * own.length)))) keep[i] = 1;
  }
  return keep;
}
