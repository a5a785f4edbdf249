// One end of tunnels in a process of its own, driven by lines of JSON on standard input, each answered by one on
// standard output:
//
//   server: starts with {"models":[names]}, answers {"line":...}
//   client: starts with {"line":...,"seed":...}, answers {}
//   {"add":n}      (client) begins n more tunnels, answers when they are ready
//   {"stats":true} answers {lateness, memory, ...} and begins the lateness anew
//   {"timers":ms}  plays nothing for a while but bare timers, answers how late each kind was
import net from "node:net";
import { callAt } from "../../base/precise_timer.ts";
import { loadModelText, modelFromFile, substream } from "../../models/mod.ts";
import { EngineStats, Lateness, type LatenessSummary } from "../../playback/mod.ts";
import { carrierOf } from "../../transports/carriers/mod.ts";
import { formatAddress } from "../../transports/doors/mod.ts";
import {
  carrierOptionsOf,
  giveMemoryBack,
  parseLine,
  startServer,
  TmClient,
} from "../../transports/mimic/mod.ts";

/** What an end tells of itself. */
export interface EndStats {
  /** How late it was since it was asked last. */
  readonly lateness: LatenessSummary;
  /** Bytes of user data that it has sent. */
  readonly data: number;
  /** Bytes that it has put on the wire. */
  readonly wire: number;
  /** Cover connections that ended uncleanly. */
  readonly unclean: number;
  /** Bytes of memory that the process holds. */
  readonly resident: number;
  /** Of it the live objects, after a collection where the runtime allows one. */
  readonly heap: number;
}

/** How late timers were that had nothing else to wait for. */
export interface TimerLateness {
  /** The runtime's. */
  readonly setTimeout: LatenessSummary;
  /** Ours. */
  readonly callAt: LatenessSummary;
  /** Ours, and a bare socket's write after it, of as many bytes as a small message has. */
  readonly write: LatenessSummary;
}

/** Bytes of such a write. */
const SMALL = 100;

const encoder = new TextEncoder();

function say(what: unknown): void {
  Deno.stdout.writeSync(encoder.encode(`${JSON.stringify(what)}\n`));
}

async function* lines(): AsyncGenerator<string> {
  let rest = "";
  for await (const text of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + text).split("\n");
    rest = parts.pop()!;
    yield* parts;
  }
}

/** A connection of this process with itself, whose other end reads. */
async function bareSocket(): Promise<net.Socket> {
  const server = net.createServer((socket) => void socket.resume());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  const { port } = server.address() as net.AddressInfo;
  const socket = net.connect({ host: "127.0.0.1", port, noDelay: true });
  await new Promise<void>((resolve) => socket.once("connect", () => resolve()));
  server.close();
  return socket;
}

/** Kinds of timers, one call at a time each, side by side. */
async function timers(ms: number): Promise<TimerLateness> {
  const socket = await bareSocket();
  const bytes = new Uint8Array(SMALL);
  const until = performance.now() + ms;
  const play = async (
    at: (due: number, run: () => void) => void,
    act = () => {},
  ): Promise<LatenessSummary> => {
    const lateness = new Lateness();
    while (performance.now() < until) {
      const due = performance.now() + 1 + 30 * Math.random();
      await new Promise<void>((resolve) =>
        at(due, () => {
          act();
          lateness.add(performance.now() - due);
          resolve();
        })
      );
    }
    return lateness.summary();
  };
  const precise = (due: number, run: () => void) => void callAt(due, run);
  const [plain, ours, write] = await Promise.all([
    play((due, run) => setTimeout(run, due - performance.now())),
    play(precise),
    play(precise, () => void socket.write(bytes)),
  ]);
  socket.destroy();
  return { setTimeout: plain, callAt: ours, write };
}

function statsOf(stats: EngineStats): EndStats {
  const { heapUsed, rss } = Deno.memoryUsage();
  const { data, lateness, unclean, wire } = stats;
  const summary = lateness.summary();
  lateness.clear();
  return { lateness: summary, data, wire, unclean, resident: rss, heap: heapUsed };
}

interface Start {
  readonly models?: readonly string[];
  readonly line?: string;
  readonly seed?: string;
}

/** The server's folder, removed at the end. */
let state: string | undefined;

async function server({ models = [] }: Start): Promise<() => EndStats> {
  state = await Deno.makeTempDir({ prefix: "tm-bench-" });
  const [first, ...others] = await Promise.all(
    models.map(async (name) => modelFromFile(await loadModelText(name), name)),
  );
  const running = await startServer({
    listen: { host: "127.0.0.1", port: 0 },
    models: [first!, ...others],
    carrier: "tls",
    state,
    allowPrivate: true,
  });
  say({ line: running.line });
  return () => statsOf(running.server.stats);
}

class Clients {
  readonly #text: Promise<string>;
  readonly #stats = new EngineStats();
  #tunnels = 0;

  constructor(readonly start: Start) {
    this.#text = loadModelText(parseLine(start.line!).model);
  }

  stats(): EndStats {
    return statsOf(this.#stats);
  }

  async add(count: number): Promise<void> {
    const line = parseLine(this.start.line!);
    const model = modelFromFile(await this.#text, line.model);
    const root = encoder.encode(this.start.seed!.padEnd(32, " "));
    const carrier = await carrierOf(line.carrier).client(carrierOptionsOf(line, line.address));
    const begun = Array.from({ length: count }, () => {
      const client = new TmClient({
        server: formatAddress(line.address),
        secret: line.secret,
        connect: carrier.connect,
        model,
        seed: substream(root, "tunnel", this.#tunnels++),
        stats: this.#stats,
      });
      client.start();
      return client.ready;
    });
    await Promise.all(begun);
  }
}

if (import.meta.main) {
  let stats: (() => EndStats) | undefined;
  let clients: Clients | undefined;
  // As the commands of both ends do.
  giveMemoryBack();
  for await (const text of lines()) {
    const line = JSON.parse(text) as Start & { add?: number; stats?: true; timers?: number };
    if (line.models !== undefined) stats = await server(line);
    else if (line.line !== undefined) {
      const begun = clients = new Clients(line);
      stats = () => begun.stats();
      say({});
    } else if (line.add !== undefined) {
      await clients!.add(line.add);
      say({});
    } else if (line.timers !== undefined) say(await timers(line.timers));
    else say(stats!());
  }
  if (state !== undefined) await Deno.remove(state, { recursive: true });
  Deno.exit(0);
}
