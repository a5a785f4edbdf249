import { CLIENT, peerOf, SERVER, type Side } from "../../capture/side.ts";
import type { LinkProfile } from "../../lab/link_profile.ts";
import { type PathPacket, TcpPath } from "../../lab/tcp_path.ts";
import {
  type Clock,
  type CloseReason,
  type CoverConnection,
  type CoverListener,
  type SizeGrid,
  TLS_GRID,
  wireSize,
} from "../../playback/mod.ts";
import { RecordLayout, TLS_HANDSHAKE } from "./record_layout.ts";

/** Bytes that an operating system takes of a connection before they queue: Linux's send buffer as it starts. */
const SOCKET_BUFFER = 131_072;

interface Record {
  readonly end: number;
  readonly payload: Uint8Array;
}

class Endpoint implements CoverConnection {
  readonly grid: SizeGrid = TLS_GRID;
  readonly id: string;
  #listener: CoverListener | undefined;
  /** Records of ours that the peer has not got in full. */
  readonly #flight: Record[] = [];
  #written: number;
  #inbox: (Uint8Array | CloseReason)[] = [];
  #closing = false;
  #over = false;
  #wasFull = false;

  constructor(
    readonly path: SimulatedPath,
    readonly connection: number,
    readonly side: Side,
    written: number,
  ) {
    this.id = `s${connection}`;
    this.#written = written;
  }

  get listener(): CoverListener | undefined {
    return this.#listener;
  }

  set listener(listener: CoverListener | undefined) {
    this.#listener = listener;
    this.#flush();
  }

  get queued(): number {
    return Math.max(0, this.path.unsent(this.connection, this.side) - SOCKET_BUFFER);
  }

  write(payload: Uint8Array): void {
    if (this.#closing || this.#over) return;
    const bytes = wireSize(payload.length, this.grid);
    this.#written += bytes;
    this.#flight.push({ end: this.#written, payload: payload.slice() });
    this.path.write(this.connection, this.side, bytes, true);
    this.#wasFull ||= this.queued > 0;
  }

  close(how: "fin" | "rst"): void {
    if (this.#over || (this.#closing && how === "fin")) return;
    this.#closing = true;
    if (how === "fin") {
      this.path.write(this.connection, this.side, TLS_CLOSE_NOTIFY, true);
      this.path.end(this.connection, this.side);
    } else {
      this.#over = true;
      this.path.reset(this.connection, this.side);
    }
  }

  /** What the peer has of our stream reaches up to `end`: whole records can be read. */
  *records(end: number): Generator<Uint8Array> {
    while (this.#flight.length > 0 && this.#flight[0]!.end <= end) {
      yield this.#flight.shift()!.payload;
    }
  }

  arrive(what: Uint8Array | CloseReason): void {
    if (this.#over) return;
    this.#inbox.push(what);
    this.#flush();
  }

  sent(): void {
    if (!this.#wasFull || this.#over) return;
    this.#wasFull = false;
    this.#listener?.onDrain?.();
  }

  #flush(): void {
    while (this.#listener !== undefined && this.#inbox.length > 0 && !this.#over) {
      const what = this.#inbox.shift()!;
      if (typeof what !== "string") {
        this.#listener.onData(what);
        continue;
      }
      if (what !== "fin" || this.#closing) this.#over = true;
      this.#inbox = [];
      this.#listener.onClose(what);
    }
  }
}

/** Size on the wire of the alert with which each end of a TLS connection closes. */
const TLS_CLOSE_NOTIFY = 24;

/** Which packets a {@linkcode SimulatedPath} keeps. */
export interface PathKeep {
  /** All, none (the default), or those of the connections for whose number it is true. */
  readonly keep?: boolean | ((connection: number) => boolean);
  /** Draws the milliseconds that a packet is late; none is if absent. */
  readonly lateness?: () => number;
}

interface Simulated {
  readonly done: (client: CoverConnection) => void;
  readonly accept: (server: CoverConnection) => void;
  readonly ends: [Endpoint | undefined, Endpoint | undefined];
}

/**
 * Cover connections of the carrier `tls` over a link in virtual time: the laboratory's model of TCP
 * ({@linkcode TcpPath}) under the engine. A thousand times faster than the wall clock, and without its jitter: what
 * it shows of sizes and order is exact, what it shows of times is a model's.
 */
export class SimulatedPath {
  /** Packets as a recorder at the client's end sees them, if they are kept. */
  readonly packets: PathPacket[] = [];
  readonly #clock: Clock;
  readonly #path: TcpPath;
  readonly #connections = new Map<number, Simulated>();
  readonly #layouts = new Map<number, readonly [RecordLayout, RecordLayout]>();
  readonly #keep: (connection: number) => boolean;
  #timer: number | undefined;
  #due = Infinity;
  #inside = false;

  /** `keep` the packets, or those of the connections that it picks, to write a capture of them. */
  constructor(clock: Clock, profile: LinkProfile, { keep = false, lateness }: PathKeep = {}) {
    this.#clock = clock;
    this.#keep = typeof keep === "function" ? keep : () => keep;
    this.#path = new TcpPath(profile, {
      onPacket: (packet) => {
        if (this.#keep(packet.connection)) this.packets.push(packet);
      },
      onAccept: () => {},
      onData: (connection, from, _, end) => this.#onData(connection, from, end),
      onEnd: (connection, from) => this.#endOf(connection, from)?.arrive("fin"),
      onReset: (connection, from) => this.#endOf(connection, from)?.arrive("rst"),
      onSent: (connection, side) => this.#connections.get(connection)?.ends[side]?.sent(),
    }, lateness);
    this.#path.advance(clock.now());
  }

  /** Opens a connection: `done` gets the client's end after its handshake, `accept` the server's after it. */
  dial(
    done: (client: CoverConnection) => void,
    accept: (server: CoverConnection) => void,
  ): void {
    this.#input(() => {
      const connection = this.#path.open();
      this.#connections.set(connection, { done, accept, ends: [undefined, undefined] });
      if (this.#keep(connection)) {
        this.#layouts.set(connection, [new RecordLayout(CLIENT), new RecordLayout(SERVER)]);
      }
      this.#path.write(connection, CLIENT, TLS_HANDSHAKE.hello);
    });
  }

  /** A side of a connection writes; `record` says that it is a record of application data. */
  write(connection: number, side: Side, bytes: number, record = false): void {
    if (record) this.#layouts.get(connection)?.[side].add(bytes);
    this.#input(() => this.#path.write(connection, side, bytes));
  }

  /** A side ends its stream. */
  end(connection: number, side: Side): void {
    this.#input(() => this.#path.end(connection, side));
  }

  /** A side aborts. */
  reset(connection: number, side: Side): void {
    this.#input(() => this.#path.reset(connection, side));
  }

  /** Bytes written by a side that have not left it. */
  unsent(connection: number, side: Side): number {
    return this.#path.unsent(connection, side);
  }

  /** Connections that are not over. */
  get open(): number {
    return this.#path.size;
  }

  /** Payload bytes `[start, end)` of a side of a connection whose packets are kept: headers of records, else zeros. */
  payload(connection: number, side: Side, start: number, end: number): Uint8Array<ArrayBuffer> {
    return this.#layouts.get(connection)![side].read(start, end);
  }

  /** The end to which `from` speaks. */
  #endOf(connection: number, from: Side): Endpoint | undefined {
    return this.#connections.get(connection)?.ends[peerOf(from)];
  }

