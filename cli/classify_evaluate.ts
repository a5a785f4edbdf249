import { UsageError } from "../base/mod.ts";
import { Table } from "../base/table.ts";
import {
  type Attraction,
  attractionOf,
  type FlowData,
  judge,
  type Judgement,
  judgementOf,
  learningCurve,
  type LearningPoint,
  readFlowData,
  readModel,
  roundCaptures,
  type Trial,
  trialByCapture,
  trialByRound,
  trialOnFiles,
} from "../classifier/mod.ts";
import { parseLabelledCaptures } from "../evaluation/labelled_captures.ts";
import type { Share } from "../evaluation/metrics.ts";
import {
  type LearnOptions,
  readOptionsOf,
  settingsOf,
  trainOptionsOf,
} from "./classifier_options.ts";
import { print, printJson, type Progress, progress } from "./output.ts";

/** The options of `deno task classify --evaluate`. */
export interface EvaluateOptions extends LearnOptions {
  /** A model that is tested as it is. */
  readonly model?: string;
  /** Under it, a flow is unknown. */
  readonly threshold: number;
  /** Captures to judge. */
  readonly test?: string[];
  /** Folder of rounds. */
  readonly rounds?: string;
  /** The round to judge. */
  readonly testRound?: string;
  /** Folds of the cross-validation. */
  readonly folds: number;
  /** Whether learning curves are wanted. */
  readonly curve?: boolean;
  /** Whether wrong names are explained. */
  readonly explain?: boolean;
  /** Whether JSON is wanted. */
  readonly json?: boolean;
}

/** The feature sets whose learning curves are drawn. */
const CURVES = ["seed5", "seed14", "appscanner54"];

/** Says how often names are right, on flows whose applications are known. */
export async function evaluate(args: string[], options: EvaluateOptions): Promise<void> {
  const bar = progress();
  try {
    if (options.model !== undefined) return await evaluateModel(args, options, bar);
    const trialWith = await trialsOf(args, options);
    const trial = await trialWith(options.features, bar);
    const { tested, verdicts } = trial;
    const known = trial.parts[0]!.model.labels.length;
    const judgement = judgementOf(
      tested.labels,
      verdicts,
      tested.labelNames,
      known,
      options.threshold,
    );
    const attraction = options.explain
      ? attractionOf(trial, options.threshold, options.seed)
      : undefined;
    const curves: Record<string, LearningPoint[]> = {};
    for (const features of options.curve ? CURVES : []) {
      const own = features === options.features ? trial : await trialWith(features, bar);
      curves[features] = await learningCurve(
        own,
        trainOptionsOf(options, bar),
        3,
        (done, total) => bar.update(done, total, `learning curve of ${features}`),
      );
    }
    bar.stop();
    if (options.json) {
      printJson({ ...factsOf(trial, options), ...judgement, attraction, curves });
      return;
    }
    printTrial(trial, options);
    printJudgement(judgement);
    if (options.explain) printAttraction(attraction);
    if (options.curve) printCurves(curves);
  } finally {
    bar.stop();
  }
}

async function evaluateModel(
  args: string[],
  options: EvaluateOptions,
  bar: Progress,
): Promise<void> {
  if (options.test ?? options.rounds ?? options.curve ?? options.explain) {
    throw new UsageError(
      "--test, --rounds, --curve and --explain learn for themselves: leave out --model",
    );
  }
  if (args.length === 0) throw new UsageError("give LABEL=FILE... to judge");
  const model = await readModel(options.model!);
  const data = await readFlowData(
    await parseLabelledCaptures(args, "--evaluate"),
    model.features,
    { ...readOptionsOf(options, bar), settings: model.settings, labelNames: model.labels },
  );
  const judgement = judgementOf(
    data.labels,
    judge(model, data.rows),
    data.labelNames,
    model.labels.length,
    options.threshold,
  );
  bar.stop();
  if (options.json) printJson({ model: options.model, ...judgement });
  else {
    print(`${model.kind} on ${model.features} (${options.model}), threshold ${options.threshold}`);
    printJudgement(judgement);
  }
}

/** What makes the trial that is asked for, with a feature set. */
async function trialsOf(
  args: string[],
  options: EvaluateOptions,
): Promise<(features: string, bar: Progress) => Promise<Trial>> {
  const settings = settingsOf(options);
  const read = (captures: Awaited<ReturnType<typeof parseLabelledCaptures>>) =>
  (
    features: string,
    bar: Progress,
    labelNames: readonly string[] = [],
  ): Promise<FlowData> =>
    readFlowData(captures, features, { ...readOptionsOf(options, bar), labelNames });
  if (options.rounds !== undefined) {
    if (args.length > 0 || options.test !== undefined) {
      throw new UsageError("--rounds takes no other captures");
    }
    const readRounds = read(await roundCaptures(options.rounds));
    return async (features, bar) => {
      const data = await readRounds(features, bar);
      return await trialByRound(
        data,
        roundAsked(options.testRound, data),
        settings,
        trainOptionsOf(options, bar),
      );
    };
  }
  if (args.length === 0) throw new UsageError("give LABEL=FILE... or --rounds DIR");
  const readOwn = read(await parseLabelledCaptures(args, "--evaluate"));
  if (options.test !== undefined) {
    const readTest = read(await parseLabelledCaptures(options.test, "--test"));
    return async (features, bar) => {
      const trained = await readOwn(features, bar);
      const tested = await readTest(features, bar, trained.labelNames);
      return await trialOnFiles(trained, tested, settings, trainOptionsOf(options, bar));
    };
  }
  return async (features, bar) => {
    const data = await readOwn(features, bar);
    const how = trainOptionsOf(options, bar);
    return options.testRound === undefined
      ? await trialByCapture(data, options.folds, settings, how)
      : await trialByRound(data, roundAsked(options.testRound, data), settings, how);
  };
}

