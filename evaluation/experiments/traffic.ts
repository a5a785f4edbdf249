import { createHash } from "node:crypto";
import { Buffer } from "node:buffer";
import type { CaptureSource } from "../../capture/mod.ts";
import { loadModel } from "../../models/mod.ts";
import type { LabelledSamples } from "../../plugins/attack.ts";
import { coverSeed } from "../demo/play.ts";
import { readSamples } from "../samples.ts";
import { simulateCapture } from "../simulation/simulated_capture.ts";
import { simulatedSource } from "../simulation/simulated_capture.ts";
import { linkLateness } from "../simulation/link_lateness.ts";
import { SIMULATED_LINKS } from "../simulation/links.ts";

/** Runs of traffic: captures, or cover that is simulated when it is asked for. Plain data, a key of results. */
export type Traffic =
  | {
    /** Captures, each a run. */
    readonly files: readonly string[];
  }
  | {
    /** Model to simulate, by name or path. */
    readonly model: string;
    /** Name of the link. */
    readonly link: string;
    /** Independent runs, each with a seed of its own. */
    readonly runs: number;
    /** Cover connections in each. */
    readonly connections: number;
    /** Model sessions played at once. */
    readonly sessions: number;
    /** Text that the runs' seeds are drawn from. */
    readonly seed: string;
    /** Captures over the real link: packets are late as their openings show. Never late if absent. */
    readonly lateAs?: readonly string[];
  };

/** The captures of runs of traffic. */
export async function sourcesOf(traffic: Traffic): Promise<CaptureSource[]> {
  if ("files" in traffic) return [...traffic.files];
  const { connections, lateAs = [], link, runs, seed, sessions } = traffic;
  const model = await loadModel(traffic.model);
  const lateness = await linkLateness(lateAs, SIMULATED_LINKS[link]!);
  return Array.from({ length: runs }, (_, run) => {
    const capture = simulateCapture({
      model,
      link: SIMULATED_LINKS[link]!,
      seed: new Uint8Array(Buffer.from(coverSeed(`${seed} run ${run}`, traffic.model), "hex")),
      connections,
      sessions,
      lateness,
    });
    return simulatedSource(capture, `${model.description.name}-simulated-${run + 1}.pcap`);
  });
}

/** Samples that were read, by what they were read from: several jobs of a worker look at the same. */
const kept = new Map<string, LabelledSamples>();
/** More than these are forgotten, the oldest first. */
const MOST_KEPT = 8;

/** Samples of one label with their message sequences; each run is a capture of its own. */
export async function samplesOf(
  traffic: Traffic,
  label: string,
  handshake: "excluded" | "included",
): Promise<LabelledSamples> {
  const key = createHash("sha256").update(JSON.stringify([traffic, label, handshake]))
    .digest("hex");
  const before = kept.get(key);
  if (before !== undefined) return before;
  const { samples } = await readSamples([{ label, captures: await sourcesOf(traffic) }], {
    reads: "messages",
    handshake,
  });
  if (kept.size >= MOST_KEPT) kept.delete(kept.keys().next().value!);
  kept.set(key, samples);
  return samples;
}
