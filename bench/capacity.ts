/**
 * How many tunnels a core plays in time. Tunnels of the model `https` are added until the 99th percentile of
 * lateness, at either end, passes 10 ms twice; each end is a process, so each has a core of the machine's two at most.
 * Then memory a tunnel, and the processor time that a megabyte of user data costs beside obfs4proxy, as tor runs
 * both.
 *
 * @module
 */
import { sleep } from "../lab/process.ts";
import type { Benchmark, BenchmarkOptions } from "./benchmark.ts";
import { EndProcess } from "./support/ends.ts";
import { processorSeconds } from "./support/processor.ts";
import {
  driveThrough,
  installed,
  ownPt,
  type PtOptions,
  startApplication,
  startPt,
  type Transport,
} from "./support/transports.ts";

/** The benchmark. */
export const benchmark: Benchmark = { about: "tunnels a core plays in time", run };

const LIMIT = 10;

interface Cost {
  readonly name: string;
  readonly megabytes: number;
  readonly rate: number;
  readonly server: number;
  readonly client: number;
}

/** What a download costs through a transport whose user wants all that it carries. */
async function costOf(name: string, amount: number, transport: Transport): Promise<Cost> {
  // Handshakes, the first use of what is hot, and the tunnel's beginning are not part of it.
  const drive = (bytes: number) =>
    driveThrough(transport.way, { test: "down", amount: bytes, connections: 1, cap: 240_000 });
  await drive(amount / 8);
  const before = await processorSeconds(transport.pids);
  const { ms } = await drive(amount);
  const after = await processorSeconds(transport.pids);
  const [server, client] = after.map((seconds, i) => (seconds - before[i]!) * 1e6 / amount);
  return {
    name,
    megabytes: amount / 1e6,
    rate: amount / 1000 / ms,
    server: server!,
    client: client!,
  };
}

async function costs(quick: boolean, note: (text: string) => void): Promise<Cost[]> {
  await using application = await startApplication();
  const orPort = application.port;
  const bulk = quick ? 64e6 : 512e6;
  const shaped = quick ? 2e5 : 2e6;
  const mimic = (...options: string[]) => ({ name: "mimic", command: ownPt(), options, orPort });
  const runs: [string, number, PtOptions][] = [
    ["mimic, https, 4 sessions", shaped, mimic("model=https", "sessions=4")],
    ["mimic, bulk", bulk, mimic("model=bulk")],
  ];
  if (await installed("obfs4proxy")) {
    runs.push(["obfs4", bulk, { name: "obfs4", command: ["obfs4proxy"], orPort }]);
  }
  const found: Cost[] = [];
  for (const [name, amount, options] of runs) {
    note(`processor time: ${name}`);
    await using transport = await startPt(options);
    found.push(await costOf(name, amount, transport));
  }
  return found;
}

interface Step {
  readonly tunnels: number;
  readonly client: number;
  readonly server: number;
  readonly median: number;
  /** The same of timers in a process that does nothing else, meanwhile: what is the machine's own. */
  readonly control: number;
  readonly processor: readonly number[];
  readonly resident: readonly number[];
  readonly wire: number;
}

function worst({ client, server }: Step): number {
  return Math.max(client, server);
}

async function run(options: BenchmarkOptions) {
  const cost = await costs(options.quick, options.note);
  const { data, notes, table } = await tunnels(options);
  return {
    tables: [table, {
      title: "Processor time of a download by a user who wants all that is carried, ms a MB",
      head: ["", "MB", "MB/s", "server", "client"],
      rows: cost.map(({ client, megabytes, name, rate, server }) => [
        name,
        String(megabytes),
        rate.toFixed(2),
        (1000 * server).toFixed(1),
        (1000 * client).toFixed(1),
      ]),
    }],
    notes,
    data: { ...data, cost },
  };
}

async function tunnels({ note, quick, seed }: BenchmarkOptions) {
  const seconds = quick ? 5 : 20;
  const most = quick ? 30 : 2048;
  const { end: server, line } = await EndProcess.server(["https"]);
  await using _server = server;
  await using client = await EndProcess.client(line, seed);
  const pids = [server.pid, client.pid];
  const empty = [await server.stats(), await client.stats()];
  const steps: Step[] = [];
  for (let tunnels = 0; tunnels < most;) {
    const more = Math.max(8, Math.floor(tunnels / 2));
    note(`${tunnels + more} tunnels`);
    // New ones come a few at a time: so many first handshakes at once are no steady state.
    for (let left = more; left > 0; left -= 8) await client.add(Math.min(8, left));
    tunnels += more;
    await sleep(3000);
    const at = [await server.stats(), await client.stats()];
    const before = await processorSeconds(pids);
    const { callAt } = await EndProcess.timers(seconds * 1000);
    const after = await processorSeconds(pids);
    const [peer, own] = [await server.stats(), await client.stats()];
    steps.push({
      tunnels,
      client: own.lateness.p99,
      server: peer.lateness.p99,
      control: callAt.p99,
      median: Math.max(own.lateness.median, peer.lateness.median),
      processor: after.map((value, i) => (value - before[i]!) / seconds),
      resident: [peer.resident, own.resident],
      wire: (peer.wire + own.wire - at[0]!.wire - at[1]!.wire) / seconds,
    });
    // Once may be the machine's unrest.
    if (steps.length > 1 && steps.slice(-2).every((step) => worst(step) > LIMIT)) break;
  }
  const held = steps.filter((step) => worst(step) <= LIMIT).at(-1);
  const largest = steps.at(-1)!;
  const memory = largest.resident.map((bytes, i) =>
    (bytes - empty[i]!.resident) / largest.tunnels / 1024
  );
  return {
    table: {
      title:
        `Idle tunnels of the model https, client's and server's end each in one process; ${seconds} s a step`,
      head: [
        "tunnels",
        "p99 client ms",
        "p99 server ms",
        "p99 timers ms",
        "median ms",
        "core client",
        "core server",
        "MB client",
        "MB server",
        "wire MB/s",
      ],
      rows: steps.map((step) => [
        String(step.tunnels),
        step.client.toFixed(2),
        step.server.toFixed(2),
        step.control.toFixed(2),
        step.median.toFixed(3),
        `${(100 * step.processor[1]!).toFixed(0)} %`,
        `${(100 * step.processor[0]!).toFixed(0)} %`,
        (step.resident[1]! / 1e6).toFixed(0),
        (step.resident[0]! / 1e6).toFixed(0),
        (step.wire / 1e6).toFixed(2),
      ]),
    },
    notes: [
      held === undefined
        ? `Not even ${steps[0]!.tunnels} tunnels stayed under ${LIMIT} ms at the 99th percentile.`
        : `${held.tunnels} tunnels a core stayed under ${LIMIT} ms at the 99th percentile` +
          (held === largest
            ? " (more were not tried)."
            : `; ${steps[steps.indexOf(held) + 1]!.tunnels} did not.`),
      `Memory a tunnel, from the last step: client ${memory[1]!.toFixed(0)} KiB, server ${
        memory[0]!.toFixed(0)
      } KiB.`,
    ],
    data: { steps, empty, memory },
  };
}