  #onData(connection: number, from: Side, end: number): void {
    const simulated = this.#connections.get(connection)!;
    const { ends } = simulated;
    const { hello, flight, finished, tickets } = TLS_HANDSHAKE;
    const receiver = ends[peerOf(from)];
    if (receiver !== undefined) {
      for (const payload of ends[from]?.records(end) ?? []) receiver.arrive(payload);
    } else if (from === CLIENT) {
      if (end === hello) this.#path.write(connection, SERVER, flight);
      if (end < hello + finished) return;
      this.#path.write(connection, SERVER, tickets);
      const server = new Endpoint(this, connection, SERVER, flight + tickets);
      ends[SERVER] = server;
      simulated.accept(server);
      for (const payload of ends[CLIENT]!.records(end)) server.arrive(payload);
    } else if (end >= flight) {
      this.#path.write(connection, CLIENT, finished);
      const client = new Endpoint(this, connection, CLIENT, hello + finished);
      ends[CLIENT] = client;
      simulated.done(client);
    }
  }

  #input(run: () => void): void {
    if (this.#inside) return run();
    this.#advance();
    this.#inside = true;
    run();
    this.#inside = false;
    this.#schedule();
  }

  #advance(): void {
    this.#inside = true;
    this.#path.advance(this.#clock.now());
    this.#inside = false;
  }

  #schedule(): void {
    const due = this.#path.next;
    if (due === this.#due) return;
    if (this.#timer !== undefined) this.#clock.cancel(this.#timer);
    this.#timer = undefined;
    this.#due = due;
    if (due === Infinity) return;
    this.#timer = this.#clock.at(due, () => {
      this.#timer = undefined;
      this.#due = Infinity;
      this.#advance();
      this.#schedule();
    });
  }
}
