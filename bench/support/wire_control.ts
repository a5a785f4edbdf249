import { fileURLToPath } from "node:url";
import type { Connection } from "../../capture/mod.ts";
import type { Running } from "../../lab/process.ts";
import type { End } from "../../models/mod.ts";
import { compare, type RecordedConnection } from "./wire_compare.ts";
import {
  CONTROL_HELLO,
  type ControlStats,
  controlStatsFile,
  type ControlTask,
} from "./wire_control_end.ts";
import { type EndLateness, endLateness, type Pair, pairs } from "./wire_late.ts";
import type { PlannedConnection } from "./wire_plan.ts";

/** Where and how a {@linkcode WireControl} runs. */
export interface WireControlOptions {
  /** Starts a program at an end and waits until it has said something. */
  readonly start: (end: End, argv: string[], said: RegExp) => Promise<Running>;
  /** Asks a program for one line. */
  readonly ask: (process: Running) => Promise<unknown>;
  /** Where its server listens. */
  readonly host: string;
  readonly port: number;
  /** For its files. */
  readonly folder: string;
}

const ENDS = ["client", "server"] as const;

/**
 * A plain program at both ends of the link, which plays plans of the same model with bare TCP beside the engine: as
 * many connections, messages and bytes in a second. What the recordings show of it beyond what it says itself is what
 * this machine adds, and nothing of ours.
 */
export class WireControl {
  readonly #plans: readonly PlannedConnection[];
  readonly #options: WireControlOptions;
  readonly #ends: Partial<Record<End, Running>> = {};
  readonly #stats: Partial<Record<End, ControlStats>> = {};

  /** It is to play `plans`. */
  constructor(plans: readonly PlannedConnection[], options: WireControlOptions) {
    this.#plans = plans;
    this.#options = options;
  }

  get #file(): string {
    return `${this.#options.folder}/control.json`;
  }

  /** Starts both ends, which play nothing yet. */
  async start(): Promise<void> {
    await Deno.writeTextFile(this.#file, JSON.stringify(this.#plans));
    for (const end of ["server", "client"] as const) await this.#start(end);
  }

  /** Begins to play. */
  async play(): Promise<void> {
    await this.#options.ask(this.#ends.client!);
  }

  async #start(end: End): Promise<void> {
    const { host, port, start } = this.#options;
    const task: ControlTask = { end, host, port, plans: this.#file };
    this.#ends[end] = await start(end, [
      Deno.execPath(),
      ...["run", "--quiet", "--no-prompt", "--no-check", "--allow-net", "--allow-read"],
      ...["--allow-write", "--allow-env", "--allow-sys"],
      fileURLToPath(new URL("wire_control_end.ts", import.meta.url)),
      JSON.stringify(task),
    ], /ready.*\n/);
  }

  /** Takes what both ends have counted. */
  async stop(): Promise<void> {
    for (const end of ENDS) {
      await this.#options.ask(this.#ends[end]!);
      const text = await Deno.readTextFile(controlStatsFile({ end, plans: this.#file }));
      this.#stats[end] = JSON.parse(text) as ControlStats;
    }
  }

  /**
   * How late its messages from the moment `from` on (Unix time, milliseconds) were, by the recordings at both ends and by its own
   * words.
   */
  found(
    client: readonly Connection[],
    server: readonly Connection[],
    from: number,
  ): Record<End, EndLateness> {
    const found: Record<End, Pair[]> = { client: [], server: [] };
    for (const [number, connection] of client.entries()) {
      const plan = this.#plans[number];
      const far = server.find(({ clientPort, startTime }) =>
        clientPort === connection.clientPort && Math.abs(startTime - connection.startTime) < 5000
      );
      if (plan === undefined || far === undefined) continue;
      if (["cut", "timeout"].includes(connection.end.how)) continue;
      const compared = compare(readControl(connection, plan), readControl(far, plan), plan);
      for (const end of ENDS) {
        const stated = this.#stats[end]!.stated[number] ?? [];
        const since = from - (end === "client" ? connection : far).startTime;
        const before = sentBefore(end === "client" ? connection : far, plan, end, since);
        found[end].push(
          ...pairs(compared, end, stated.map((ms, i) => i < before ? undefined : ms)),
        );
      }
    }
    return { client: endLateness(found.client), server: endLateness(found.server) };
  }
}

/** How many messages an end had begun by `time`, milliseconds after the connection's start. */
function sentBefore(
  { segments }: Connection,
  { messages }: PlannedConnection,
  end: End,
  time: number,
): number {
  const side = end === "client" ? 0 : 1;
  let bytes = 0;
  for (let row = 0; row < segments.length; row++) {
    if (segments.side[row] === side && segments.time[row]! < time) bytes += segments.size[row]!;
  }
  if (end === "client") bytes -= CONTROL_HELLO;
  let count = 0;
  for (const message of messages) {
    if (message.end !== end) continue;
    if (bytes <= 0) break;
    count++;
    bytes -= message.records.reduce((sum, size) => sum + size, 0);
  }
  return count;
}

/** A connection of the control as recorded: its pieces are known without being looked for. */
function readControl(connection: Connection, plan: PlannedConnection): RecordedConnection {
  const begin = [CONTROL_HELLO, 0] as const;
  const pieces = (end: End) => {
    let offset: number = begin[end === "client" ? 0 : 1];
    return plan.messages.filter((message) => message.end === end).flatMap(({ records }) =>
      records.map((size) => {
        offset += size;
        return { offset: offset - size, size };
      })
    );
  };
  return {
    connection: { ...connection, handshake: { ...connection.handshake, bytes: begin } },
    pieces: [pieces("client"), pieces("server")],
    own: [0, 0],
    begin,
  };
}