function roundAsked(text: string | undefined, data: FlowData): number | "each" {
  if (text === "each") return text;
  if (text === undefined) return Math.max(...data.rounds);
  const round = Number(text);
  if (!Number.isInteger(round) || text.trim() === "") {
    throw new UsageError(`--test-round ${text}: give the number of a round, or each`);
  }
  return round;
}

const SPLITS: Record<Trial["split"], string> = {
  round: "the rounds tested were not learned from",
  capture: "no capture was both learned from and tested",
  block: "OPTIMISTIC: an application has one capture only, which was cut into blocks",
  files: "learned from some captures, tested on others",
};

function factsOf(trial: Trial, options: EvaluateOptions) {
  return {
    classifier: options.classifier,
    features: options.features,
    seed: options.seed,
    ambiguity: options.ambiguity ?? false,
    settings: settingsOf(options),
    split: trial.split,
    parts: trial.parts.map(({ name, model, trainedIn, trained, tested }) => ({
      name,
      trainedOn: trained.rows.count,
      tested: tested.rows.count,
      milliseconds: Math.round(trainedIn),
      notes: model.classifier.notes,
    })),
  };
}

function printTrial(trial: Trial, options: EvaluateOptions): void {
  const flows = trial.parts.map(({ trained }) => trained.rows.count);
  const seconds = trial.parts.reduce((sum, own) => sum + own.trainedIn, 0) / 1000;
  print(
    `${options.classifier} on ${options.features}, seed ${options.seed}, ` +
      `threshold ${options.threshold}${options.ambiguity ? ", ambiguous flows unknown" : ""}`,
  );
  print(
    `${trial.parts.map(({ name }) => name).join(", ")} tested; ${SPLITS[trial.split]}; learned ` +
      `from ${flows.join(", ")} flows in ${seconds.toFixed(1)} s`,
  );
  for (const { name, model } of trial.parts) {
    const { converged } = model.classifier.notes;
    if (converged === false) print(`${name}: training was given up before it had converged`);
  }
}

const style = { head: [], border: [] };
const percent = (share: number) => `${(100 * share).toFixed(2)} %`;
const withRange = ({ share, ci95: [low, high] }: Share) =>
  `${percent(share)} [${(100 * low).toFixed(0)}-${(100 * high).toFixed(0)}]`;

function printJudgement({ applications, average, all, confusion, curve }: Judgement): void {
  const table = new Table({
    head: ["application", "flows", "% correct", "% unknown", "% correct of decided", "precision"],
    style,
  });
  for (const own of applications) {
    table.push([
      own.name,
      own.flows,
      withRange(own.correct),
      percent(own.unknown.share),
      percent(own.correctOfDecided.share),
      percent(own.precision.share),
    ]);
  }
  table.push([
    "average",
    "",
    percent(average.correct),
    percent(average.unknown),
    percent(average.correctOfDecided),
    percent(average.precision),
  ]);
  table.push([
    "all flows",
    all.flows,
    withRange(all.correct),
    percent(all.unknown.share),
    percent(all.correctOfDecided.share),
    "",
  ]);
  print(table.toString());
  print("Correct is the recall. In brackets 95 % intervals, as if flows were independent.");
  print("");
  const matrix = new Table({ head: ["really \\ named", ...confusion.columns], style });
  confusion.rows.forEach((name, row) => matrix.push([name, ...confusion.counts[row]!]));
  print(matrix.toString());
  print("");
  const points = new Table({ head: ["threshold", "flows named", "named rightly of these"], style });
  for (const { threshold, coverage, accuracy } of curve) {
    points.push([threshold, percent(coverage), coverage === 0 ? "-" : percent(accuracy)]);
  }
  print(points.toString());
}

const short = (value: number) => Number.isNaN(value) ? "-" : String(Number(value.toPrecision(4)));

function printAttraction(attraction: Attraction | undefined): void {
  print("");
  if (attraction === undefined) {
    print("no flow was given another application's name");
    return;
  }
  const list = (of: Attraction["from"]) =>
    of.map(({ application, flows }) => `${application} ${flows}`).join(", ");
  print(`given to flows of others: ${list(attraction.ranking)}`);
  print(`${attraction.attractor} attracts: ${list(attraction.from)}`);
  const table = new Table({
    head: [
      "feature",
      "pull",
      "undone",
      "median of these",
      `of ${attraction.attractor}`,
      "of their own",
    ],
    style,
  });
  for (const { feature, pull, undone, here, there, own } of attraction.pulls.slice(0, 10)) {
    table.push([feature, pull.toFixed(3), percent(undone), short(here), short(there), short(own)]);
  }
  for (const { feature, pull, undone } of attraction.groups) {
    table.push([`all ${feature}`, pull.toFixed(3), percent(undone), "", "", ""]);
  }
  print(table.toString());
  print(
    `Pull: what the wrong name's share loses, over ${attraction.looked} flows, when the feature is ` +
      "taken from other flows of the true application; undone: verdicts that this changes.",
  );
}

function printCurves(curves: Record<string, LearningPoint[]>): void {
  print("");
  const names = Object.keys(curves);
  const table = new Table({ head: ["flows learned from", ...names], style });
  curves[names[0]!]!.forEach(({ share, flows }, i) => {
    table.push([
      `${Math.round(flows)} (${Math.round(100 * share)} %)`,
      ...names.map((name) => {
        const { correct, deviation } = curves[name]![i]!;
        return `${percent(correct)} ± ${(100 * deviation).toFixed(2)}`;
      }),
    ]);
  });
  print(table.toString());
  print("Mean over applications of % correct without a threshold; ± over parts and three draws.");
}
