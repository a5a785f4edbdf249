import type { Clock } from "./clock.ts";
import type { CloseReason, CoverConnection, CoverListener, SizeGrid } from "./cover_connection.ts";
import { wireSize } from "./size_grid.ts";

/** TLS 1.3 as the `tls` carrier writes it: 22 bytes around each record of at most 16384. */
export const TLS_GRID: SizeGrid = { overhead: 22, maxPayload: 16384 };

/** What a virtual link does to what crosses it. */
export interface LinkModel {
  /** Milliseconds from one end to the other; 0 if absent. */
  readonly delay?: number;
  /** Bytes a second each way, shared by all connections; unlimited if absent. */
  readonly rate?: number;
  /** Bytes that the operating system takes of a connection before they queue; 262144 if absent. */
  readonly socketBuffer?: number;
  /** The carrier's sizes; {@linkcode TLS_GRID} if absent. */
  readonly grid?: SizeGrid;
  /** Milliseconds from dialling to an open connection; two round trips (TCP and TLS 1.3) if absent. */
  readonly handshake?: number;
}

/** One end of a virtual connection. */
export interface VirtualConnection extends CoverConnection {
  /** False makes this end a reader that does not read: what is sent to it waits and fills buffers. */
  reading: boolean;
}

type Direction = 0 | 1;

interface Pipe {
  /** When the link has sent all that was given to it. */
  busy: number;
}

class Endpoint implements VirtualConnection {
  readonly grid: SizeGrid;
  readonly id: string;
  peer!: Endpoint;
  readonly #clock: Clock;
  readonly #pipe: Pipe;
  readonly #delay: number;
  readonly #rate: number;
  readonly #buffer: number;
  #listener: CoverListener | undefined;
  #inbox: { what: Uint8Array | CloseReason; held: number }[] = [];
  #reading = true;
  /** Bytes on their way out of this end that no one has taken yet. */
  #unsent = 0;
  #finSent = false;
  #over = false;
  /** Counts what a reset or a break has made void. */
  #epoch = 0;
  #lastSent = 0;

  constructor(clock: Clock, pipe: Pipe, id: string, link: Required<LinkModel>) {
    this.#clock = clock;
    this.#pipe = pipe;
    this.id = id;
    this.grid = link.grid;
    this.#delay = link.delay;
    this.#rate = link.rate;
    this.#buffer = link.socketBuffer;
  }

  get listener(): CoverListener | undefined {
    return this.#listener;
  }

  set listener(listener: CoverListener | undefined) {
    this.#listener = listener;
    this.#flush();
  }

  get reading(): boolean {
    return this.#reading;
  }

  set reading(reading: boolean) {
    this.#reading = reading;
    this.#flush();
  }

