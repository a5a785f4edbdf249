/**
 * One end of the control of `lab:wire`: a plain program that plays connections of a model's plans with bare TCP.
 * Nothing of ours is between its timer and its socket but the deadline itself ({@linkcode callAt}, as the engine has
 * it), so what a recording shows of its lateness beyond what it says is the machine's: the scheduler, the kernel, the
 * link and tcpdump's own stamps.
 *
 * A connection begins with 4 bytes of the client's, its number, which stand for a carrier's handshake. Its argument
 * is JSON; it says one line when it is ready, one more for each line that it reads (with the first of them a client begins),
 * and ends with its standard input.
 *
 * @module
 */
import net from "node:net";
import { callAt } from "../../base/precise_timer.ts";
import type { End } from "../../models/mod.ts";
import type { PlannedConnection } from "./wire_plan.ts";

/** What a control process is told. */
export interface ControlTask {
  readonly end: End;
  readonly host: string;
  readonly port: number;
  /** File with the {@linkcode PlannedConnection}s, in JSON. */
  readonly plans: string;
}

/** What a control process has counted. */
export interface ControlStats {
  /** How late it was, as it knows itself: by the number of the connection, its messages in their order and then its closing. */
  readonly stated: Readonly<Record<number, readonly number[]>>;
}

/** Where a control process leaves its {@linkcode ControlStats} in JSON before it answers. */
export function controlStatsFile({ end, plans }: Pick<ControlTask, "end" | "plans">): string {
  return `${plans}.${end}`;
}

/** Bytes of the client's at the beginning of a connection. */
export const CONTROL_HELLO = 4;

/** As the engine: a message later than this moves what follows it. */
const FORGIVEN = 20;

/**
 * Milliseconds from bytes on the wire to an answer on the wire where nothing else is to be done: subtracted from what
 * an answer waits for, as the engine does with its carriers' own.
 */
const REACTION = 0.2;

/** The largest message. */
const BYTES = new Uint8Array(1 << 20).fill(0x2e);

interface Notes {
  readonly stated: Record<number, number[]>;
}

/** Plays one end of one connection. */
class ControlPlayer {
  readonly #messages: PlannedConnection["messages"];
  #next = 0;
  #received = 0;
  #trigger: number;
  #waited = false;
  #cancel: (() => void) | undefined;
  #ended = false;

  constructor(
    readonly socket: net.Socket,
    readonly plan: PlannedConnection,
    readonly end: End,
    readonly notes: Notes,
    readonly number: number,
  ) {
    this.#messages = plan.messages;
    this.notes.stated[number] = [];
    this.#trigger = performance.now() - REACTION;
    socket.on("end", () => {
      if (this.#ended) return;
      this.#ended = true;
      if (plan.close.answer === "rst") socket.resetAndDestroy();
      else socket.end();
    });
    socket.on("close", () => this.#cancel?.());
    socket.on("error", () => {});
    this.advance(false);
  }

  data(length: number): void {
    this.#received += length;
    this.advance(true);
  }

  advance(arrived: boolean): void {
    if (this.#cancel !== undefined || this.#ended) return;
    const now = performance.now();
    while (
      this.#messages[this.#next] !== undefined && this.#messages[this.#next]!.end !== this.end
    ) {
      this.#next++;
    }
    const message = this.#messages[this.#next];
    const { close } = this.plan;
    if (message === undefined && close.by !== this.end) return;
    const after = message?.after ??
      this.#messages.filter(({ end }) => end !== this.end)
        .reduce((sum, { records }) => sum + records.reduce((a, b) => a + b, 0), 0);
    if (this.#received < after) {
      this.#waited = true;
      return;
    }
    if (arrived && this.#waited) this.#trigger = Math.max(this.#trigger, now - REACTION);
    this.#waited = false;
    const due = this.#trigger + (message ?? close).time;
    const act = () => {
      this.#cancel = undefined;
      if (message === undefined) {
        this.#ended = true;
        if (close.how === "rst") this.socket.resetAndDestroy();
        else this.socket.end();
      } else {
        for (const size of message.records) this.socket.write(BYTES.subarray(0, size));
      }
      const done = performance.now();
      this.notes.stated[this.number]!.push(done - due);
      this.#trigger = done - due < FORGIVEN ? due : done;
      this.#next++;
      if (message !== undefined) this.advance(false);
    };
    if (due <= now) act();
    else this.#cancel = callAt(due, act);
  }
}

function serve({ host, plans, port }: ControlTask, notes: Notes): Promise<void> {
  const all = JSON.parse(Deno.readTextFileSync(plans)) as PlannedConnection[];
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    const hello = new Uint8Array(CONTROL_HELLO);
    let seen = 0;
    let player: ControlPlayer | undefined;
    socket.on("error", () => {});
    socket.on("data", (bytes: Uint8Array) => {
      if (player !== undefined) return player.data(bytes.length);
      const head = bytes.subarray(0, CONTROL_HELLO - seen);
      hello.set(head, seen);
      seen += head.length;
      if (seen < CONTROL_HELLO) return;
      const number = new DataView(hello.buffer).getUint32(0);
      const plan = all[number];
      if (plan === undefined) return void socket.destroy();
      player = new ControlPlayer(socket, plan, "server", notes, number);
      if (bytes.length > head.length) player.data(bytes.length - head.length);
    });
  });
  return new Promise((resolve) => server.listen(port, host, () => resolve()));
}

/** What begins to open connection after connection, each when its plan says. */
function player({ host, plans, port }: ControlTask, notes: Notes): () => void {
  const all = JSON.parse(Deno.readTextFileSync(plans)) as PlannedConnection[];
  let started = 0;
  let open = 0;
  let quiet = 0;
  let next = 0;
  let armed = false;
  const arm = () => {
    const plan = all[next];
    if (plan === undefined || armed) return;
    const { after, time } = plan.opening;
    // What waits for a close is armed again by it; a close is taken for any, since here only the load matters.
    if (next > 0 && after !== "start" && open > 0) return;
    const from = next === 0 || after === "start" ? started : quiet;
    const number = next++;
    armed = true;
    callAt(from + time, () => {
      armed = false;
      started = performance.now();
      open++;
      const socket = net.connect({ host, port, noDelay: true, allowHalfOpen: true });
      let player: ControlPlayer | undefined;
      socket.on("error", () => {});
      socket.on("connect", () => {
        const hello = new Uint8Array(CONTROL_HELLO);
        new DataView(hello.buffer).setUint32(0, number);
        socket.write(hello);
        player = new ControlPlayer(socket, plan, "client", notes, number);
      });
      socket.on("data", (bytes: Uint8Array) => player?.data(bytes.length));
      socket.on("close", () => {
        if (--open > 0) return;
        quiet = performance.now();
        arm();
      });
      arm();
    });
  };
  return () => {
    started = quiet = performance.now();
    arm();
  };
}

if (import.meta.main) {
  const say = (object: unknown) => {
    Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify(object)}\n`));
  };
  const task = JSON.parse(Deno.args[0]!) as ControlTask;
  const notes: Notes = { stated: {} };
  const begin = task.end === "client" ? player(task, notes) : () => {};
  if (task.end === "server") await serve(task, notes);
  say({ ready: true });
  let asked = 0;
  for await (const _ of Deno.stdin.readable) {
    if (asked++ === 0) begin();
    await Deno.writeTextFile(controlStatsFile(task), JSON.stringify(notes));
    say({});
  }
  Deno.exit(0);
}
