import { Table } from "../base/table.ts";
import { recordCover } from "../evaluation/lab_cover.ts";
import { demand, LAB_PROTOCOLS } from "../lab/mod.ts";
import { Command, repeated } from "./command_line.ts";
import { wholeNumber } from "./numbers.ts";
import { note, print, printJson, progress } from "./output.ts";

interface Options {
  readonly out: string;
  readonly model?: string[];
  readonly runs: number;
  readonly connections: number;
  readonly bytes: number;
  readonly seconds: number;
  readonly first: number;
  readonly seed: string;
  readonly json?: boolean;
}

/** The models whose recorded cover ships. */
const MODELS = ["https", "smtp", "ssh", "constant-rate"];

/** `deno task lab cover`, without what it does: {@linkcode cover}. */
export function coverCommand(): Command {
  return new Command("cover")
    .description(
      "record cover for the evaluation, and real traffic beside it at the same time: DIR/MODEL/cover-K.pcap.gz, " +
        "DIR/real/PROTOCOL/run-K.pcap.gz",
    )
    .requiredOption(
      "--out <dir>",
      "folder for the captures and PROVENANCE.json; what is there already is not done again",
    )
    .option(
      "--model <name|file>",
      `a model; repeatable (default: ${MODELS.join(", ")})`,
      repeated,
    )
    .option("--runs <n>", "runs of each, with seeds of their own", wholeNumber(2, 100), 3)
    .option("--connections <n>", "cover connections of each run", wholeNumber(1, 10_000), 60)
    .option("--bytes <n>", "user bytes carried each way meanwhile", wholeNumber(1, 1e8), 20_000)
    .option("--seconds <n>", "how long a run may take", wholeNumber(1, 36_000), 500)
    .option("--first <k>", "number of the first run of real traffic", wholeNumber(1, 1000), 101)
    .option("--seed <text>", "draws covers and workloads; run K of cover uses SEED-K", "cover")
    .option("--json", "print the result as JSON");
}

/** Records cover and real traffic. */
export async function cover(options: Options): Promise<void> {
  await demand(LAB_PROTOCOLS);
  const bar = progress();
  const start = performance.now();
  const recorded = await recordCover({
    ...options,
    models: options.model ?? MODELS,
    patience: options.seconds,
    firstReal: options.first,
    onProgress: (done, total, next) => bar.update(done, total, next),
  }).finally(() => bar.stop());
  if (options.json) return printJson({ cover: recorded });
  const table = new Table({
    head: ["file", "connections", "unfinished", "KB", "load", "records late ms, client, server"],
  });
  for (const { bytes, connections, file, lateness, load, unfinished } of recorded) {
    table.push([
      ...[file, connections, unfinished, (bytes / 1000).toFixed(0), load.toFixed(1)],
      [lateness.client, lateness.server].map(({ median, p99 }) =>
        `${median.toFixed(2)} (99 %: ${p99.toFixed(1)})`
      ).join(", "),
    ]);
  }
  print(table.toString());
  note(`${((performance.now() - start) / 1000).toFixed(0)} s`);
}
