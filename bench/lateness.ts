/**
 * How late the engine does what is planned: each shipped model is played on sockets, its ends in processes of their
 * own, and every opening, message and close is counted by the engine itself. Beside it, at the same time in a
 * third process, what timers alone give: the runtime's, and ours that the engine uses, by itself and with a bare write
 * after it, for the engine counts a message when it has been handed to the system.
 *
 * @module
 */
import { BUILTIN_MODELS } from "../models/mod.ts";
import type { LatenessSummary } from "../playback/mod.ts";
import { sleep } from "../lab/process.ts";
import type { Benchmark, BenchmarkOptions } from "./benchmark.ts";
import { EndProcess } from "./support/ends.ts";
import { processorSeconds } from "./support/processor.ts";

/** The benchmark. */
export const benchmark: Benchmark = { about: "lateness of what is sent against its plan", run };

const TUNNELS = 4;

async function run({ note, quick, seed }: BenchmarkOptions) {
  const seconds = quick ? 4 : 30;
  const rows: string[][] = [];
  const data: Record<string, unknown> = {};
  const add = (name: string, what: string, { count, max, median, p99 }: LatenessSummary) =>
    rows.push([name, what, String(count), ...[median, p99, max].map((ms) => ms.toFixed(3))]);
  for (const model of BUILTIN_MODELS) {
    // What has no plan cannot be late.
    if (model === "bulk") continue;
    note(`${model}: ${seconds} s`);
    const { end: server, line } = await EndProcess.server([model]);
    await using _server = server;
    await using client = await EndProcess.client(line, seed);
    await client.add(TUNNELS);
    // What is hot is compiled, and the openings of the first connections are past.
    await sleep(1500);
    await Promise.all([server.stats(), client.stats()]);
    const pids = [server.pid, client.pid];
    const before = await processorSeconds(pids);
    const timers = await EndProcess.timers(seconds * 1000);
    const after = await processorSeconds(pids);
    const [own, peer] = [await client.stats(), await server.stats()];
    add(model, "client", own.lateness);
    add("", "server", peer.lateness);
    add("", "setTimeout", timers.setTimeout);
    add("", "callAt", timers.callAt);
    add("", "callAt and write", timers.write);
    const used = after.map((value, i) => (value - before[i]!) / seconds);
    data[model] = { client: own, server: peer, timers, processor: used };
  }
  return {
    tables: [{
      title:
        `Lateness in ms: ${TUNNELS} idle tunnels of each model for ${seconds} s on loopback, and timers alone meanwhile`,
      head: ["model", "", "count", "median", "p99", "max"],
      rows,
    }],
    data,
  };
}
