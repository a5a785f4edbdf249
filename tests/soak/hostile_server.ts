/**
 * The server of `soak_hostile.ts`, a process of its own: `deno task server` with an nginx for strangers, and a meter
 * of what it holds and how late it is. Says its users' lines, then a {@linkcode ServerReport} whenever it reads a
 * line, and ends with its standard input.
 *
 * @module
 */
import { loadModel } from "../../models/mod.ts";
import { Lateness, type LatenessSummary } from "../../playback/mod.ts";
import { alpnOf, giveMemoryBack, readLines, startServer } from "../../transports/mimic/mod.ts";
import { type Memory, memoryNow } from "./memory.ts";
import { say, serveLines } from "./node_lines.ts";

/** What the server is given. */
export interface HostileServerTask {
  readonly state: string;
  readonly models: readonly [string, ...string[]];
  readonly cert: string;
  readonly key: string;
  readonly decoyPort: number;
}

/** What has happened since the last report. */
export interface ServerReport {
  readonly memory: Memory;
  /** How late all cover of this end was, of all tunnels. */
  readonly cover: LatenessSummary;
  /** How late a timer of {@linkcode TICK} ms was: what arrives waits as long until the process takes it. */
  readonly turns: LatenessSummary;
  readonly tunnels: number;
  readonly strangers: number;
  readonly streams: number;
}

/** Milliseconds between two looks at the clock. */
const TICK = 4;

if (import.meta.main) {
  giveMemoryBack();
  const task = JSON.parse(Deno.args[0]!) as HostileServerTask;
  const [first, ...others] = await Promise.all(task.models.map(loadModel));
  const running = await startServer({
    listen: { host: "127.0.0.1", port: 0 },
    models: [first!, ...others],
    state: task.state,
    allowPrivate: true,
    carrier: "tls",
    name: "www.example.com",
    alpn: alpnOf(first!.description.protocol) ?? [],
    certificate: { cert: task.cert, key: task.key },
    decoy: { host: "127.0.0.1", port: task.decoyPort },
  });
  let cover = new Lateness();
  let turns = new Lateness();
  const { lateness } = running.server.stats;
  lateness.add = (late) => cover.add(late);
  let due = performance.now() + TICK;
  const tick = () => {
    const now = performance.now();
    turns.add(now - due);
    due = now + TICK;
    setTimeout(tick, TICK);
  };
  setTimeout(tick, TICK);
  say({ lines: await readLines(task.state) });
  await serveLines((line): ServerReport => {
    const { server } = running;
    const report = {
      memory: memoryNow(line === "collect"),
      cover: cover.summary(),
      turns: turns.summary(),
      tunnels: server.tunnels,
      strangers: server.strangers,
      streams: server.streams,
    };
    cover = new Lateness();
    turns = new Lateness();
    return report;
  });
  await running.close();
  Deno.exit(0);
}
