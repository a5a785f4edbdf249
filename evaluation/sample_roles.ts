import type { LabelledCaptures } from "./samples.ts";

/** The runs of each protocol's samples that the shipped models are learned from. */
export const LEARNED_RUNS: readonly number[] = [1, 2, 3, 7, 8, 9, 10, 11, 12, 13, 14, 15];

const RUN = /run-(\d+)\.pcap/;

/** Whether a capture is one of the samples that the shipped models were learned from. */
export function isLearned(capture: string): boolean {
  return LEARNED_RUNS.includes(Number(RUN.exec(capture)?.[1]));
}

/** What is left of samples for attacks to learn and be tested on: no run that a model has seen. */
export function samplesForAttacks(samples: readonly LabelledCaptures[]): LabelledCaptures[] {
  return samples.map(({ label, captures }) => ({
    label,
    captures: captures.filter((capture) =>
      !isLearned(typeof capture === "string" ? capture : capture.name)
    ),
  }));
}
