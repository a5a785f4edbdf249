import { UserError } from "../../base/mod.ts";
import { fileURLToPath as fromFileUrl } from "node:url";
import { denoCache, LabNetwork } from "../../lab/network.ts";
import { temporaryPrefix } from "../../lab/leftovers.ts";
import { run, sleep } from "../../lab/process.ts";
import { type Random, seededRandom } from "../../lab/random.ts";
import type { TunLinkReport } from "../../lab/tun_link.ts";
import { V8_FLAGS } from "../../transports/mimic/freed_memory.ts";
import { type Memory, slope } from "./memory.ts";
import { NodeProcess } from "./node_lines.ts";
import { MODELS, PORTS, type SoakTunnel, soakTunnels } from "./plan.ts";
import type { StreamOver } from "./users_node.ts";

/** How to soak. */
export interface SoakOptions {
  /** Tunnels, each of a user of its own. */
  readonly tunnels: number;
  /** Seconds in which streams begin. */
  readonly seconds: number;
  /** Tunnels of one client process. */
  readonly perProcess: number;
  /** Carriers besides `tls` that are played where the plan has them. */
  readonly carriers: readonly SoakTunnel["carrier"][];
  /** Mean seconds between two kills. */
  readonly killEvery: number;
  /** Share of packets lost. */
  readonly loss: number;
  /** Decides what happens when, and the cover. */
  readonly seed: string;
  /** Seconds that streams may take to end after the last began. */
  readonly grace: number;
  /** Told what happens. */
  readonly onProgress: (text: string) => void;
  /** How the server's session ranks among others of a busy machine (-20 first, 19 last). */
  readonly nice: number;
  /** Variables of the nodes' environment, such as `MALLOC_ARENA_MAX`. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Ends it early: everything is removed. */
  readonly signal?: AbortSignal;
}

/** A process's memory over the soak, in MiB. */
export interface MemoryCourse {
  readonly process: string;
  /** Resident: at the first sample, at the last, the most. */
  readonly first: number;
  readonly last: number;
  readonly most: number;
  /** MiB an hour that resident memory grew by in the last three quarters. */
  readonly slope: number;
  /** Objects alive after a collection of garbage: first, last, and MiB an hour in the last three quarters. */
  readonly live: { readonly first: number; readonly last: number; readonly slope: number };
  /** Memory outside of the heap that live objects hold: first and last. */
  readonly external: { readonly first: number; readonly last: number };
  /** Open files: the most, and at the last sample. */
  readonly files: { readonly most: number; readonly last: number };
}

/** What a soak found. */
export interface SoakReport {
  readonly tunnels: number;
  readonly seconds: number;
  readonly seed: string;
  /** Streams that were begun, and how they ended. */
  readonly streams: {
    readonly begun: number;
    readonly complete: number;
    readonly failed: number;
    /** Those that had not ended when time was up; they are among the failed. */
    readonly unfinished: number;
    /** Ended without an error and not complete, or with other bytes. */
    readonly silentlyWrong: number;
    readonly bytesUp: number;
    readonly bytesDown: number;
    /** Longest time that a stream waited for a byte, seconds. */
    readonly longestSilence: number;
  };
  readonly faults: readonly StreamOver[];
  /** Connections killed, by how. */
  readonly kills: Readonly<Record<string, number>>;
  /** What was done to the link, and when (seconds). */
  readonly changes: readonly { readonly at: number; readonly what: string }[];
  readonly link: TunLinkReport | undefined;
  readonly memory: readonly MemoryCourse[];
  /**
   * Every sample: seconds, resident MiB of each process in the order of `memory`, and of the server its connections,
   * its heap with garbage, what the heap has taken, and what lies outside of it, in MiB.
   */
  readonly samples: readonly {
    readonly at: number;
    readonly resident: readonly number[];
    readonly server: {
      readonly connections: number;
      readonly heap: number;
      readonly total: number;
      readonly external: number;
    };
  }[];
  /** Cover connections by the server's count. */
  readonly cover: unknown;
  /** What the nodes noted: how often. */
  readonly notes: Readonly<Record<string, number>>;
  /** The machine's load at the end. */
  readonly load: string;
}

const ROOT = fromFileUrl(new URL("../../", import.meta.url));
const SAMPLE_MS = 10_000;
/** Every so many samples garbage is collected first. */
const COLLECT = 6;
const DELAYS = [5, 20, 40, 80];
const FULL_RATE = 100;
const LOW_RATE = 5;
const QUEUE = 512 * 1024;
/** How a connection is killed: at either end as the kernel kills, or never heard of again. */
const KILLS = ["client", "client", "server", "server", "silence"] as const;
const NFT = `table ip soak {
  set dead { type inet_service; flags timeout; timeout 5m; }
  chain outward { type filter hook output priority 0; ip daddr 10.99.0.2 tcp sport @dead drop; }
  chain inward { type filter hook input priority 0; ip saddr 10.99.0.2 tcp dport @dead drop; }
}`;

