import { UserError } from "../base/mod.ts";
import { groupedFolds } from "../plugins/attacks/grouped_folds.ts";
import { type FlowData, type FlowSettings, selectFlows } from "./flow_data.ts";
import { type ClassifierModel, type FlowVerdicts, judge, trainModel } from "./model.ts";
import type { TrainModelOptions } from "./model.ts";

/** Flows that were judged by a model which had not seen their captures. */
export interface Trial {
  /** The flows judged. */
  readonly tested: FlowData;
  /** The verdicts about them. */
  readonly verdicts: FlowVerdicts;
  /** What was kept apart: `round`, `capture`, or `block` (a class had one capture only). */
  readonly split: "round" | "capture" | "block" | "files";
  /** The parts that were tested in turn, each by a model of the others. */
  readonly parts: readonly TrialPart[];
}

/** One model and what it was tested on. */
export interface TrialPart {
  /** What was tested, such as `round 4`. */
  readonly name: string;
  /** The model, which learned from what was not tested. */
  readonly model: ClassifierModel;
  /** Flows that the model learned from. */
  readonly trained: FlowData;
  /** The flows tested. */
  readonly tested: FlowData;
  /** Milliseconds that training took. */
  readonly trainedIn: number;
}

/** Rounds that cannot be split as asked. */
export class RoundsError extends UserError {}

/** Trains on some flows and judges others. */
export async function trialOnFiles(
  trained: FlowData,
  tested: FlowData,
  settings: FlowSettings,
  options: TrainModelOptions,
): Promise<Trial> {
  const part = await runPart("files", trained, tested, settings, options);
  return join("files", [part]);
}

/**
 * Trains on all rounds except one and judges the flows of that one; `round` is its number, or `each` for
 * every round in turn.
 *
 * @throws {RoundsError} if there is no such round, or nothing else to train on.
 */
export async function trialByRound(
  data: FlowData,
  round: number | "each",
  settings: FlowSettings,
  options: TrainModelOptions,
): Promise<Trial> {
  const rounds = [...new Set(data.rounds)].sort((a, b) => a - b);
  if (rounds.length < 2) throw new RoundsError("rounds: there must be two at least, one to test");
  if (round !== "each" && !rounds.includes(round)) {
    throw new RoundsError(`--test-round ${round}: there are ${rounds.join(", ")}`);
  }
  const parts: TrialPart[] = [];
  for (const own of round === "each" ? rounds : [round]) {
    const isTest = (i: number) => data.rounds[data.groups[i]!] === own;
    parts.push(
      await runPart(
        `round ${own}`,
        selectFlows(data, (i) => !isTest(i)),
        selectFlows(data, isTest),
        settings,
        options,
      ),
    );
  }
  return join("round", parts);
}

/** Cross-validation in which no capture is both trained on and tested. */
export async function trialByCapture(
  data: FlowData,
  folds: number,
  settings: FlowSettings,
  options: TrainModelOptions,
): Promise<Trial> {
  const { fold, count, grouping } = groupedFolds(
    { ...data, count: data.rows.count },
    folds,
    options.seed,
  );
  const parts: TrialPart[] = [];
  for (let own = 0; own < count; own++) {
    parts.push(
      await runPart(
        `fold ${own + 1} of ${count}`,
        selectFlows(data, (i) => fold[i] !== own),
        selectFlows(data, (i) => fold[i] === own),
        settings,
        options,
      ),
    );
  }
  return join(grouping, parts);
}

async function runPart(
  name: string,
  trained: FlowData,
  tested: FlowData,
  settings: FlowSettings,
  options: TrainModelOptions,
): Promise<TrialPart> {
  const start = performance.now();
  const model = await trainModel(trained, settings, options);
  return { name, model, trained, tested, trainedIn: performance.now() - start };
}

function join(split: Trial["split"], parts: readonly TrialPart[]): Trial {
  const verdicts = parts.map(({ model, tested }) => judge(model, tested.rows));
  const first = parts[0]!.tested;
  const count = parts.reduce((sum, { tested }) => sum + tested.rows.count, 0);
  const { width } = first.rows;
  const values = new Float64Array(count * width);
  const labels = new Uint16Array(count);
  const groups = new Uint16Array(count);
  const given = new Int32Array(count);
  const confidence = new Float64Array(count);
  let at = 0;
  parts.forEach(({ tested }, i) => {
    values.set(tested.rows.values, at * width);
    labels.set(tested.labels, at);
    groups.set(tested.groups, at);
    given.set(verdicts[i]!.labels, at);
    confidence.set(verdicts[i]!.confidence, at);
    at += tested.rows.count;
  });
  return {
    tested: { ...first, rows: { count, width, values }, labels, groups },
    verdicts: { labels: given, confidence },
    split,
    parts,
  };
}