  get queued(): number {
    return Math.max(0, this.#unsent - this.#buffer);
  }

  get over(): boolean {
    return this.#over;
  }

  write(payload: Uint8Array): void {
    if (this.#over || this.#finSent) return;
    if (payload.length === 0 || payload.length > this.grid.maxPayload) {
      throw new RangeError(`a record holds 1 to ${this.grid.maxPayload} bytes: ${payload.length}`);
    }
    const bytes = payload.slice();
    const wire = wireSize(bytes.length, this.grid);
    const now = this.#clock.now();
    const sent = Math.max(now, this.#pipe.busy) + wire / this.#rate;
    this.#pipe.busy = sent;
    const epoch = this.#epoch;
    this.#unsent += wire;
    this.#lastSent = sent;
    const leave = () => {
      // What waits for a reader that does not read still fills our buffer.
      const held = !this.peer.reading;
      this.#clock.at(sent + this.#delay, () => this.peer.arrive(bytes, held ? wire : 0));
      if (!held) this.taken(wire);
    };
    if (sent <= now) leave();
    else {
      // A reset discards what has not been sent.
      this.#clock.at(sent, () => {
        if (epoch === this.#epoch) leave();
      });
    }
  }

  /** The link, or the peer's buffer, has taken `wire` bytes. */
  taken(wire: number): void {
    const before = this.queued;
    this.#unsent = Math.max(0, this.#unsent - wire);
    if (before > 0 && this.queued === 0 && !this.#over) this.#listener?.onDrain?.();
  }

  /** Something comes in; `held` bytes of the peer's buffer are free once it has been read. */
  arrive(what: Uint8Array | CloseReason, held = 0): void {
    if (this.#over) return;
    this.#inbox.push({ what, held });
    this.#flush();
  }

  #flush(): void {
    while (this.#reading && this.#listener !== undefined && this.#inbox.length > 0 && !this.#over) {
      const { what, held } = this.#inbox.shift()!;
      if (typeof what !== "string") {
        if (held > 0) this.peer.taken(held);
        this.#listener.onData(what);
        continue;
      }
      if (what !== "fin" || this.#finSent) this.#over = true;
      this.#inbox = [];
      this.#listener.onClose(what);
    }
  }

  close(how: "fin" | "rst"): void {
    if (this.#over) return;
    const now = this.#clock.now();
    if (how === "fin") {
      if (this.#finSent) return;
      this.#finSent = true;
    } else this.#over = true;
    if (how === "rst" && this.queued > 0) {
      // A reset discards what the system has not taken; here, all that has not left.
      this.#epoch++;
      this.#clock.at(now + this.#delay, () => this.peer.arrive("rst"));
      return;
    }
    // Behind all that was written: set after its timers, so run after them.
    const epoch = this.#epoch;
    this.#clock.at(Math.max(now, this.#lastSent), () => {
      if (epoch !== this.#epoch) return;
      this.#clock.at(this.#clock.now() + this.#delay, () => this.peer.arrive(how));
    });
  }

  /** The network breaks the connection: nothing more leaves or arrives. */
  break(): void {
    if (this.#over) return;
    this.#epoch++;
    this.#inbox = [];
    this.#over = true;
    this.#listener?.onClose("error");
  }
}

/**
 * A network in virtual time: cover connections over one link with a delay and a rate each way, which a
 * test or a simulation may break when it likes. Deterministic: the same calls give the same run.
 *
 * @example
 * ```ts
 * import { VirtualClock } from "./virtual_clock.ts";
 * import { VirtualNetwork } from "./virtual_network.ts";
 * const clock = new VirtualClock();
 * const network = new VirtualNetwork(clock, { delay: 20 });
 * const [client, server] = network.connect();
 * let arrived = 0;
 * server.listener = { onData: () => arrived = clock.now(), onClose: () => {} };
 * client.write(new Uint8Array(100));
 * clock.run();
 * if (arrived !== 20) throw new Error("20 ms away");
 * ```
 */
export class VirtualNetwork {
  /** The link in use. */
  readonly link: Required<LinkModel>;
  readonly #clock: Clock;
  readonly #pipes: [Pipe, Pipe] = [{ busy: 0 }, { busy: 0 }];
  readonly #live = new Map<string, [Endpoint, Endpoint]>();
  #connections = 0;

  /** A network over one link. */
  constructor(clock: Clock, link: LinkModel = {}) {
    const delay = link.delay ?? 0;
    this.#clock = clock;
    this.link = {
      delay,
      // The pipes count in bytes a millisecond.
      rate: (link.rate ?? Infinity) / 1000,
      socketBuffer: link.socketBuffer ?? 262144,
      grid: link.grid ?? TLS_GRID,
      handshake: link.handshake ?? 4 * delay,
    };
  }

  /** Two ends of a new open connection, the tm-client's first. Both have the same `id`. */
  connect(): [client: VirtualConnection, server: VirtualConnection] {
    const id = `v${this.#connections++}`;
    const ends = ([0, 1] as Direction[]).map((direction) =>
      new Endpoint(this.#clock, this.#pipes[direction]!, id, this.link)
    ) as [Endpoint, Endpoint];
    ends[0].peer = ends[1];
    ends[1].peer = ends[0];
    this.#live.set(id, ends);
    return ends;
  }

  /**
   * Opens a connection as a client and a listening server see it: `done` gets the client's end after the
   * handshake, `accept` the server's end half a round trip later.
   */
  dial(
    done: (client: VirtualConnection) => void,
    accept: (server: VirtualConnection) => void,
  ): void {
    const now = this.#clock.now();
    this.#clock.at(now + this.link.handshake, () => {
      const [client, server] = this.connect();
      this.#clock.at(this.#clock.now() + this.link.delay, () => accept(server));
      done(client);
    });
  }

  /** Identifiers of the connections that are open. */
  open(): string[] {
    for (const [id, ends] of this.#live) if (ends[0].over || ends[1].over) this.#live.delete(id);
    return [...this.#live.keys()];
  }

  /**
   * Breaks a connection: what is on its way is lost, both ends hear of an error, the second one
   * `later` milliseconds after the first.
   */
  kill(id: string, later = 0): void {
    const ends = this.#live.get(id);
    if (ends === undefined) return;
    this.#live.delete(id);
    ends[0].break();
    this.#clock.at(this.#clock.now() + later, () => ends[1].break());
  }
}
