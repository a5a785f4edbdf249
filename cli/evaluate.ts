import { Command, repeated } from "./command_line.ts";
import { UsageError, UserError } from "../base/mod.ts";
import {
  isLearned,
  type LabelledCaptures,
  parseLabelledCaptures,
  samplesForAttacks,
  shippedCover,
  shippedSamples,
} from "../evaluation/mod.ts";
import { shippedTls } from "../evaluation/content/mod.ts";
import { runEvaluation } from "../evaluation/experiments/run.ts";
import { readTransfers } from "../evaluation/recorded_transfers.ts";
import { BUILTIN_MODELS, loadModel } from "../models/mod.ts";
import { addReportOptions, type ReportOptions, runAndReport } from "./evaluation_output.ts";
import { wholeNumber } from "./numbers.ts";
import { note } from "./output.ts";

interface Options extends ReportOptions {
  readonly quick?: boolean;
  readonly seed: number;
  readonly model?: string[];
  readonly real?: string[];
  readonly learned?: string[];
  readonly cover?: string[];
  readonly transfers?: string;
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
    .option(
      "--transfers <file>",
      "bulk transfers that `lab transfers` recorded, for figure 1 (default: samples/transfers.json, where it ships)",
    )
    .option("--no-content", "leave out what content shows: the longest part")
    .action(run);
  return addReportOptions(command, "evaluation-results");
}

/** Captures that are asked for are looked for before anything else is done. */
async function demandFiles(labelled: readonly LabelledCaptures[]): Promise<void> {
  for (const path of labelled.flatMap(({ captures }) => captures.map(String))) {
    if (await Deno.stat(path).then(() => true, () => false)) continue;
    throw new UserError(`${path}: there is no such file`);
  }
}

/** Users over half an hour, for the models that learned from them. */
async function usersOf(folder: string): Promise<LabelledCaptures[]> {
  const there = await Deno.stat(folder).then(({ isDirectory }) => isDirectory, () => false);
  return (there ? await shippedSamples(folder) : [])
    .map(({ captures, label }) => ({ label: `${label}-users`, captures }))
    .filter(({ label }) => BUILTIN_MODELS.includes(label));
}

/** Transfers given, or those that ship. */
async function transfersOf(given: string | undefined, shipped: string) {
  if (given !== undefined) return await readTransfers(given);
  const there = await Deno.stat(shipped).then(() => true, () => false);
  return there ? await readTransfers(shipped) : undefined;
}

async function run(options: Options): Promise<void> {
  const samples = decodeURIComponent(new URL("../samples", import.meta.url).pathname);
  const shipped = async () =>
    (await shippedSamples(samples)).filter(({ captures }) =>
      captures.some((capture) => isLearned(String(capture)))
    );
  const models: { model: string; claims: string; digest: string }[] = [];
  for (const model of options.model ?? MODELS) {
    const { digest, protocol } = (await loadModel(model)).description;
    // Inside TLS, constant rate can claim nothing else.
    models.push({ model, claims: protocol === "constant-rate" ? "https" : protocol, digest });
  }
  const recordings = options.real === undefined && options.cover === undefined
    ? await shippedCover(
      `${samples}/cover`,
      new Map(models.map(({ digest, model }) => [model, digest])),
    )
    : { cover: [], real: [], stale: [] };
  for (const model of recordings.stale) {
    note(
      `samples/cover/${model} has fewer than two runs of this version of ${model}: its cover is simulated`,
    );
  }
  const unlearned = options.real === undefined ? samplesForAttacks(await shipped()) : [];
  // Real traffic of the same minutes as the cover, where there is some: the clock of a recording shows in it.
  const real = options.real === undefined
    ? unlearned.map((own) => recordings.real.find(({ label }) => label === own.label) ?? own)
    : await parseLabelledCaptures(options.real, "--real");
  const learned = options.learned !== undefined
    ? await parseLabelledCaptures(options.learned, "--learned")
    : options.real !== undefined
    ? []
    : (await shipped()).map(({ captures, label }): LabelledCaptures => ({
      label,
      captures: captures.filter((capture) => isLearned(String(capture))),
    }));
  const recorded = options.cover === undefined
    ? recordings.cover
    : await parseLabelledCaptures(options.cover, "--cover");
  await demandFiles([...real, ...learned, ...recorded]);
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
  const recordedTransfers = await transfersOf(options.transfers, `${samples}/transfers.json`);
  const moreReal = unlearned.filter((own) => options.real === undefined && !real.includes(own));
  const moreTls = moreReal.filter(({ label }) => label === "https")
    .flatMap(({ captures }) => captures.map(String));
  await runAndReport(options.out, options.json ?? false, async (onProgress) =>
    runEvaluation({
      real,
      moreReal,
      learned,
      recorded,
      // Connections of other real traffic than ours were recorded elsewhere.
      tls: options.real === undefined ? [...moreTls, ...await shippedTls(samples)] : [],
      models,
      users: options.real === undefined ? await usersOf(`${samples}/users`) : [],
      ...(recordedTransfers === undefined ? {} : { recordedTransfers }),
      quick: options.quick ?? false,
      content: options.content,
      seed: options.seed,
      folder: `${options.out}/experiments`,
      workers: options.workers,
      madeAt: new Date().toISOString(),
      onProgress,
    }));
}
