import { Table } from "../base/table.ts";
import { dirname } from "node:path";
import { UsageError, UserError } from "../base/mod.ts";
import { recordTransfers } from "../evaluation/lab_bulk_transfers.ts";
import type { LabCarrier } from "../evaluation/lab_nodes.ts";
import { demand, FOR_TRANSFERS } from "../lab/mod.ts";
import { Command, Option, repeated } from "./command_line.ts";
import { wholeNumber } from "./numbers.ts";
import { note, print, printJson, progress } from "./output.ts";

interface Options {
  readonly out: string;
  readonly model?: string[];
  readonly link?: string[];
  readonly times: number;
  readonly bytes: number;
  readonly carrier: LabCarrier;
  readonly warmUp: number;
  readonly seconds: number;
  readonly atOnce: number;
  readonly seed: string;
  readonly json?: boolean;
}

/** The models of the evaluation's figure 1. */
const MODELS = [
  ...["https", "smtp", "ssh", "https-structural", "smtp-structural", "ssh-structural"],
  ...["constant-rate", "constant-rate:28"],
];

/** The seed's links. */
const FIGURE_LINKS = ["illinois-california", "canada-uk"];

/** `deno task lab transfers`, without what it does: {@linkcode transfers}. */
export function transfersCommand(): Command {
  return new Command("transfers")
    .description(
      "record bulk transfers driven by iperf, each direction by itself, for figure 1 of the evaluation: " +
        "deno task evaluate --transfers FILE",
    )
    .requiredOption(
      "--out <file>",
      "where the results go (JSON); what is in it already is not done again",
    )
    .option(
      "--model <name|file>",
      "a model, or constant-rate:KBITS; repeatable (default: all of the evaluation)",
      repeated,
    )
    .option(
      "--link <name>",
      `a link; repeatable (default: ${FIGURE_LINKS.join(", ")})`,
      repeated,
    )
    .option(
      "--times <n>",
      "transfers of each kind, with seeds of their own",
      wholeNumber(1, 100),
      3,
    )
    .option("--bytes <n>", "user bytes of each", wholeNumber(1, 100_000_000), 100_000)
    .addOption(
      new Option("--carrier <which>", "as in lab play").choices(["own", "tls", "fronted"])
        .default("own"),
    )
    .option("--warm-up <n>", "seconds that cover plays before", wholeNumber(0, 600), 20)
    .option("--seconds <n>", "how long a transfer may take", wholeNumber(1, 36_000), 900)
    .option(
      "--at-once <n>",
      "transfers at once, each with a link of its own",
      wholeNumber(1, 64),
      6,
    )
    .option("--seed <text>", "draws the covers; transfer K uses SEED/K", "figure-1")
    .option("--json", "print the result as JSON");
}

/** Records bulk transfers. */
export async function transfers(options: Options): Promise<void> {
  await demand([], FOR_TRANSFERS);
  const { out } = options;
  if (!await Deno.stat(dirname(out)).then(({ isDirectory }) => isDirectory, () => false)) {
    throw new UsageError(`--out ${out}: there is no folder ${dirname(out)}`);
  }
  const bar = progress();
  const start = performance.now();
  const result = await recordTransfers({
    models: options.model ?? MODELS,
    links: options.link ?? FIGURE_LINKS,
    patience: options.seconds,
    ...options,
    onProgress: (done, total, last) => bar.update(done, total, last),
  }).finally(() => bar.stop());
  const { failed, transfers } = result;
  if (options.json) printJson(result);
  else {
    const table = new Table({
      head: ["model", "link", "from", "kbit/s", "payload bytes a user byte", "seconds", "load"],
    });
    for (const { from, kbps, link, load, model, payloadBytes, seconds } of transfers) {
      const cost = kbps === undefined ? "" : (payloadBytes / result.bytes).toFixed(2);
      table.push([
        ...[model, link, from, kbps?.toFixed(1) ?? "not in time", cost, seconds.toFixed(1)],
        load.toFixed(1),
      ]);
    }
    print(table.toString());
  }
  note(
    `${((performance.now() - start) / 1000).toFixed(0)} s; ${out}: ${transfers.length} transfers`,
  );
  if (failed.length > 0) {
    const { name, why } = failed[0]!;
    throw new UserError(
      `${failed.length} transfers failed, the first ${name}: ${why} (the same command tries them again)`,
    );
  }
}
