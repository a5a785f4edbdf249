import { Command, repeated } from "./command_line.ts";
import { UsageError, writeFileAtomically } from "../base/mod.ts";
import {
  DEMO_MODELS,
  type DemoModel,
  runDemo,
  samplesForAttacks,
  shippedSamples,
} from "../evaluation/mod.ts";
import { renderReport, renderTable } from "../report/mod.ts";
import { note, print, printJson, progress } from "./output.ts";

interface Options {
  readonly model?: string[];
  readonly bytes: string;
  readonly connections: string;
  readonly parallel: string;
  readonly seed: string;
  readonly out: string;
  readonly keep?: string;
  readonly json?: boolean;
}

/** `deno task demo`: the whole loop in under two minutes, without privileges. */
export function command(): Command {
  return new Command("deno task demo")
    .description(
      "Carries random data each way between a tm-client and a tm-server on loopback under cover of " +
        "several models, records the wire, lets the attacks judge the recordings, and writes a report.",
    )
    .option(
      "--model <name|file[:users]>",
      "a model to play, and by how many simulated users; repeatable (default: https, smtp, ssh and constant-rate)",
      repeated,
    )
    .option("--bytes <n>", "user bytes each way under each model", "100000")
    .option("--connections <n>", "cover connections to record of each model", "60")
    .option("--parallel <n>", "models played at once", "2")
    .option("--seed <n>", "seed of cover and attacks", "1")
    .option("--out <file>", "where to write the report", "trafficmimic-demo.html")
    .option("--keep <folder>", "keep recordings and logs in this new folder")
    .option("--json", "print one JSON object")
    .action(run);
}

function integer(option: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  throw new UsageError(`${option} ${text}: give an integer from ${least} to ${most}`);
}

function modelOf(text: string): DemoModel {
  const match = /^(.+):(\d+)$/.exec(text);
  const model = match?.[1] ?? text;
  const usual = DEMO_MODELS.find((one) => one.model === model.replace(/-structural$/, ""));
  const sessions = match === null ? usual?.sessions ?? 8 : integer("--model", match[2]!, 1, 16);
  return { model, sessions };
}

async function run(options: Options): Promise<void> {
  const models = options.model?.map(modelOf) ?? DEMO_MODELS;
  const samples = decodeURIComponent(new URL("../samples", import.meta.url).pathname);
  const folder = options.keep ?? await Deno.makeTempDir({ prefix: "trafficmimic-demo-" });
  if (options.keep !== undefined) await Deno.mkdir(folder, { recursive: true });
  const bar = progress();
  const start = performance.now();
  try {
    const { result, judgements, played } = await runDemo({
      models,
      real: samplesForAttacks(await shippedSamples(samples)),
      folder: await Deno.realPath(folder),
      bytes: integer("--bytes", options.bytes, 1, 100_000_000),
      connections: integer("--connections", options.connections, 1, 10_000),
      parallel: integer("--parallel", options.parallel, 1, 16),
      seed: integer("--seed", options.seed, 0, 2 ** 32 - 1),
      patience: 100_000,
      onProgress: (share, what) => bar.update(Math.round(1000 * share), 1000, what),
    });
    await writeFileAtomically(options.out, await renderReport(result));
    bar.stop();
    const seconds = (performance.now() - start) / 1000;
    if (options.json) {
      printJson({
        transfer: result.transfer,
        link: result.link,
        recording: result.recording,
        crossValidation: judgements.knn.crossValidation,
        models: result.models.map((one) => ({
          model: one.model,
          kind: one.kind,
          claims: one.protocol,
          n: one.connections,
          goodputKbps: one.goodputKbps,
          goodput: one.goodput,
          overhead: one.overhead,
          asClaimed: one.asClaimed.share,
          asClaimedCi95: [one.asClaimed.low, one.asClaimed.high],
          anomalous: one.anomalous.share,
          anomalousCi95: [one.anomalous.low, one.anomalous.high],
          kmeansFlagged: one.kmeansFlagged.share,
          kmeansFlaggedCi95: [one.kmeansFlagged.low, one.kmeansFlagged.high],
          auc: one.auc,
          sha256Match: one.sha256Match,
          unfinished: played.get(one.model)?.unfinished,
          linkLateness: played.get(one.model)?.linkLateness,
        })),
        smtpAgainstConstantRate: judgements.smtpAgainstConstantRate,
        seed: result.seed,
        seconds,
        report: await Deno.realPath(options.out),
      });
    } else {
      print(renderTable(result));
      note(`${seconds.toFixed(0)} s; report: ${options.out}`);
    }
  } finally {
    bar.stop();
    if (options.keep === undefined) await Deno.remove(folder, { recursive: true });
  }
}
