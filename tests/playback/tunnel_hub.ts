import type { Clock, Timer } from "../../playback/clock.ts";
import type { Composition } from "../../playback/reliable_tunnel.ts";
import { ReliableTunnel, type TunnelOptions } from "../../playback/tunnel.ts";

/** A clock that stands still until told. */
export class ManualClock implements Clock {
  #now = 0;
  #next = 1;
  readonly #timers = new Map<Timer, { time: number; run: () => void }>();

  now(): number {
    return this.#now;
  }

  at(time: number, run: () => void): Timer {
    this.#timers.set(this.#next, { time, run });
    return this.#next++;
  }

  cancel(timer: Timer): void {
    this.#timers.delete(timer);
  }

  advance(milliseconds: number): void {
    this.#now += milliseconds;
    for (const [timer, { time, run }] of [...this.#timers]) {
      if (time <= this.#now && this.#timers.delete(timer)) run();
    }
  }

  get pending(): number {
    return this.#timers.size;
  }
}

/** Bytes on their way, both ways, on one connection. */
interface Pipe {
  readonly number: number;
  /** Toward the client and toward the server: bytes written and not yet handed over. */
  readonly toward: [Uint8Array[], Uint8Array[]];
  /** Ends that have closed it, while the other has not noticed yet. */
  readonly closed: Set<"client" | "server">;
}

/** A client's and a server's tunnel, and connections between them that can be cut anywhere. */
export class Hub {
  readonly clock = new ManualClock();
  readonly client: ReliableTunnel;
  readonly server: ReliableTunnel;
  readonly pipes: Pipe[] = [];
  readonly sums = { control: 0, data: 0, padding: 0 };
  #next = 1;

  constructor(options: Partial<TunnelOptions> = {}) {
    this.client = new ReliableTunnel({ ...options, end: "client", clock: this.clock });
    this.server = new ReliableTunnel({ ...options, end: "server", clock: this.clock });
  }

  open(): Pipe {
    const pipe: Pipe = { number: this.#next++, toward: [[], []], closed: new Set() };
    this.client.connectionOpened(pipe.number);
    this.server.connectionOpened(pipe.number);
    this.pipes.push(pipe);
    return pipe;
  }

  /** One end writes a message of `size` bytes. */
  fill(pipe: Pipe, from: "client" | "server", size: number, dataAllowed = true): Composition {
    const buffer = new Uint8Array(size).fill(0xee);
    const composition = this[from].fill(pipe.number, buffer, dataAllowed);
    const { control, data, padding } = composition;
    if (control + data + padding !== size || Math.min(control, data, padding) < 0) {
      throw new Error("a composition does not add up");
    }
    if (buffer.subarray(size - padding).some((byte) => byte !== 0)) throw new Error("not padded");
    // After its close an end writes nothing more.
    if (!pipe.closed.has(from)) pipe.toward[from === "client" ? 1 : 0].push(buffer);
    this.sums.control += control;
    this.sums.data += data;
    this.sums.padding += padding;
    return composition;
  }

  /** Hands over up to `limit` bytes that are on their way to one end, in pieces of at most `piece`. */
  deliver(pipe: Pipe, to: "client" | "server", limit = Infinity, piece = Infinity): void {
    const queue = pipe.toward[to === "client" ? 0 : 1];
    while (queue.length > 0 && limit > 0) {
      const bytes = queue.shift()!;
      const part = bytes.subarray(0, Math.min(bytes.length, limit, piece));
      if (part.length < bytes.length) queue.unshift(bytes.subarray(part.length));
      limit -= part.length;
      this[to].receive(pipe.number, part);
    }
  }

  /** One end is done with a connection, the other goes on until it is closed there too. */
  closeOneEnd(pipe: Pipe, end: "client" | "server", clean: boolean): void {
    if (pipe.closed.has(end)) return;
    pipe.closed.add(end);
    this[end].connectionClosed(pipe.number, clean);
    if (pipe.closed.size === 2) this.pipes.splice(this.pipes.indexOf(pipe), 1);
  }

  /** Ends a connection: cleanly after handing over everything, or by losing what is on its way. */
  close(pipe: Pipe, clean: boolean): void {
    if (clean) {
      this.deliver(pipe, "client");
      this.deliver(pipe, "server");
    }
    this.closeOneEnd(pipe, "client", clean);
    this.closeOneEnd(pipe, "server", clean);
  }

  /** Messages of `size` bytes go back and forth on one connection. */
  rounds(count: number, size = 1000, pipe: Pipe = this.pipes[0] ?? this.open()): void {
    for (let round = 0; round < count; round++) {
      this.fill(pipe, "client", size);
      this.deliver(pipe, "server");
      this.fill(pipe, "server", size);
      this.deliver(pipe, "client");
    }
  }
}
