import { Command, repeated } from "./command_line.ts";
import { CONTENT_SIZES, runContent, shippedTls } from "../evaluation/content/mod.ts";
import { isLearned, samplesForAttacks, shippedSamples } from "../evaluation/mod.ts";
import { addReportOptions, type ReportOptions, runAndReport } from "./evaluation_output.ts";
import { wholeNumber } from "./numbers.ts";

interface Options extends ReportOptions {
  readonly quick?: boolean;
  readonly seed: number;
  readonly model?: string[];
  readonly pages?: number;
  readonly visits?: number;
  readonly runs?: number;
  readonly tls?: string[];
}

const MODELS = ["https", "smtp", "ssh"];

/** `deno task content`: what shows of what is carried, by itself. */
export function command(): Command {
  const command = new Command("deno task content")
    .description(
      "Asks what an observer learns of what is carried: which page is visited, what a user does, which keys are typed, " +
        "whether a TLS handshake is inside; bare, under constant rate and under cover. A part of deno task evaluate, " +
        "in any size. Finished experiments are kept in the folder and not done again.",
    )
    .option("--quick", "fewer pages, visits and trees: a minute or two")
    .option("--seed <n>", "seed of users, cover and attacks", wholeNumber(0, 2 ** 32 - 1), 1)
    .option(
      "--model <name|file>",
      `a model to look through; repeatable (default: ${MODELS.join(", ")})`,
      repeated,
    )
    .option("--pages <n>", "pages of the closed world", wholeNumber(2, 1000))
    .option("--visits <n>", "visits of each page in each run", wholeNumber(1, 1000))
    .option("--runs <n>", "runs, each with a tunnel of its own", wholeNumber(2, 100))
    .option(
      "--tls <file...>",
      "more captures of real TLS connections to port 443, on which false accusations are counted",
    )
    .action(run);
  return addReportOptions(command, "content-results");
}

async function run(options: Options): Promise<void> {
  const { out, quick = false, seed, workers } = options;
  const samples = decodeURIComponent(new URL("../samples", import.meta.url).pathname);
  const shipped = await shippedSamples(samples);
  const models = options.model ?? MODELS;
  const usual = CONTENT_SIZES[quick ? "quick" : "full"];
  await runAndReport(out, options.json ?? false, async (onProgress) =>
    runContent({
      models,
      real: samplesForAttacks(shipped),
      learned: shipped.map(({ captures, label }) => ({
        label,
        captures: captures.filter((capture) => isLearned(String(capture))),
      })),
      tls: [...await shippedTls(samples), ...options.tls ?? []],
      sizes: {
        ...usual,
        pages: options.pages ?? usual.pages,
        visits: options.visits ?? usual.visits,
        runs: options.runs ?? usual.runs,
      },
      seed,
      quick,
      folder: `${out}/experiments`,
      workers,
      madeAt: new Date().toISOString(),
      onProgress,
    }));
}
