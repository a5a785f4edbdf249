import type { Buffer } from "node:buffer";
import { connect, createServer, type Server, type Socket } from "node:net";
import { CLIENT, peerOf, SERVER, type Side } from "../capture/side.ts";
import { LinkType } from "../capture/link_type.ts";
import { writeCaptureFile } from "../capture/write_capture.ts";
import { callAt } from "../base/precise_timer.ts";
import { ListenError } from "../base/socket_error.ts";
import { LAB_LINK, type LinkProfile } from "./link_profile.ts";
import { type Composition, pathRecords } from "./path_capture.ts";
import { type KeptPayload, RecordedStream, type StreamRecord } from "./recorded_stream.ts";
import { type PathPacket, TcpPath } from "./tcp_path.ts";

/**
 * Milliseconds that the link itself takes to hand bytes to a program and to read its answer: the
 * difference of what its recording and tcpdump on the loopback showed of the same answers (median).
 * Arrivals are handed over ahead of their time by as much.
 */
const HANDING = 0.2;
/** TLS content type of application data. */
const APPLICATION_DATA = 23;
/** Bytes of one direction that may wait, unsent or undelivered, before its writer is paused. */
const PAUSE_BYTES = 262_144;

/** Addresses that recordings show: those of the laboratory's link, so that the two look alike. */
const CLIENT_ADDRESS = "10.99.0.1";
const SERVER_ADDRESS = "10.99.0.2";

/** How to start a {@linkcode UserspaceLink}. */
export interface UserspaceLinkOptions {
  /** Where to listen. Default `127.0.0.1`, any port. */
  readonly listen?: { readonly hostname?: string; readonly port?: number };
  /** Where connections go. */
  readonly target: { readonly hostname?: string; readonly port: number };
  /** Delay, rate and segment size, both ways. Default the laboratory's link. */
  readonly profile?: LinkProfile;
  /** Server port that the recording shows. Default the target's. */
  readonly serverPort?: number;
  /** What the recording keeps of payloads. Default `handshake`: TLS application data reads as zeros. */
  readonly payload?: KeptPayload;
}

/** One connection over a {@linkcode UserspaceLink}. */
export interface LinkConnection {
  /** Its number by time of opening, from 0. */
  readonly index: number;
  /** The client program's own TCP port, which the recording shows too. */
  readonly clientPort: number;
  /** The port from which the server program was reached: its `remotePort`; 0 before. */
  readonly targetPort: number;
  /** Milliseconds since the Unix epoch when the client opened it. */
  readonly openedAt: number;
  /** Bytes written so far, `[client, server]`. */
  readonly bytes: readonly [number, number];
  /** TLS records written so far by a side. */
  records(side: Side): readonly StreamRecord[];
  /** Whether both ends are done with it. */
  readonly closed: boolean;
}

/** A data segment of a recording, to be annotated. */
export interface RecordedSegment {
  /** Its connection. */
  readonly connection: LinkConnection;
  /** Who sent it. */
  readonly side: Side;
  /** Offset of its first byte in the sender's stream. */
  readonly start: number;
  /** Offset behind its last byte. */
  readonly end: number;
}

/** Tells what a segment's bytes are; undefined where it is not known. */
export type Annotate = (segment: RecordedSegment) => Composition | undefined;

/** A user-space link that runs. */
export interface UserspaceLink extends AsyncDisposable {
  /** Port to which the client connects. */
  readonly port: number;
  /** Delay, rate and segment size. */
  readonly profile: LinkProfile;
  /** All connections so far, in order of opening. */
  readonly connections: readonly LinkConnection[];
  /** Packets recorded so far, as seen at the client's end, in order of time. */
  readonly packets: readonly PathPacket[];
  /** How late deliveries ran behind the model, in milliseconds: mean and largest. */
  readonly lateness: { readonly mean: number; readonly max: number };
  /** Resets open connections and stops listening. The recording stays; what was open ends without an end. */
  stop(): Promise<void>;
  /**
   * Writes the recording as pcapng, whole or not at all; also while the link runs. With `annotate`, data
   * segments get a comment that tells user data, control and padding apart. With `only`, the other
   * connections are left out.
   */
  writeCapture(
    path: string,
    annotate?: Annotate,
    only?: (connection: LinkConnection) => boolean,
  ): Promise<void>;
}

/** A connection of a {@linkcode UserspaceLink}, with its two sockets. */
class Carried implements LinkConnection {
  readonly streams: readonly [RecordedStream, RecordedStream];
  readonly sockets: [Socket, Socket | undefined];
  /** Bytes under way, by their sender. */
  readonly waiting: readonly [Uint8Array[], Uint8Array[]] = [[], []];
  readonly clientPort: number;
  targetPort = 0;
  closed = false;
  #clientRecords = 0;

  constructor(
    readonly index: number,
    client: Socket,
    readonly openedAt: number,
    kept: KeptPayload,
  ) {
    this.clientPort = client.remotePort ?? 0;
    this.sockets = [client, undefined];
    this.streams = [new RecordedStream(kept), new RecordedStream(kept)];
  }