interface Sampled {
  readonly memory: Memory;
  readonly notes?: readonly string[];
}

interface UsersSaid extends Sampled {
  readonly over: readonly StreamOver[];
  readonly open: readonly { readonly tunnel: number; readonly age: number }[];
}

/** Kills connections, changes the link, and remembers what was done. */
class Unrest {
  readonly kills: Record<string, number> = { client: 0, server: 0, silence: 0 };
  readonly changes: { at: number; what: string }[] = [];

  constructor(
    readonly network: LabNetwork,
    readonly random: Random,
    readonly since: number,
  ) {}

  #at(name: string, argv: readonly string[]): Promise<string> {
    return run(["ip", "netns", "exec", name, ...argv]);
  }

  async begin(): Promise<void> {
    await this.#at(this.network.client, ["nft", NFT]);
  }

  /** Kills one cover connection of those that are open. */
  async kill(): Promise<void> {
    const { client, server } = this.network;
    const sockets = await this.#at(
      client,
      ["ss", "-Htn", "state", "established", "dst", "10.99.0.2"],
    );
    const open = [...sockets.matchAll(/10\.99\.0\.1:(\d+)\s+10\.99\.0\.2:(\d+)/g)];
    if (open.length === 0) return;
    const [, own, port] = open[this.random.integer(open.length)]!;
    const how = KILLS[this.random.integer(KILLS.length)]!;
    if (how === "silence") {
      await this.#at(client, ["nft", `add element ip soak dead { ${own} }`]);
    } else {
      const at = how === "client"
        ? `sport = :${own} and dport = :${port}`
        : `sport = :${port} and dport = :${own}`;
      await this.#at(how === "client" ? client : server, ["ss", "-tK", at]).catch(() => {});
    }
    this.kills[how]!++;
  }

  async change(what: string, link: Parameters<LabNetwork["change"]>[0]): Promise<void> {
    await this.network.change(link);
    this.changes.push({ at: Math.round((performance.now() - this.since) / 1000), what });
  }
}

function node(file: string, ...args: string[]): string[] {
  return [
    Deno.execPath(),
    ...["run", "--quiet", "--no-prompt", "--no-check", "--allow-net"],
    // As the tasks of both ends, besides what measures.
    `--v8-flags=--expose-gc,${V8_FLAGS}`,
    ...[
      "--allow-read",
      "--allow-write",
      "--allow-env",
      "--allow-sys",
      "--allow-run",
      "--allow-ffi",
    ],
    `${ROOT}tests/soak/${file}`,
    ...args,
  ];
}

interface Taken {
  readonly at: number;
  readonly memory: Memory;
  readonly files: number;
  /** The server's connections. */
  readonly connections: number;
}

/** How many files and sockets each process has open. */
async function openFiles(nodes: readonly NodeProcess[]): Promise<number[]> {
  const count = nodes.map(({ pid }) => `ls /proc/${pid}/fd | wc -l`).join("; ");
  return (await run(["sh", "-c", count])).trim().split("\n").map(Number);
}

const mebibytes = (bytes: number) => Math.round(bytes / 2 ** 20);

function courseOf(process: string, all: readonly Taken[]): MemoryCourse {
  const MIB = 2 ** 20;
  const late = all.slice(Math.floor(all.length / 4));
  const hourly = (series: readonly { at: number; value: number }[]) => 3600 * slope(series) / MIB;
  const live = (of: typeof all) =>
    of.flatMap(({ at, memory }) => memory.live === undefined ? [] : [{ at, value: memory.live }]);
  const round = (bytes: number) => Math.round(10 * bytes / MIB) / 10;
  const resident = all.map(({ memory }) => memory.rss);
  const alive = live(all).map(({ value }) => value);
  return {
    process,
    first: round(resident[0] ?? 0),
    last: round(resident.at(-1) ?? 0),
    most: round(Math.max(0, ...resident)),
    slope: Math.round(10 * hourly(late.map(({ at, memory }) => ({ at, value: memory.rss })))) / 10,
    live: {
      first: round(alive[0] ?? 0),
      last: round(alive.at(-1) ?? 0),
      slope: Math.round(10 * hourly(live(late))) / 10,
    },
    external: {
      first: round(all.find(({ memory }) => memory.live !== undefined)?.memory.external ?? 0),
      last: round(all.findLast(({ memory }) => memory.live !== undefined)?.memory.external ?? 0),
    },
    files: {
      most: Math.max(0, ...all.map(({ files }) => files)),
      last: all.at(-1)?.files ?? 0,
    },
  };
}

