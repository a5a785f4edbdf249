import { UsageError } from "../base/mod.ts";
import { Table } from "../base/table.ts";
import { FEATURE_SETS } from "../capture/mod.ts";
import {
  type ClassifierModel,
  type FlowData,
  readFlowData,
  roundCaptures,
  selectFlows,
  trainModel,
  writeModel,
} from "../classifier/mod.ts";
import { parseLabelledCaptures } from "../evaluation/labelled_captures.ts";
import {
  type LearnOptions,
  learnOptions,
  readOptionsOf,
  settingsOf,
  trainOptionsOf,
} from "./classifier_options.ts";
import { Command } from "./command_line.ts";
import { wholeNumber } from "./numbers.ts";
import { print, printJson, progress } from "./output.ts";

interface Options extends LearnOptions {
  readonly out: string;
  readonly rounds?: string;
  readonly withoutRound?: number;
  readonly json?: boolean;
}

/** `deno task train`: flows of known applications become a model. */
export function command(): Command {
  return learnOptions(
    new Command("deno task train")
      .usage("LABEL=FILE... --out MODEL [options]")
      .description(
        "Learns to name the applications of flows from captures whose applications are known. A label " +
          "holds for the files after it; a folder stands for the captures in it.",
      )
      .argument("[label=file...]", "captures, such as video=a.pcap b.pcap web=folder")
      .option("--rounds <folder>", "take round-1/APP.pcap.gz, round-2/... instead")
      .option("--without-round <n>", "keep this round apart, to test with", wholeNumber(0))
      .requiredOption("--out <file>", "the model"),
  )
    .option("--json", "print one JSON object")
    .action(run);
}

async function run(args: string[], options: Options): Promise<void> {
  if ((options.rounds === undefined) === (args.length === 0)) {
    throw new UsageError("give LABEL=FILE... or --rounds DIR");
  }
  const captures = options.rounds === undefined
    ? await parseLabelledCaptures(args, "train")
    : await roundCaptures(options.rounds);
  if (captures.length < 2) throw new UsageError("give captures of two applications or more");
  const bar = progress();
  try {
    const all = await readFlowData(captures, options.features, readOptionsOf(options, bar));
    const apart = options.withoutRound;
    if (apart !== undefined && !all.rounds.includes(apart)) {
      throw new UsageError(
        `--without-round ${apart}: there are rounds ${[...new Set(all.rounds)].sort().join(", ")}`,
      );
    }
    const data = apart === undefined
      ? all
      : selectFlows(all, (flow) => all.rounds[all.groups[flow]!] !== apart);
    const start = performance.now();
    const model = await trainModel(data, settingsOf(options), trainOptionsOf(options, bar));
    const seconds = (performance.now() - start) / 1000;
    await writeModel(options.out, model);
    bar.stop();
    if (options.json) printJson(factsOf(model, data, seconds, options.out));
    else printFacts(model, data, seconds, options.out);
  } finally {
    bar.stop();
  }
}

/** Columns by how much they decide, most first; none where the classifier does not know. */
function important({ classifier, features }: ClassifierModel): [string, number][] {
  const { importance } = classifier;
  if (importance === undefined) return [];
  return FEATURE_SETS[features]!.columns
    .map((column, i): [string, number] => [column, importance[i]!])
    .sort(([, a], [, b]) => b - a);
}

function factsOf(model: ClassifierModel, data: FlowData, seconds: number, path: string): unknown {
  return {
    model: path,
    classifier: model.kind,
    features: model.features,
    seed: model.seed,
    ambiguity: model.ambiguity,
    settings: model.settings,
    applications: Object.fromEntries(model.labels.map((name, i) => [name, {
      ...model.trainedOn[i]!,
      leftOut: data.leftOut[i]!,
    }])),
    seconds,
    notes: model.classifier.notes,
    importance: Object.fromEntries(important(model)),
  };
}

function printFacts(model: ClassifierModel, data: FlowData, seconds: number, path: string): void {
  const table = new Table({
    head: ["application", "flows", "captures", "left out"],
    style: { head: [], border: [] },
  });
  model.labels.forEach((name, i) => {
    const { flows, captures } = model.trainedOn[i]!;
    table.push([name, flows, captures.length, data.leftOut[i]!]);
  });
  print(table.toString());
  for (const [name, value] of Object.entries(model.classifier.notes)) {
    print(`${name}: ${typeof value === "number" ? Number(value.toPrecision(4)) : value}`);
  }
  const most = important(model).slice(0, 5)
    .map(([column, share]) => `${column} ${(100 * share).toFixed(1)} %`);
  if (most.length > 0) print(`decided by: ${most.join(", ")}`);
  print(
    `${model.kind} on ${model.features}, learned in ${seconds.toFixed(1)} s, written to ${path}`,
  );
}