  get bytes(): readonly [number, number] {
    return [this.streams[CLIENT].length, this.streams[SERVER].length];
  }

  records(side: Side): readonly StreamRecord[] {
    return this.streams[side].records;
  }

  /**
   * Records bytes that a program wrote, and tells how they were written: sizes of single writes. Several
   * may be read as one from the loopback, where a network would have carried each in segments of its own.
   * Nodes and TLS libraries write a record of application data at a time, and a flight of the handshake
   * at once: the client's first such record is its Finished, the server's stand in its flight before that.
   */
  *writes(side: Side, bytes: Uint8Array): Generator<number> {
    const stream = this.streams[side];
    let start = stream.length;
    const known = stream.records.length;
    stream.push(bytes);
    for (const { type, offset } of stream.records.slice(known)) {
      if (type !== APPLICATION_DATA) continue;
      // Counted by the client: before its first, both sides are in their handshake.
      const flight = this.#clientRecords === 0;
      if (side === CLIENT) this.#clientRecords++;
      if (!flight && offset > start) {
        yield offset - start;
        start = offset;
      }
    }
    if (stream.length > start) yield stream.length - start;
  }

  /** Takes the next bytes of a side's stream that arrived at the other end. */
  *take(from: Side, bytes: number): Generator<Uint8Array> {
    const waiting = this.waiting[from];
    while (bytes > 0) {
      const piece = waiting[0]!;
      if (piece.length <= bytes) {
        waiting.shift();
        bytes -= piece.length;
        yield piece;
      } else {
        waiting[0] = piece.subarray(bytes);
        yield piece.subarray(0, bytes);
        return;
      }
    }
  }
}

class Link implements UserspaceLink {
  readonly #target: { readonly hostname: string; readonly port: number };
  readonly #serverPort: number;
  readonly #kept: KeptPayload;
  readonly #path: TcpPath;
  readonly #server: Server;
  readonly #connections: Carried[] = [];
  readonly #packets: PathPacket[] = [];
  #cancelTimer = () => {};
  #timerDue = Infinity;
  #stopped = false;
  #late = { sum: 0, count: 0, max: 0 };
  port = 0;

