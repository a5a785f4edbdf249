/**
 * One server process, two users of it, and peers that mean no good. Not a part of the tests:
 * `deno task soak:hostile --help` (root is not needed; nginx is).
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { startNginx } from "../../bench/nginx.ts";
import { Table } from "../../base/table.ts";
import { Command, Option } from "../../cli/command_line.ts";
import { wholeNumber } from "../../cli/numbers.ts";
import { note, print, printJson } from "../../cli/output.ts";
import { runCommand } from "../../cli/run.ts";
import type { LatenessSummary } from "../../playback/mod.ts";
import { V8_FLAGS } from "../../transports/mimic/freed_memory.ts";
import { crowdServer, stateWithUsers } from "../transports/crowd.ts";
import { CommandProcess } from "../transports/processes.ts";
import { noise } from "../transports/world.ts";
import type { HostileCounts, HostileKind, HostileOrder } from "./hostile_attacks.ts";
import type { HostileServerTask, ServerReport } from "./hostile_server.ts";
import { NodeProcess } from "./node_lines.ts";

const KINDS: readonly HostileKind[] = [
  "wrong-secrets",
  "half-open",
  "deaf-strangers",
  "deaf-user",
  "nonsense",
];
/** Models that the users play: one that waits for its cover, one that waits for nothing. */
const MODELS = ["https", "bulk"] as const;
/** Bytes of a fetch. */
const PAGE = 20_000;
/** Milliseconds after which a fetch counts as failed. */
const PATIENCE = 60_000;

interface Phase {
  readonly what: string;
  readonly did: HostileCounts;
  /** Milliseconds of each fetch of each user. */
  readonly fetches: Readonly<Record<string, readonly number[]>>;
  readonly failed: number;
  /** How late the server's cover was. */
  readonly cover: LatenessSummary;
  /** How long whatever arrived had to wait until the server's process took it. */
  readonly turns: LatenessSummary;
  /** MiB resident: most, and at the end. */
  readonly resident: { readonly most: number; readonly last: number };
  /** MiB at the end: objects on the heap, and what they hold outside of it; garbage gone. */
  readonly live: { readonly heap: number; readonly external: number };
  readonly files: { readonly most: number; readonly last: number };
  /** Processor seconds of the server for each second. */
  readonly cores: number;
}

/** What a program that needs no more rights than its user's prints. */
async function output(command: string, ...args: string[]): Promise<string> {
  const { stdout } = await new Deno.Command(command, { args, stderr: "null" }).output();
  return new TextDecoder().decode(stdout);
}

/** What the kernel says of a process. Programs read it, for `/proc` would take all permissions. */
async function look(pid: number): Promise<{ resident: number; files: number; cpu: number }> {
  const text = await output("cat", `/proc/${pid}/status`, `/proc/${pid}/stat`);
  const stat = text.trimEnd().split("\n").at(-1)!.replace(/^.*\) /, "").split(" ");
  return {
    resident: Number(/VmRSS:\s+(\d+)/.exec(text)![1]) / 1024,
    files: (await output("ls", `/proc/${pid}/fd`)).split("\n").length - 1,
    cpu: (Number(stat[11]) + Number(stat[12])) / 100,
  };
}

interface Options {
  readonly seconds: number;
  readonly rounds: number;
  readonly from: string;
  readonly only?: HostileKind[];
  readonly json?: boolean;
}

