import { Command, repeated } from "./command_line.ts";
import { UsageError } from "../base/mod.ts";
import {
  isLearned,
  type LabelledCaptures,
  parseLabelledCaptures,
  samplesForAttacks,
  shippedSamples,
} from "../evaluation/mod.ts";
import { shippedTls } from "../evaluation/content/mod.ts";
import { runEvaluation } from "../evaluation/experiments/run.ts";
import { loadModel } from "../models/mod.ts";
import { addReportOptions, type ReportOptions, runAndReport } from "./evaluation_output.ts";
import { wholeNumber } from "./numbers.ts";

interface Options extends ReportOptions {
  readonly quick?: boolean;
  readonly seed: number;
  readonly model?: string[];
  readonly real?: string[];
  readonly learned?: string[];
  readonly cover?: string[];
  readonly content: boolean;
}

const MODELS = [
  "https",
  "smtp",
  "ssh",
  "https-structural",
  "smtp-structural",
  "ssh-structural",
  "constant-rate",
];

/** `deno task evaluate`: the whole evaluation by one command. */
export function command(): Command {
  const command = new Command("deno task evaluate")
    .description(
      "Reproduces the seed's evaluation and asks today's questions: attacks, bandwidth and overhead, modern attackers " +
        "beside the floor, fidelity. Writes tables, JSON and one HTML report. Finished experiments are kept in the " +
        "folder and not done again, so that an interrupted evaluation goes on.",
    )
    .option("--quick", "fewer runs and connections: some minutes")
    .option("--seed <n>", "seed of cover, splits and attacks", wholeNumber(0, 2 ** 32 - 1), 1)
    .option(
      "--model <name|file>",
      "a model to evaluate; repeatable (default: all that ship, and constant-rate)",
      repeated,
    )
    .option(
      "--real <label=file...>",
      "real traffic for attackers, none that a model was learned from (default: samples)",
    )
    .option(
      "--learned <label=file...>",
      "real traffic that the models were learned from (default: samples)",
    )
    .option(
      "--cover <model=file...>",
      "recordings of a model's cover, each a run, in place of simulating it (default: samples/cover, where it ships)",
    )
    .option("--no-content", "leave out what content shows: the longest part")
    .action(run);
  return addReportOptions(command, "evaluation-results");
}

/** Recordings of cover that ship: a folder for each model. */
async function shippedCover(folder: string): Promise<readonly LabelledCaptures[]> {
  const there = await Deno.stat(folder).then(({ isDirectory }) => isDirectory, () => false);
  return there ? await shippedSamples(folder) : [];
}

async function run(options: Options): Promise<void> {
  const samples = decodeURIComponent(new URL("../samples", import.meta.url).pathname);
  const shipped = async () =>
    (await shippedSamples(samples)).filter(({ captures }) =>
      captures.some((capture) => isLearned(String(capture)))
    );
  const real = options.real === undefined
    ? samplesForAttacks(await shipped())
    : await parseLabelledCaptures(options.real, "--real");
  const learned = options.learned !== undefined
    ? await parseLabelledCaptures(options.learned, "--learned")
    : options.real !== undefined
    ? []
    : (await shipped()).map(({ captures, label }): LabelledCaptures => ({
      label,
      captures: captures.filter((capture) => isLearned(String(capture))),
    }));
  const models: { model: string; claims: string }[] = [];
  for (const model of options.model ?? MODELS) {
    const { protocol } = (await loadModel(model)).description;
    // Inside TLS, constant rate can claim nothing else.
    models.push({ model, claims: protocol === "constant-rate" ? "https" : protocol });
  }
  const recorded = options.cover === undefined
    ? (await shippedCover(`${samples}/cover`)).filter(({ label }) =>
      options.real === undefined && models.some(({ model }) => model === label)
    )
    : await parseLabelledCaptures(options.cover, "--cover");
  const unknown = recorded.find(({ label }) => !models.some(({ model }) => model === label));
  if (unknown !== undefined) {
    throw new UsageError(
      `--cover ${unknown.label}=...: no such model is evaluated (${
        models.map(({ model }) => model).join(", ")
      })`,
    );
  }
  const few = [...real, ...recorded].find(({ captures }) => captures.length < 2);
  if (few !== undefined) {
    throw new UsageError(`${few.label}: one run only: give two or more captures, each a run`);
  }
  await runAndReport(options.out, options.json ?? false, async (onProgress) =>
    runEvaluation({
      real,
      learned,
      recorded,
      // Connections of other real traffic than ours were recorded elsewhere.
      tls: options.real === undefined ? await shippedTls(samples) : [],
      models,
      quick: options.quick ?? false,
      content: options.content,
      seed: options.seed,
      folder: `${options.out}/experiments`,
      workers: options.workers,
      madeAt: new Date().toISOString(),
      onProgress,
    }));
}