/**
 * Many tunnels at once over a bad link on which cover connections are killed all the time, each with
 * streams of users whose every byte is compared. Everything started is ended before it returns or throws.
 */
export async function soak(options: SoakOptions): Promise<SoakReport> {
  const { onProgress, seconds, seed, signal } = options;
  const tunnels = soakTunnels(options.tunnels, new Set<string>(options.carriers));
  const carriers = (["tls", ...options.carriers] as const)
    .filter((carrier) => tunnels.some((tunnel) => tunnel.carrier === carrier));
  const folder = await Deno.makeTempDir({ prefix: temporaryPrefix() });
  const network = await LabNetwork.up({
    kind: "tun",
    link: {
      name: "soak",
      oneWayDelayMs: DELAYS[1]!,
      rateMbit: FULL_RATE,
      queueKB: QUEUE / 1024,
      mss: 1448,
    },
    loss: options.loss,
    seed: seededRandom(seed).integer(2 ** 31),
  });
  const nodes: NodeProcess[] = [];
  const env = {
    PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    HOME: folder,
    TMPDIR: "/tmp",
    NO_COLOR: "1",
    ...denoCache(),
    ...options.environment,
  };
  const start = (end: "client" | "server", name: string, argv: readonly string[]) => {
    // Linux shares a busy machine among sessions first: each process is one, so that none starves the others.
    const inside = ["ip", "netns", "exec", network[end], "setsid", ...argv];
    nodes.push(new NodeProcess(name, inside, env));
    return nodes.at(-1)!;
  };
  let closed = false;
  const close = async () => {
    if (closed) return;
    closed = true;
    // The clients take their leave of a server that is still there.
    for (const process of nodes.toReversed()) await process.stop();
    await network[Symbol.asyncDispose]();
    await Deno.remove(folder, { recursive: true }).catch(() => {});
  };
  const aborted = new Promise<never>((_, reject) => {
    signal?.addEventListener("abort", () => reject(new UserError("stopped")));
  });
  aborted.catch(() => {});
  try {
    const begun = performance.now();
    const far = start("server", "far end", node("users_node.ts", "far"));
    await far.next(20_000);
    const server = start(
      "server",
      "server",
      node("server_node.ts", folder, String(tunnels.length), ...carriers),
    );
    const { lines } = await server.next<{ lines: Record<string, string[]> }>(60_000);
    // Its session is there by now.
    if (options.nice !== 0) {
      await run(["sh", "-c", `echo ${options.nice} > /proc/${server.pid}/autogroup`]);
    }
    const clients: NodeProcess[] = [];
    for (let from = 0; from < tunnels.length; from += options.perProcess) {
      const own = tunnels.slice(from, from + options.perProcess)
        .map((tunnel) => ({ tunnel, line: lines[tunnel.carrier]![tunnel.index]! }));
      clients.push(
        start(
          "client",
          `client ${clients.length + 1}`,
          node("client_node.ts", JSON.stringify({ seed, tunnels: own })),
        ),
      );
    }
    await Promise.race([
      aborted,
      Promise.all(clients.map(async (client) => {
        while (!(await client.next<{ ready?: boolean }>(240_000)).ready);
      })),
    ]);
    onProgress(
      `${tunnels.length} tunnels in ${clients.length} processes stand after ` +
        `${((performance.now() - begun) / 1000).toFixed(0)} s (carriers ${
          carriers.join(", ")
        }; models ` +
        `${[...new Set(carriers.flatMap((carrier) => MODELS[carrier]))].join(", ")}; ports ` +
        `${carriers.map((carrier) => PORTS[carrier]).join(", ")})`,
    );
    const users = start(
      "client",
      "users",
      node("users_node.ts", JSON.stringify({ seed, tunnels, seconds })),
    );
    await users.next(60_000);
    const since = performance.now();
    const elapsed = () => (performance.now() - since) / 1000;
    const random = seededRandom("unrest", seed);
    const unrest = new Unrest(network, random, since);
    await unrest.begin();
    const sampled = [server, ...clients, users, far];
    const courses = sampled.map(() => [] as Taken[]);
    const notes: Record<string, number> = {};
    const over: StreamOver[] = [];
    let open: UsersSaid["open"] = [];
    let cover: unknown;
    const sample = async (word: string) => {
      const at = elapsed();
      const files = await openFiles(sampled);
      const said = await Promise.all(sampled.map((process) => process.ask<Sampled>(word)));
      for (const [index, { memory, notes: some = [] }] of said.entries()) {
        const { connections = 0 } = said[index] as { connections?: number };
        courses[index]!.push({ at, memory, files: files[index]!, connections });
        for (const note of some) {
          const kind = note.replace(/^tunnel \d+: /, "").replace(/[\d.]+ s/, "... s")
            .replace(/:\d+/g, "");
          notes[kind] = (notes[kind] ?? 0) + 1;
          if (notes[kind] === 1 || /ENDED|new tunnel/.test(note)) onProgress(`note: ${note}`);
        }
      }
      const { memory: _, notes: _n, ...rest } = said[0] as Sampled & Record<string, unknown>;
      cover = rest;
      const users = said[sampled.length - 2] as UsersSaid;
      for (const result of users.over) {
        over.push(result);
        if (result.fault !== undefined) onProgress(`FAULT ${JSON.stringify(result)}`);
      }
      open = users.open;
      return said;
    };
    const progress = () => {
      const { connections } = cover as { connections: number };
      const bytes = over.reduce((sum, { down, up }) => sum + down + up, 0);
      const mib = courses.map((course) => Math.round((course.at(-1)?.memory.rss ?? 0) / 2 ** 20));
      onProgress(
        `${elapsed().toFixed(0)} s: ${over.length} streams over, ` +
          `${
            over.filter(({ fault }) => fault !== undefined).length
          } failed, ${open.length} open, ` +
          `${(bytes / 1e6).toFixed(1)} MB compared; ${connections} connections; killed ` +
          `${Object.values(unrest.kills).join("+")}; MiB ${mib.join(" ")}`,
      );
    };
    let samples = 0;
    let nextSample = 0;
    let nextKill = 0;
    let nextDelay = 30;
    let low = false;
    while (elapsed() < seconds) {
      const now = elapsed();
      if (now >= nextKill) {
        await unrest.kill();
        nextKill = now - Math.log(1 - random.float()) * options.killEvery;
      }
      if (now >= nextDelay) {
        const delayMs = DELAYS[random.integer(DELAYS.length)]!;
        await unrest.change(`delay ${delayMs} ms`, { delayMs });
        nextDelay = now + 15 + random.float() * 45;
      }
      const middle = now >= 0.5 * seconds && now < 0.65 * seconds;
      if (middle !== low) {
        low = middle;
        const rateMbit = low ? LOW_RATE : FULL_RATE;
        await unrest.change(`rate ${rateMbit} Mbit/s`, { rateMbit });
        onProgress(`the link has ${rateMbit} Mbit/s from now on`);
      }
      if (now >= nextSample) {
        await Promise.race([aborted, sample(samples++ % COLLECT === 0 ? "collect" : "sample")]);
        nextSample += SAMPLE_MS / 1000;
        progress();
      }
      const next = Math.min(nextKill, nextSample, nextDelay, now + 1);
      await Promise.race([aborted, sleep(Math.max(10, 1000 * (next - elapsed())))]);
    }
    await sample("enough");
    const deadline = performance.now() + 1000 * options.grace;
    while (open.length > 0 && performance.now() < deadline) {
      await Promise.race([aborted, sleep(2000)]);
      await sample("sample");
      progress();
    }
    const unfinished = open.length;
    if (unfinished > 0) {
      await sample("give up");
    }
    await sample("collect");
    const load = (await run(["cat", "/proc/loadavg"])).trim();
    await close();
    const failed = over.filter(({ fault }) => fault !== undefined);
    return {
      tunnels: tunnels.length,
      seconds,
      seed,
      streams: {
        begun: over.length,
        complete: over.length - failed.length,
        failed: failed.length,
        unfinished,
        silentlyWrong: failed.filter(({ fault }) => fault !== "error").length,
        bytesUp: over.reduce((sum, { up }) => sum + up, 0),
        bytesDown: over.reduce((sum, { down }) => sum + down, 0),
        longestSilence: Math.max(0, ...over.map(({ silence }) => silence)) / 1000,
      },
      faults: failed.slice(0, 50),
      kills: unrest.kills,
      changes: unrest.changes,
      link: network.report,
      memory: sampled.map(({ name }, index) => courseOf(name, courses[index]!)),
      samples: courses[0]!.map(({ at, connections, memory: { external, heap, total } }, place) => ({
        at: Math.round(at),
        resident: courses.map((course) => mebibytes(course[place]?.memory.rss ?? 0)),
        server: {
          connections,
          heap: mebibytes(heap),
          total: mebibytes(total),
          external: mebibytes(external),
        },
      })),
      cover,
      notes,
      load,
    };
  } finally {
    await close();
  }
}