async function soak(
  { from, json = false, only = [...KINDS], rounds, seconds }: Options,
  cleanup: AsyncDisposableStack,
) {
  const folder = await Deno.makeTempDir();
  cleanup.defer(() => Deno.remove(folder, { recursive: true }));
  const nginx = cleanup.use(await startNginx());
  await stateWithUsers(folder, 3);
  const page = noise(PAGE);
  const web = crowdServer([page]);
  cleanup.defer(() => web.shutdown());
  const run = (command: string, ...args: string[]) => {
    const process = new CommandProcess(command, args);
    cleanup.defer(async () => void await process.stop().catch(() => {}));
    return process;
  };
  const task: HostileServerTask = {
    state: folder,
    models: MODELS,
    cert: nginx.cert,
    key: nginx.key,
    decoyPort: nginx.port,
  };
  const program = new URL("./hostile_server.ts", import.meta.url).pathname;
  const kept = ["HOME", "DENO_DIR"].flatMap((name) => {
    const value = Deno.env.get(name);
    return value === undefined ? [] : [[name, value]];
  });
  const server = new NodeProcess("the server", [
    ...[
      Deno.execPath(),
      "run",
      "--quiet",
      "--no-prompt",
      "--no-check",
      `--v8-flags=--expose-gc,${V8_FLAGS}`,
    ],
    ...["--allow-ffi", "--allow-net", "--allow-read", "--allow-write"],
    ...[program, JSON.stringify(task)],
  ], { NO_COLOR: "1", ...Object.fromEntries(kept) });
  cleanup.defer(() => server.stop(5000));
  const { lines: [evil, ...lines] } = await server.next<{ lines: string[] }>(30_000);
  const doors = await Promise.all(MODELS.map(async (model, user) => {
    const client = run(
      "client",
      ...["--line", lines[user]!, "--model", model, "--json"],
      ...["--sessions", model === "bulk" ? "1" : "4"],
      ...["--forward", `127.0.0.1:0=127.0.0.1:${web.addr.port}`],
    );
    return JSON.parse(await client.line()).doors[0].port as number;
  }));
  const worker = new Worker(new URL("./hostile_attacks.ts", import.meta.url), { type: "module" });
  cleanup.defer(() => worker.terminate());

  const phase = async (what: HostileKind | "calm"): Promise<Phase> => {
    const until = performance.now() + 1000 * seconds;
    const answer = what === "calm"
      ? Promise.resolve({})
      : new Promise<HostileCounts>((resolve, reject) => {
        worker.onmessage = ({ data }: MessageEvent<HostileCounts>) => resolve(data);
        // Left to itself it would end this process, and leave the server and nginx behind.
        worker.onerror = (event) => {
          event.preventDefault();
          reject(new Error(`${what}: ${event.message}`));
        };
        worker.postMessage({ kind: what, line: evil!, from } satisfies HostileOrder);
      });
    answer.catch(() => {});
    let failed = 0;
    const fetches = Object.fromEntries(MODELS.map((model) => [model, [] as number[]]));
    const users = MODELS.map(async (model, user) => {
      while (performance.now() < until) {
        const start = performance.now();
        try {
          const answer = await fetch(`http://127.0.0.1:${doors[user]}/blob/0`, {
            signal: AbortSignal.timeout(PATIENCE),
          });
          const got = new Uint8Array(await answer.arrayBuffer());
          if (Buffer.compare(got, page) !== 0) throw new Error("other bytes");
          fetches[model]!.push(performance.now() - start);
        } catch (error) {
          failed++;
          note(`${what}, ${model}: ${error instanceof Error ? error.message : error}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    });
    const most = { resident: 0, files: 0 };
    await server.ask("begin");
    const first = await look(server.pid);
    while (performance.now() < until) {
      const { resident, files } = await look(server.pid);
      most.resident = Math.max(most.resident, resident);
      most.files = Math.max(most.files, files);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    const last = await look(server.pid);
    const { cover, turns } = await server.ask<ServerReport>("report");
    if (what !== "calm") worker.postMessage("end" satisfies HostileOrder);
    await Promise.all(users);
    const did = await answer;
    const { memory } = await server.ask<ServerReport>("collect");
    return {
      what,
      did,
      cover,
      turns,
      live: { heap: (memory.live ?? NaN) / 2 ** 20, external: memory.external / 2 ** 20 },
      fetches,
      failed,
      resident: { most: most.resident, last: last.resident },
      files: { most: most.files, last: last.files },
      cores: (last.cpu - first.cpu) / seconds,
    };
  };

  const phases: Phase[] = [await phase("calm")];
  for (let round = 0; round < rounds; round++) {
    for (const kind of KINDS.filter((kind) => only.includes(kind))) {
      for (const what of [kind, "calm"] as const) {
        phases.push(await phase(what));
        note(`${what}: done`);
      }
    }
  }
  const load = (await output("cat", "/proc/loadavg")).split(" ").slice(0, 3).join(" ");
  if (json) return printJson({ seconds, load, phases });
  const table = new Table({
    head: [
      "peers",
      ...["what they did", ...MODELS.map((model) => `${model}: fetches, ms: median, most`)],
      ...["failed", "cover late, ms: p99, most", "waits for a turn, ms: p99, most"],
      ...["resident MiB: most, last (live)", "files: most, last", "cores"],
    ],
  });
  const late = ({ max, p99 }: LatenessSummary) => `${p99.toFixed(1)}, ${max.toFixed(0)}`;
  for (const phase of phases) {
    const { cores, did, failed, fetches, files, live, resident, what } = phase;
    table.push([
      what,
      Object.entries(did).map(([name, count]) => `${count} ${name}`).join(", "),
      ...MODELS.map((model) => {
        const times = fetches[model]!.toSorted((a, b) => a - b);
        const [median, most] = [times[times.length >> 1] ?? NaN, times.at(-1) ?? NaN];
        return `${times.length}: ${median.toFixed(0)}, ${most.toFixed(0)}`;
      }),
      failed,
      late(phase.cover),
      late(phase.turns),
      `${resident.most.toFixed(0)}, ${resident.last.toFixed(0)} (${
        (live.heap + live.external).toFixed(0)
      })`,
      `${files.most}, ${files.last}`,
      cores.toFixed(2),
    ]);
  }
  print(table.toString());
  print(`${seconds} s each; load at the end ${load}`);
}

function command(): Command {
  return new Command("deno task soak:hostile")
    .description(
      "Plays wrong secrets, half-open floods, peers that never read and users who send nonsense to a server process, and says what that costs it and two users who fetch meanwhile. Needs nginx.",
    )
    .option("--seconds <n>", "seconds of each kind, and of the calm after it", wholeNumber(2), 20)
    .option("--rounds <n>", "how often all of it", wholeNumber(1), 1)
    .addOption(new Option("--only <kind...>", "these peers only").choices(KINDS))
    .option(
      "--from <address>",
      "loopback address of the peers that mean no good; the users' is 127.0.0.1",
      "127.0.0.66",
    )
    .option("--json", "print one JSON object")
    .action(async (options: Options) => {
      await using cleanup = new AsyncDisposableStack();
      await soak(options, cleanup);
    });
}

if (import.meta.main) {
  const hostile = { summary: "hostile peers", load: () => Promise.resolve({ command }) };
  Deno.exit(await runCommand("deno task", { hostile }, ["hostile", ...Deno.args]));
}
