import { Buffer } from "node:buffer";
import { Command, Option } from "./command_line.ts";
import { coverSeed } from "../evaluation/demo/play.ts";
import {
  simulateCapture,
  SIMULATED_LINKS,
  writeSimulatedCapture,
} from "../evaluation/simulation/mod.ts";
import { loadModel } from "../models/mod.ts";
import type { Scheduling } from "../playback/mod.ts";
import { formatBytes } from "../report/format.ts";
import { wholeNumber } from "./numbers.ts";
import { print, printJson, progress } from "./output.ts";

interface Options {
  readonly model: string;
  readonly connections: number;
  readonly out: string;
  readonly link: string;
  readonly sessions: number;
  readonly schedule: Scheduling;
  readonly master: "client" | "server";
  readonly seed: string;
  readonly json?: boolean;
}

/** `deno task simulate`: cover traffic in virtual time, as a capture. */
export function command(): Command {
  return new Command("deno task simulate")
    .description(
      "Plays a model in virtual time over a model of a link and writes what tcpdump at the client's end would record. " +
        "Sizes and order are those of the tunnel itself; times are a model's, and a figure made from them is a simulated one.",
    )
    .requiredOption("--model <name|file>", "the model to play")
    .requiredOption(
      "--connections <n>",
      "cover connections to record: the first that begin",
      wholeNumber(1, 1_000_000),
    )
    .requiredOption("--out <file>", "where the capture goes (pcap; gzipped if it ends in .gz)")
    .addOption(
      new Option("--link <name>", "the link between the two ends")
        .choices(Object.keys(SIMULATED_LINKS)).default("lab"),
    )
    .option("--sessions <n>", "model sessions played at once", wholeNumber(1, 10_000), 1)
    .addOption(
      new Option("--schedule <how>", "who decides when episodes start")
        .choices(["strict", "demand", "adaptive"]).default("strict"),
    )
    .addOption(
      new Option("--master <end>", "which end draws from the model")
        .choices(["client", "server"]).default("client"),
    )
    .option("--seed <text>", "the same seed makes the same capture", "1")
    .option("--json", "print one JSON object")
    .action(run);
}

async function run(options: Options): Promise<void> {
  const model = await loadModel(options.model);
  const bar = progress();
  const start = performance.now();
  try {
    const capture = simulateCapture({
      model,
      link: SIMULATED_LINKS[options.link]!,
      // What the laboratory and the demo give to the tm-client that plays this model with this seed.
      seed: new Uint8Array(Buffer.from(coverSeed(options.seed, options.model), "hex")),
      connections: options.connections,
      sessions: options.sessions,
      schedule: options.schedule,
      master: options.master,
      onProgress: (ended) => bar.update(ended, options.connections, "connections"),
    });
    await writeSimulatedCapture(capture, options.out);
    bar.stop();
    const { size } = await Deno.stat(options.out);
    const seconds = (performance.now() - start) / 1000;
    const { connections, unfinished, packets, duration, faults } = capture;
    if (options.json) {
      printJson({
        model: model.description,
        link: SIMULATED_LINKS[options.link],
        simulated: true,
        connections,
        unfinished,
        packets,
        virtualSeconds: duration / 1000,
        faults: faults.length,
        seconds,
        out: options.out,
      });
      return;
    }
    print(
      `${options.out}: ${connections} connections of ${model.description.name}, ${packets} packets, ` +
        `${formatBytes(size)}; ${(duration / 60_000).toFixed(1)} minutes in ${
          seconds.toFixed(1)
        } s, simulated` +
        (unfinished > 0 ? `; ${unfinished} had not ended` : "") +
        (faults.length > 0 ? `; ${faults.length} were given up` : ""),
    );
  } finally {
    bar.stop();
  }
}