  constructor(options: UserspaceLinkOptions, readonly profile: LinkProfile) {
    this.#target = { hostname: options.target.hostname ?? "127.0.0.1", port: options.target.port };
    this.#serverPort = options.serverPort ?? options.target.port;
    this.#kept = options.payload ?? "handshake";
    this.#path = new TcpPath(profile, {
      onPacket: (packet) => this.#packets.push(packet),
      onAccept: (id) => this.#reach(this.#connections[id]!),
      onData: (id, from, start, end) => this.#deliver(this.#connections[id]!, from, end - start),
      onEnd: (id, from) => this.#connections[id]!.sockets[peerOf(from)]?.end(),
      onReset: (id, from) => this.#connections[id]!.sockets[peerOf(from)]?.resetAndDestroy(),
      onSent: (id, side) => this.#throttle(this.#connections[id]!, side),
    });
    this.#path.advance(performance.now());
    this.#server = createServer(
      { allowHalfOpen: true },
      (socket) => this.#accept(socket),
    );
  }

  listen(hostname: string, port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once(
        "error",
        (error: Error) => reject(new ListenError(`${hostname}:${port}`, "another port", error)),
      );
      this.#server.listen(port, hostname, () => {
        const address = this.#server.address();
        this.port = typeof address === "object" && address !== null ? address.port : port;
        resolve();
      });
    });
  }

  get connections(): readonly LinkConnection[] {
    return this.#connections;
  }

  get packets(): readonly PathPacket[] {
    return this.#packets;
  }

  get lateness(): { mean: number; max: number } {
    const { sum, count, max } = this.#late;
    return { mean: count === 0 ? 0 : sum / count, max };
  }

  async writeCapture(
    path: string,
    annotate?: Annotate,
    only: (connection: LinkConnection) => boolean = () => true,
  ): Promise<void> {
    const connections = this.#connections.map((connection) => ({
      clientPort: connection.clientPort,
      payload: (side: Side, start: number, end: number) =>
        connection.streams[side].read(start, end),
      composition: (side: Side, start: number, end: number) =>
        annotate?.({ connection, side, start, end }),
    }));
    const chosen = this.#connections.map(only);
    const packets = this.#packets.filter(({ connection }) => chosen[connection]);
    const records = pathRecords(packets, connections, {
      clientAddress: CLIENT_ADDRESS,
      serverAddress: SERVER_ADDRESS,
      serverPort: this.#serverPort,
      epoch: performance.timeOrigin,
      oneWayDelayMs: this.profile.oneWayDelayMs,
      mss: this.profile.mss,
    });
    const { name, oneWayDelayMs, rateMbit, mss } = this.profile;
    await writeCaptureFile(path, records, {
      linkType: LinkType.raw,
      interfaceName: "userspace",
      comment: `user-space recording at the client's end of link "${name}": ` +
        `${oneWayDelayMs} ms one way, ${rateMbit} Mbit/s, segments of ${mss} bytes`,
    });
  }

  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#cancelTimer();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const { sockets } of this.#connections) {
      for (const socket of sockets) if (socket?.destroyed === false) socket.resetAndDestroy();
    }
    // What was under way still arrives in the recording: last acknowledgements, above all.
    this.#path.advance(this.#path.now + 4 * this.profile.oneWayDelayMs + 50);
    await closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** Lets the path come up to the present before an input. */
  #catchUp(): void {
    const now = performance.now();
    const due = this.#path.next;
    if (due <= now) {
      const late = now - due;
      this.#late.sum += late;
      this.#late.count++;
      if (late > this.#late.max) this.#late.max = late;
    }
    // What comes next is handed over ahead of its time by as much as handing over takes.
    while (this.#path.next <= now + HANDING) this.#path.advance(this.#path.next);
    this.#path.advance(now);
  }

  /** Sets the timer for what the path does next by itself. */
  #schedule(): void {
    const due = this.#path.next;
    if (this.#stopped || due === this.#timerDue) return;
    this.#cancelTimer();
    this.#timerDue = due;
    if (due === Infinity) return;
    this.#cancelTimer = callAt(due - HANDING, () => {
      this.#timerDue = NaN;
      this.#catchUp();
      this.#schedule();
    });
  }

  #input(run: () => void): void {
    if (this.#stopped) return;
    this.#catchUp();
    run();
    this.#schedule();
  }

  #accept(socket: Socket): void {
    this.#input(() => {
      const connection = new Carried(
        this.#connections.length,
        socket,
        performance.timeOrigin + performance.now(),
        this.#kept,
      );
      this.#connections.push(connection);
      this.#path.open();
      this.#listenTo(connection, CLIENT, socket);
    });
  }

  /** The handshake has reached the far end: only now the server program sees a connection. */
  #reach(connection: Carried): void {
    if (this.#stopped) return;
    const { hostname, port } = this.#target;
    const socket = connect({ host: hostname, port, allowHalfOpen: true });
    socket.once("connect", () => connection.targetPort = socket.localPort ?? 0);
    connection.sockets[SERVER] = socket;
    this.#listenTo(connection, SERVER, socket);
  }

  #listenTo(connection: Carried, side: Side, socket: Socket): void {
    const { index } = connection;
    // Nagle on the loopback would hold segments back until others are acknowledged, 40 ms later.
    socket.setNoDelay(true);
    socket.on("data", (bytes: Buffer) => {
      this.#input(() => {
        connection.waiting[side].push(bytes);
        for (const size of connection.writes(side, bytes)) this.#path.write(index, side, size);
        this.#throttle(connection, side);
      });
    });
    socket.on("end", () => this.#input(() => this.#path.end(index, side)));
    // Whatever breaks a program's connection to us, its peer sees as a reset.
    socket.on("error", () => this.#input(() => this.#path.reset(index, side)));
    socket.on("drain", () => this.#throttle(connection, peerOf(side)));
    socket.on("close", () => {
      const other = connection.sockets[peerOf(side)];
      connection.closed = other === undefined || other.destroyed;
    });
  }

  #deliver(connection: Carried, from: Side, bytes: number): void {
    const socket = connection.sockets[peerOf(from)];
    for (const piece of connection.take(from, bytes)) {
      if (socket !== undefined && !socket.destroyed) socket.write(piece);
    }
    this.#throttle(connection, from);
  }

  /** Pauses a writer who is ahead of the path or of the reader, so that memory stays bounded. */
  #throttle(connection: Carried, side: Side): void {
    const socket = connection.sockets[side];
    if (socket === undefined || socket.destroyed) return;
    const undelivered = connection.sockets[peerOf(side)]?.writableLength ?? 0;
    const ahead = this.#path.unsent(connection.index, side) > PAUSE_BYTES ||
      undelivered > PAUSE_BYTES;
    if (ahead) socket.pause();
    else if (socket.isPaused()) socket.resume();
  }
}

/**
 * Starts a link in user space between a client program and a server program of this machine: whoever
 * connects to its port reaches the target as over a network with the profile's delay, rate and segment
 * size, and each connection is recorded as tcpdump would see it at the client's end. Needs no privilege.
 *
 * The packets are made by a model of TCP ({@linkcode TcpPath}) from the programs' reads and writes, and
 * bytes are delivered when the model says that they arrive; the recording is therefore a user-space
 * recording, not tcpdump's. A handshake takes its round trips: the server program is reached when
 * the last packet of TCP's handshake gets there. A client's `connect` returns at once, though, and what
 * it writes waits. FIN, half-close and RST pass in both directions.
 *
 * @example
 * ```ts ignore
 * await using link = await startUserspaceLink({ target: { port: serverPort } });
 * // ... let a client talk to link.port ...
 * await link.writeCapture("recording.pcapng", ({ connection, side, start, end }) =>
 *   lookUp(connection.clientPort, side, start, end));
 * ```
 */
export async function startUserspaceLink(options: UserspaceLinkOptions): Promise<UserspaceLink> {
  const link = new Link(options, options.profile ?? LAB_LINK);
  await link.listen(options.listen?.hostname ?? "127.0.0.1", options.listen?.port ?? 0);
  return link;
}
