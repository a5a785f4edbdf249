import { type Confusion, confusion, type Share, shareOf } from "../evaluation/metrics.ts";
import type { FlowVerdicts } from "./model.ts";

/** How the flows of one application fared. */
export interface ApplicationJudgement {
  /** Name of the application. */
  readonly name: string;
  /** Its flows. */
  readonly flows: number;
  /** Share of its flows that were named rightly; the seed's `% correct`, and the recall. */
  readonly correct: Share;
  /** Share of its flows that were not named. */
  readonly unknown: Share;
  /** Share of its flows that were named rightly among those that were named at all. */
  readonly correctOfDecided: Share;
  /** Share of rightly named among all flows that were given this name. */
  readonly precision: Share;
}

/** How a threshold trades coverage for accuracy. */
export interface ThresholdPoint {
  /** Flows whose likeliest class has a smaller share are unknown. */
  readonly threshold: number;
  /** Share of flows that are named. */
  readonly coverage: number;
  /** Share of rightly named among these. */
  readonly accuracy: number;
}

/** What became of flows whose applications are known. */
export interface Judgement {
  /** The threshold of all figures except `curve`. */
  readonly threshold: number;
  /** Each application. */
  readonly applications: readonly ApplicationJudgement[];
  /** Mean over the applications; the seed's `average`. */
  readonly average: {
    readonly correct: number;
    readonly unknown: number;
    readonly correctOfDecided: number;
    readonly precision: number;
  };
  /** All flows together. */
  readonly all: {
    readonly flows: number;
    readonly correct: Share;
    readonly unknown: Share;
    readonly correctOfDecided: Share;
  };
  /** Flows by application and by the name given. */
  readonly confusion: Confusion;
  /** Accuracy against coverage. */
  readonly curve: readonly ThresholdPoint[];
}

const THRESHOLDS = [0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95];

/** The names given at a threshold: -1 for what is under it, and for what was ambiguous. */
export function decided({ labels, confidence }: FlowVerdicts, threshold: number): Int32Array {
  return labels.map((label, i) => confidence[i]! < threshold ? -1 : label);
}

/**
 * Counts verdicts. `truth` is the application of each flow, an index into `names`, of which the first
 * `known` are those that the model knows, in its order.
 */
export function judgementOf(
  truth: ArrayLike<number>,
  verdicts: FlowVerdicts,
  names: readonly string[],
  known: number,
  threshold: number,
): Judgement {
  const given = decided(verdicts, threshold);
  const matrix = confusion(truth, given, names, names.slice(0, known));
  const { counts } = matrix;
  const sum = (list: readonly number[]) => list.reduce((total, own) => total + own, 0);
  const flows = counts.map(sum);
  const right = names.map((_, label) => label < known ? counts[label]![label]! : 0);
  const unnamed = counts.map((row) => row[known]!);
  const applications = names.map((name, label) => ({
    name,
    flows: flows[label]!,
    correct: shareOf(right[label]!, flows[label]!),
    unknown: shareOf(unnamed[label]!, flows[label]!),
    correctOfDecided: shareOf(right[label]!, flows[label]! - unnamed[label]!),
    precision: shareOf(
      right[label]!,
      label < known ? sum(counts.map((row) => row[label]!)) : 0,
    ),
  })).filter((own) => own.flows > 0);
  const mean = (of: (own: ApplicationJudgement) => Share) =>
    sum(applications.map((own) => of(own).share)) / Math.max(1, applications.length);
  const decidedFlows = sum(flows) - sum(unnamed);
  return {
    threshold,
    applications,
    average: {
      correct: mean((own) => own.correct),
      unknown: mean((own) => own.unknown),
      correctOfDecided: mean((own) => own.correctOfDecided),
      precision: mean((own) => own.precision),
    },
    all: {
      flows: sum(flows),
      correct: shareOf(sum(right), sum(flows)),
      unknown: shareOf(sum(unnamed), sum(flows)),
      correctOfDecided: shareOf(sum(right), decidedFlows),
    },
    confusion: matrix,
    curve: THRESHOLDS.map((at) => {
      const names = decided(verdicts, at);
      let named = 0;
      let rightly = 0;
      names.forEach((name, i) => {
        if (name < 0) return;
        named++;
        if (name === truth[i]) rightly++;
      });
      return {
        threshold: at,
        coverage: named / Math.max(1, names.length),
        accuracy: rightly / Math.max(1, named),
      };
    }),
  };
}
