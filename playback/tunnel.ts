import { type Clock, SystemClock, type Timer } from "./clock.ts";
import {
  type Destination,
  encodeEngine,
  encodeNumbers,
  encodeOpen,
  FRAME,
  MAX_PIECE,
} from "./frame.ts";
import { FrameParser } from "./frame_parser.ts";
import type { Composition, TunnelPort } from "./reliable_tunnel.ts";
import { StreamState, type TunnelStream } from "./stream.ts";
import {
  STREAM_CODES,
  StreamRefusedError,
  StreamResetError,
  TunnelClosedError,
  TunnelProtocolError,
} from "./tunnel_error.ts";
import { Ranges } from "./tunnel_ranges.ts";
import { varintLength, writeVarint } from "./varint.ts";

/** Credit that every stream has from the start, in bytes: both ends count on it. */
export const INITIAL_WINDOW = 65536;

/** Smallest share of the sending memory that a stream gets however many there are, in bytes. */
const SMALLEST_SEND = 16384;

/** Bytes that one stream puts into a buffer before it is another one's turn. */
const TURN = 4096;

/** After so many frames that ask for no acknowledgement, they are acknowledged all the same. */
const ACKS_UNACKNOWLEDGED = 32;

/** Bytes received on a connection that flows before they are acknowledged with nothing else to send. */
const ACK_BYTES = 131072;

/** Closed connections that are kept for their last acknowledgements. */
const MAX_CLOSED = 1024;

/** Ranges of numbers seen out of order (streams, engine frames) before the peer counts as broken. */
const MAX_GAPS = 4096;

/** Refusals on their way to a peer that opens more streams than allowed. */
const MAX_REFUSALS = 1024;

/** What a tunnel may hold, and for how long. */
export interface TunnelOptions {
  /** Which end this is: it decides the numbers of the streams opened here. */
  readonly end: "client" | "server";
  /** The clock for deadlines; the wall clock if absent. */
  readonly clock?: Clock;
  /** Most streams at once, those opened by either end together; 256 if absent. */
  readonly maxStreams?: number;
  /** Most bytes received and not yet taken by the user, for each stream; 512 KiB if absent. */
  readonly receiveWindow?: number;
  /** The same for all streams together; 32 MiB if absent, never under 64 KiB a stream. */
  readonly receiveLimit?: number;
  /** Most bytes written by the user and not yet acknowledged, for each stream; 512 KiB if absent. */
  readonly sendBuffer?: number;
  /** The same for all streams together, shared evenly; 32 MiB if absent. */
  readonly sendLimit?: number;
  /**
   * Milliseconds that the last acknowledgement of a cleanly closed connection is waited for before its
   * bytes are sent again; 10,000 if absent.
   */
  readonly finalAckTimeout?: number;
}

/** How many times larger windows are while connections flow: the path alone is to limit those. */
const FREE_WINDOWS = 8;

const NOTHING: Composition = { control: 0, data: 0, padding: 0 };

/** A frame that is sent until acknowledged. */
interface Frame {
  readonly bytes: Uint8Array;
  readonly onAcked: (() => void) | undefined;
  /** Frames of the engine's go ahead of those of streams, and before the peer is verified. */
  readonly engine: boolean;
}

/** What was put where on a connection: `end` is the connection's byte position after it. */
type Extent =
  | { end: number; kind: "data"; stream: StreamState; offset: number; length: number }
  | { end: number; kind: "frame"; frame: Frame }
  | { end: number; kind: "credit"; stream: StreamState; limit: number }
  | { end: number; kind: "ack"; of: Cover; bytes: number };

/** One cover connection, both directions. */
interface Cover {
  readonly number: number;
  open: boolean;
  /** Called when there is something to send, if it is not filled by a plan. */
  wake: (() => void) | undefined;
  // Sending.
  written: number;
  extents: Extent[];
  /** The rest of a frame that is being sent in pieces, and what it is remembered by at its end. */
  tail: { bytes: Uint8Array; extent: Extent | undefined } | undefined;
  /** The last byte of a piece that was begun in a buffer of one byte. */
  owed: number | undefined;
  bound: Uint8Array[];
  lastStream: number;
  lastEnd: number;
  /** The peer said that it takes no more. */
  finalAcked: boolean;
  timer: Timer | undefined;
  // Receiving.
  parser: FrameParser | undefined;
  /** Frames since the last acknowledgement that want one, and acknowledgements that do not. */
  eliciting: boolean;
  quiet: number;
  /** Position acknowledged last, and whether the peer is known to have heard of it. */
  ackSent: number;
  ackHeard: boolean;
  /** Position at the close. */
  finalPosition: number;
  /** Nothing more is to be told about what was received. */
  receiveDone: boolean;
}

/**
 * Carries streams of user data, complete, in order and once, over cover connections that come and go as
 * the model says (see {@linkcode TunnelPort} for the side that the engine drives).
 *
 * Each connection's bytes are one continuous sequence of frames. For each connection the tunnel remembers
 * what it put where; the peer acknowledges positions in the connection, on any connection. What an
 * unclean end leaves unacknowledged is sent again at once, ahead of new data; after a clean end the peer's
 * final acknowledgement says what is missing, or a deadline decides. Whatever arrives twice is dropped by
 * its offset or number.
 *
 * @example
 * ```ts
 * import { ReliableTunnel } from "./tunnel.ts";
 * const client = new ReliableTunnel({ end: "client" });
 * const server = new ReliableTunnel({ end: "server" });
 * let asked = "";
 * server.onStream = (stream) => {
 *   asked = stream.destination.host;
 *   stream.accept();
 *   stream.write(new TextEncoder().encode("hello"));
 * };
 * const stream = client.open({ host: "example.com", port: 80 });
 * const message = new Uint8Array(100);
 * for (const end of [client, server]) end.connectionOpened(1);
 * client.fill(1, message, true);
 * server.receive(1, message);
 * server.fill(1, message, true);
 * client.receive(1, message);
 * if (asked !== "example.com" || stream.read()?.length !== 5) throw new Error("not carried");
 * ```
 */
export class ReliableTunnel implements TunnelPort {
  onControl: ((connection: number, type: number, body: Uint8Array) => void) | undefined;
  onDemand: (() => void) | undefined;
  /** Told of every stream that the peer opens; without it they are refused. */
  onStream: ((stream: TunnelStream) => void) | undefined;
  /** Told once when the peer ends the tunnel. */
  onGoodbye: ((code: number) => void) | undefined;

  readonly #clock: Clock;
  readonly #parity: 0 | 1;
  readonly #maxStreams: number;
  readonly #windows: { readonly receive: number; readonly send: number };
  readonly #sendLimit: number;
  readonly #extraLimit: number;
  readonly #finalAckTimeout: number;

  readonly #covers = new Map<number, Cover>();
  readonly #closedCovers = new Set<Cover>();
  readonly #acksDue = new Set<Cover>();
  #engineFrames: Frame[] = [];
  #streamFrames: Frame[] = [];
  #framesUnacked = 0;
  #nextSequence = 0;
  readonly #sequencesSeen = new Ranges();

  readonly #streams = new Map<number, StreamState>();
  readonly #peerClosed = new Ranges();
  /** Streams with bytes to be sent again, and those with new ones; next in turn first. */
  readonly #again = new Set<StreamState>();
  readonly #ready = new Set<StreamState>();
  readonly #creditsDue = new Set<StreamState>();
  #nextStream = 0;
  #extra = 0;
  #refusals = 0;
  /** Open connections that are filled freely. */
  readonly #flowing = new Set<Cover>();
  /** While bytes are taken in nobody is woken: at the end it is one call. */
  #receiving = false;
  #filled = 0;
  #error: Error | undefined;
  #failed = false;

  /** Throws RangeError for limits that contradict each other. */
  constructor(options: TunnelOptions) {
    this.#clock = options.clock ?? new SystemClock();
    this.#parity = options.end === "client" ? 0 : 1;
    this.#maxStreams = options.maxStreams ?? 256;
    this.#windows = {
      receive: options.receiveWindow ?? 524288,
      send: options.sendBuffer ?? 524288,
    };
    this.#sendLimit = options.sendLimit ?? 33554432;
    this.#extraLimit = (options.receiveLimit ?? 33554432) - this.#maxStreams * INITIAL_WINDOW;
    this.#finalAckTimeout = options.finalAckTimeout ?? 10000;
    if (!(this.#windows.receive >= INITIAL_WINDOW && this.#windows.send > 0)) {
      throw new RangeError(`receiveWindow must be at least ${INITIAL_WINDOW} bytes`);
    }
    if (!(this.#extraLimit >= 0)) {
      throw new RangeError(
        `receiveLimit must be at least ${INITIAL_WINDOW} bytes for each of ${this.#maxStreams} streams`,
      );
    }
  }

  // What users of streams call.

  /**
   * Opens a stream to `destination`. Success is known when its `opened` resolves; bytes may be written
   * before that. Throws RangeError for a destination that cannot be asked for, StreamRefusedError when too
   * many streams are open, TunnelClosedError when the tunnel has ended.
   */
  open(destination: Destination): TunnelStream {
    if (this.#error !== undefined) throw this.#error;
    if (this.#streams.size >= this.#maxStreams) {
      throw new StreamRefusedError(STREAM_CODES.tooManyStreams);
    }
    const id = 2 * this.#nextStream + this.#parity;
    const frame = encodeOpen(id, destination);
    this.#nextStream++;
    const stream = this.#addStream(id, destination, "opening");
    this.#queueStreamFrame(frame);
    return stream;
  }

  /** Whether nothing waits to be sent or acknowledged and no stream is open. */
  get settled(): boolean {
    return this.#streams.size === 0 && this.#framesUnacked === 0;
  }

  /** Bytes of memory held in the buffers of streams. */
  get memory(): number {
    let sum = 0;
    for (const stream of this.#streams.values()) sum += stream.memory;
    return sum;
  }

  /** Tells the peer that the tunnel ends, and ends every stream here. The message still needs filling. */
  goodbye(code = 0): void {
    if (this.#error !== undefined) return;
    this.#queueEngineFrame({
      bytes: encodeNumbers(FRAME.goodbye, code),
      onAcked: undefined,
      engine: true,
    });
    this.#end(new TunnelClosedError("the tunnel was closed"));
  }

  /** Ends the tunnel at this end at once: every stream fails with `reason`, deadlines are forgotten. */
  fail(reason: Error): void {
    this.#end(reason);
    this.#failed = true;
    for (const cover of this.#covers.values()) {
      if (cover.timer !== undefined) this.#clock.cancel(cover.timer);
      cover.timer = undefined;
    }
    this.#covers.clear();
    this.#flowing.clear();
    this.#closedCovers.clear();
    this.#acksDue.clear();
    this.#engineFrames = [];
    this.#streamFrames = [];
    this.#framesUnacked = 0;
  }

  // What the engine calls.

  get backlog(): number {
    let sum = 0;
    for (const stream of this.#again) sum += stream.lost.total;
    for (const stream of this.#ready) sum += stream.freshBytes;
    for (const frame of this.#streamFrames) sum += frame.bytes.length;
    return sum;
  }

  get streams(): number {
    return this.#streams.size;
  }

  connectionOpened(connection: number): void {
    if (this.#failed) return;
    if (this.#covers.has(connection)) {
      throw new RangeError(`connection ${connection} exists already`);
    }
    const cover: Cover = {
      number: connection,
      open: true,
      wake: undefined,
      written: 0,
      extents: [],
      tail: undefined,
      owed: undefined,
      bound: [],
      lastStream: -1,
      lastEnd: -1,
      finalAcked: false,
      timer: undefined,
      parser: undefined,
      eliciting: false,
      quiet: 0,
      ackSent: 0,
      ackHeard: true,
      finalPosition: 0,
      receiveDone: false,
    };
    cover.parser = this.#makeParser(cover);
    this.#covers.set(connection, cover);
  }

  connectionClosed(connection: number, clean: boolean): void {
    const cover = this.#covers.get(connection);
    if (cover === undefined || !cover.open) return;
    cover.open = false;
    cover.bound = [];
    this.#setWake(cover, undefined);
    this.#closedCovers.add(cover);
    this.#closeReceiving(cover);
    if (clean && !cover.finalAcked) {
      this.#loseAfter(cover, cover.written);
      if (cover.extents.length > 0) {
        cover.timer = this.#clock.at(this.#clock.now() + this.#finalAckTimeout, () => {
          cover.timer = undefined;
          this.#lose(cover);
        });
      }
    } else this.#lose(cover);
    this.#forgetCover(cover);
    if (this.#closedCovers.size > MAX_CLOSED) {
      const [oldest] = this.#closedCovers;
      this.#lose(oldest!);
      oldest!.receiveDone = true;
      this.#forgetCover(oldest!);
    }
  }

  sendControl(type: number, body: Uint8Array, connection?: number): void {
    if (connection !== undefined) {
      const cover = this.#covers.get(connection);
      if (cover?.open) cover.bound.push(encodeEngine(type, body));
      return;
    }
    if (this.#error !== undefined) return;
    const bytes = encodeEngine(type, body, this.#nextSequence);
    this.#nextSequence++;
    this.#queueEngineFrame({ bytes, onAcked: undefined, engine: true });
  }

  fill(connection: number, buffer: Uint8Array, dataAllowed: boolean): Composition {
    const cover = this.#covers.get(connection);
    let at = 0;
    let data = 0;
    if (cover?.open && !cover.finalAcked) {
      at = this.#fillControl(cover, buffer, dataAllowed);
      if (dataAllowed) {
        data = this.#fillData(cover, buffer, at);
        at = this.#filled;
      }
    }
    buffer.fill(0, at);
    if (cover !== undefined) cover.written += buffer.length;
    return { control: at - data, data, padding: buffer.length - at };
  }

  flow(connection: number, wake: () => void): void {
    const cover = this.#covers.get(connection);
    if (cover?.open) this.#setWake(cover, wake);
  }

  fillFree(connection: number, buffer: Uint8Array, patient: boolean): Composition {
    const cover = this.#covers.get(connection);
    if (!cover?.open || cover.finalAcked || (patient && !this.#worthSending(cover))) return NOTHING;
    const control = this.#fillControl(cover, buffer, true);
    const data = this.#fillData(cover, buffer, control);
    cover.written += this.#filled;
    return { control: this.#filled - data, data, padding: 0 };
  }

  get owesAcks(): boolean {
    return this.#acksDue.size > 0 || this.#creditsDue.size > 0;
  }

  receive(connection: number, bytes: Uint8Array): void {
    const cover = this.#covers.get(connection);
    if (cover?.parser === undefined) return;
    this.#receiving = true;
    try {
      cover.parser.push(bytes);
    } catch (error) {
      cover.parser = undefined;
      throw error;
    } finally {
      this.#receiving = false;
    }
    if (cover.open && (cover.eliciting || cover.quiet >= ACKS_UNACKNOWLEDGED)) {
      this.#acksDue.add(cover);
    }
    this.#wake();
  }

  // Filling.

  #setWake(cover: Cover, wake: (() => void) | undefined): void {
    cover.wake = wake;
    if (wake === undefined) this.#flowing.delete(cover);
    else this.#flowing.add(cover);
  }

  /** Something may be sent now: connections that flow take it. */
  #wake(): void {
    if (this.#receiving) return;
    for (const cover of this.#flowing) cover.wake!();
  }

  /** Whether there is more to send on a connection that flows than acknowledgements that can wait. */
  #worthSending(cover: Cover): boolean {
    if (!this.#idle || this.#engineFrames.length > 0 || this.#creditsDue.size > 0) return true;
    if (cover.bound.length > 0 || cover.tail !== undefined || cover.owed !== undefined) return true;
    for (const due of this.#acksDue) {
      if (!due.open || (due.parser?.processed ?? 0) - due.ackSent >= ACK_BYTES) return true;
    }
    return false;
  }

  /** Puts data at `at` and returns how many bytes of it; `#filled` is then the position after it. */
  #fillData(cover: Cover, buffer: Uint8Array, at: number): number {
    let data = 0;
    while (at < buffer.length && cover.tail === undefined) {
      const stream = this.#nextInTurn();
      if (stream === undefined) break;
      const length = this.#putData(cover, buffer, at, stream);
      if (length === 0) break;
      at = cover.extents.at(-1)!.end - cover.written;
      data += length;
      // The last bytes of a stream free its FIN, which may still fit.
      if (this.#streamFrames.length > 0) {
        at = this.#fillFrames(cover, buffer, at, this.#streamFrames);
      }
    }
    this.#filled = at;
    return data;
  }

  #fillControl(cover: Cover, buffer: Uint8Array, dataAllowed: boolean): number {
    let at = 0;
    if (cover.owed !== undefined) {
      buffer[at++] = cover.owed;
      cover.owed = undefined;
    }
    // The engine's frames go first, whatever users' frames have begun: where its plans travel must not
    // depend on those.
    while (cover.bound.length > 0 && cover.bound[0]!.length <= buffer.length - at) {
      at = this.#put(cover, buffer, at, cover.bound.shift()!, undefined);
    }
    at = this.#putTail(cover, buffer, at);
    while (cover.bound.length > 0 && at < buffer.length && cover.tail === undefined) {
      at = this.#put(cover, buffer, at, cover.bound.shift()!, undefined);
    }
    if (dataAllowed) at = this.#fillAcks(cover, buffer, at);
    at = this.#fillFrames(cover, buffer, at, this.#engineFrames);
    if (!dataAllowed) return at;
    at = this.#fillFrames(cover, buffer, at, this.#streamFrames);
    return this.#fillCredits(cover, buffer, at);
  }

  /** Whether a frame of `length` bytes should be begun at `at`: it fits, or never would fit much better. */
  #suits(buffer: Uint8Array, at: number, length: number): boolean {
    const room = buffer.length - at;
    return length <= room || (room > 0 && 2 * length > buffer.length);
  }

  /** Puts a frame at `at`; what does not fit goes in pieces into the connection's next buffers. */
  #put(
    cover: Cover,
    buffer: Uint8Array,
    at: number,
    bytes: Uint8Array,
    extent: Extent | undefined,
  ): number {
    if (bytes.length > buffer.length - at) {
      cover.tail = { bytes, extent };
      return this.#putTail(cover, buffer, at);
    }
    buffer.set(bytes, at);
    this.#placed(cover, at + bytes.length, extent);
    return at + bytes.length;
  }

  #putTail(cover: Cover, buffer: Uint8Array, at: number): number {
    if (cover.tail !== undefined && buffer.length === 1 && at === 0) {
      // Not even a piece fits into one byte: its one byte follows in the next buffer.
      buffer[0] = FRAME.piece;
      const { bytes, extent } = cover.tail;
      cover.owed = bytes[0];
      cover.tail.bytes = bytes.subarray(1);
      if (bytes.length === 1) {
        cover.tail = undefined;
        this.#placed(cover, 2, extent);
      }
      return 1;
    }
    while (cover.tail !== undefined) {
      const { bytes, extent } = cover.tail;
      const length = Math.min(bytes.length, buffer.length - at - 1, MAX_PIECE);
      if (length <= 0) break;
      buffer[at++] = FRAME.piece + length - 1;
      buffer.set(bytes.subarray(0, length), at);
      at += length;
      if (length < bytes.length) cover.tail.bytes = bytes.subarray(length);
      else {
        cover.tail = undefined;
        this.#placed(cover, at, extent);
      }
    }
    return at;
  }

  /** A frame ends at `at` of the buffer being filled. */
  #placed(cover: Cover, at: number, extent: Extent | undefined): void {
    if (extent === undefined) return;
    extent.end = cover.written + at;
    cover.extents.push(extent);
  }

  #fillAcks(cover: Cover, buffer: Uint8Array, at: number): number {
    if (this.#acksDue.size === 0) return at;
    if (this.#acksDue.has(cover) && cover.open) at = this.#putAck(cover, buffer, at, cover);
    for (const of of this.#acksDue) {
      if (cover.tail !== undefined || at === buffer.length) break;
      const next = this.#putAck(cover, buffer, at, of);
      if (next === at) break;
      at = next;
    }
    return at;
  }

  #putAck(cover: Cover, buffer: Uint8Array, at: number, of: Cover): number {
    if (cover.tail !== undefined) return at;
    const bytes = of.parser?.processed ?? of.finalPosition;
    const final = !of.open;
    const frame = of === cover
      ? encodeNumbers(FRAME.ackHere, bytes)
      : encodeNumbers(final ? FRAME.ackFinal : FRAME.ack, of.number, bytes);
    if (!this.#suits(buffer, at, frame.length)) return at;
    of.eliciting = false;
    of.quiet = 0;
    of.ackSent = bytes;
    of.ackHeard = false;
    this.#acksDue.delete(of);
    return this.#put(cover, buffer, at, frame, { end: 0, kind: "ack", of, bytes });
  }

  #fillFrames(cover: Cover, buffer: Uint8Array, at: number, queue: Frame[]): number {
    while (queue.length > 0 && cover.tail === undefined) {
      const frame = queue[0]!;
      if (!this.#suits(buffer, at, frame.bytes.length)) break;
      queue.shift();
      at = this.#put(cover, buffer, at, frame.bytes, { end: 0, kind: "frame", frame });
    }
    return at;
  }

  #fillCredits(cover: Cover, buffer: Uint8Array, at: number): number {
    for (const stream of this.#creditsDue) {
      if (cover.tail !== undefined) break;
      if (!stream.wantsCredit) {
        this.#creditsDue.delete(stream);
        continue;
      }
      // What was granted and lost with its connection is said again, even if it would be less by now.
      const limit = Math.max(stream.granted, this.#grantable(stream));
      const frame = encodeNumbers(FRAME.credit, stream.id, limit);
      if (!this.#suits(buffer, at, frame.length)) break;
      stream.granted = limit;
      this.#accountExtra(stream);
      this.#creditsDue.delete(stream);
      at = this.#put(cover, buffer, at, frame, { end: 0, kind: "credit", stream, limit });
    }
    return at;
  }

  /** The stream whose turn it is to put data: those that lost some go first. */
  #nextInTurn(): StreamState | undefined {
    for (const stream of this.#again) {
      if (stream.lost.count > 0) return stream;
      this.#again.delete(stream);
    }
    for (const stream of this.#ready) {
      if (stream.freshBytes > 0) return stream;
      this.#ready.delete(stream);
    }
    return undefined;
  }

  /**
   * Puts a data frame of `stream` at `at` and returns the bytes of user data in it: 0 if none fit. Data
   * frames are cut to fit, so they never straddle.
   */
  #putData(cover: Cover, buffer: Uint8Array, at: number, stream: StreamState): number {
    const again = stream.lost.count > 0;
    const queue = again ? this.#again : this.#ready;
    const offset = again ? stream.lost.firstStart! : stream.sent;
    const available = again ? stream.lost.firstEnd! - offset : stream.freshBytes;
    const turn = Math.max(TURN, buffer.length >>> 2);
    const most = queue.size > 1 ? Math.min(available, turn) : available;
    const follows = cover.lastStream === stream.id && cover.lastEnd === offset;
    const head = follows ? 1 : 1 + varintLength(stream.id) + varintLength(offset);
    const room = buffer.length - at - head;
    let length = 0;
    for (let lengthBytes = 1; lengthBytes <= 4; lengthBytes++) {
      length = Math.min(most, room - lengthBytes);
      if (length <= 0) return 0;
      if (varintLength(length) <= lengthBytes) break;
    }
    let next = at;
    if (follows) buffer[next++] = FRAME.dataNext;
    else {
      buffer[next++] = FRAME.data;
      next = writeVarint(buffer, next, stream.id);
      next = writeVarint(buffer, next, offset);
    }
    next = writeVarint(buffer, next, length);
    stream.copy(offset, buffer.subarray(next, next + length));
    next += length;
    cover.lastStream = stream.id;
    cover.lastEnd = offset + length;
    cover.extents.push({ end: cover.written + next, kind: "data", stream, offset, length });
    if (again) stream.lost.remove(offset, offset + length);
    else stream.onSent(offset + length);
    queue.delete(stream);
    if (again ? stream.lost.count > 0 : stream.freshBytes > 0) queue.add(stream);
    return length;
  }

  // Connections.

  #makeParser(cover: Cover): FrameParser {
    const eliciting = () => {
      cover.eliciting = true;
    };
    return new FrameParser({
      onOpen: (id, host, port) => {
        eliciting();
        this.#onOpen(id, { host, port });
      },
      onOpened: (id) => {
        eliciting();
        this.#own(id)?.onOpened();
      },
      onRefused: (id, code) => {
        eliciting();
        this.#own(id)?.fail(new StreamRefusedError(code));
      },
      onDataStart: (id, offset, length) => {
        eliciting();
        this.#stream(id)?.checkData(offset, length);
      },
      onData: (id, offset, bytes) => this.#streams.get(id)?.onData(offset, bytes),
      onFin: (id, offset) => {
        eliciting();
        this.#stream(id)?.onFin(offset);
      },
      onReset: (id, code) => {
        eliciting();
        this.#onReset(id, code);
      },
      onCredit: (id, limit) => {
        eliciting();
        this.#stream(id)?.onCredit(limit);
      },
      onAck: (connection, bytes, final) => {
        cover.quiet++;
        const of = connection === undefined ? cover : this.#covers.get(connection);
        if (of !== undefined) this.#onAck(of, bytes, final);
      },
      onEngine: (type, body, sequence) => {
        eliciting();
        if (sequence !== undefined) {
          if (this.#sequencesSeen.add(sequence, sequence + 1) === 0) return;
          this.#limitGaps(this.#sequencesSeen);
        }
        this.onControl?.(cover.number, type, body);
      },
      onGoodbye: (code) => {
        eliciting();
        if (this.#error !== undefined) return;
        this.#end(new TunnelClosedError(`the peer closed the tunnel with code ${code}`));
        this.onGoodbye?.(code);
      },
    });
  }

  #onAck(cover: Cover, bytes: number, final: boolean): void {
    if (bytes > cover.written) {
      throw new TunnelProtocolError("an acknowledgement of bytes not sent");
    }
    const extents = cover.extents;
    let count = 0;
    while (count < extents.length && extents[count]!.end <= bytes) count++;
    if (count > 0) { for (const extent of extents.splice(0, count)) this.#acked(extent); }
    if (final) {
      cover.finalAcked = true;
      this.#lose(cover);
    }
    this.#forgetCover(cover);
  }

  #acked(extent: Extent): void {
    switch (extent.kind) {
      case "data":
        extent.stream.onAcked(extent.offset, extent.length);
        break;
      case "frame":
        this.#framesUnacked--;
        extent.frame.onAcked?.();
        break;
      case "ack":
        if (extent.bytes !== extent.of.ackSent) break;
        extent.of.ackHeard = true;
        if (!extent.of.open && !this.#acksDue.has(extent.of)) {
          extent.of.receiveDone = true;
          this.#forgetCover(extent.of);
        }
        break;
    }
  }

  #lost(extent: Extent): void {
    switch (extent.kind) {
      case "data":
        extent.stream.onLost(extent.offset, extent.length);
        break;
      case "frame": {
        const idle = this.#idle;
        if (extent.frame.engine) this.#engineFrames.unshift(extent.frame);
        else if (this.#error === undefined) this.#streamFrames.unshift(extent.frame);
        else this.#framesUnacked--;
        if (idle && !this.#idle) this.onDemand?.();
        break;
      }
      case "credit":
        if (extent.limit === extent.stream.granted) this.#creditsDue.add(extent.stream);
        break;
      case "ack":
        if (!extent.of.receiveDone && extent.bytes === extent.of.ackSent) {
          this.#acksDue.add(extent.of);
        }
        break;
    }
  }

  /** Everything on a connection that was not acknowledged is sent again. */
  #lose(cover: Cover): void {
    this.#loseAfter(cover, 0);
    if (cover.timer !== undefined) this.#clock.cancel(cover.timer);
    cover.timer = undefined;
    this.#forgetCover(cover);
  }

  /** What ends after `position` on a connection is sent again, in its order. */
  #loseAfter(cover: Cover, position: number): void {
    const extents = cover.extents;
    if (cover.tail?.extent !== undefined) {
      cover.tail.extent.end = Infinity;
      extents.push(cover.tail.extent);
    }
    cover.tail = undefined;
    let from = extents.length;
    while (from > 0 && extents[from - 1]!.end > position) from--;
    if (from === extents.length) return;
    const lost = extents.splice(from);
    for (let index = lost.length - 1; index >= 0; index--) this.#lost(lost[index]!);
    this.#wake();
  }

  /** The last acknowledgement of a closed connection is due if the one before does not say it all. */
  #closeReceiving(cover: Cover): void {
    const unsaid = cover.eliciting || cover.quiet > 0 || (cover.parser?.midFrame ?? false) ||
      this.#acksDue.has(cover);
    cover.finalPosition = cover.parser?.processed ?? cover.ackSent;
    cover.parser = undefined;
    if (unsaid) {
      this.#acksDue.add(cover);
      this.#wake();
    } else if (cover.ackHeard) cover.receiveDone = true;
  }

  #forgetCover(cover: Cover): void {
    if (cover.open || cover.extents.length > 0 || !cover.receiveDone) return;
    if (cover.timer !== undefined) this.#clock.cancel(cover.timer);
    cover.timer = undefined;
    this.#acksDue.delete(cover);
    this.#closedCovers.delete(cover);
    if (this.#covers.get(cover.number) === cover) this.#covers.delete(cover.number);
  }

  // Streams.

  get #widening(): number {
    return this.#flowing.size > 0 ? FREE_WINDOWS : 1;
  }

  get #idle(): boolean {
    return this.#ready.size === 0 && this.#again.size === 0 && this.#streamFrames.length === 0;
  }

  #queueEngineFrame(frame: Frame): void {
    this.#framesUnacked++;
    this.#engineFrames.push(frame);
    this.#wake();
  }

  #queueStreamFrame(bytes: Uint8Array, onAcked?: () => void): void {
    const idle = this.#idle;
    this.#framesUnacked++;
    this.#streamFrames.push({ bytes, onAcked, engine: false });
    if (idle) this.onDemand?.();
    this.#wake();
  }

  #addStream(
    id: number,
    destination: Destination,
    phase: "opening" | "unannounced",
  ): StreamState {
    const stream = new StreamState(id, destination, phase, {
      sendLimit: () =>
        Math.max(
          SMALLEST_SEND,
          Math.min(
            this.#windows.send * this.#widening,
            Math.floor(this.#sendLimit / Math.max(1, this.#streams.size)),
          ),
        ),
      sendable: (stream) => {
        const idle = this.#idle;
        if (stream.lost.count > 0) this.#again.add(stream);
        if (stream.freshBytes > 0) this.#ready.add(stream);
        if (idle && !this.#idle) this.onDemand?.();
        this.#wake();
      },
      consumed: (stream) => {
        this.#accountExtra(stream);
        const window = this.#flowing.size > 0
          ? this.#windows.receive * this.#widening
          : INITIAL_WINDOW;
        if (stream.wantsCredit && this.#grantable(stream) - stream.granted >= window / 4) {
          this.#creditsDue.add(stream);
          this.#wake();
        }
      },
      queue: (bytes, onAcked) => this.#queueStreamFrame(bytes, onAcked),
      forget: (stream) => this.#forgetStream(stream),
    }, {
      initial: INITIAL_WINDOW,
      receive: this.#windows.receive * FREE_WINDOWS,
      send: this.#windows.send * FREE_WINDOWS,
    });
    this.#streams.set(id, stream);
    if (this.#streams.size === 1) this.onDemand?.();
    return stream;
  }

  #forgetStream(stream: StreamState): void {
    this.#streams.delete(stream.id);
    this.#ready.delete(stream);
    this.#again.delete(stream);
    this.#creditsDue.delete(stream);
    this.#extra -= stream.extra;
    stream.extra = 0;
    if (stream.id % 2 !== this.#parity) this.#closePeerStream(stream.id);
  }

  #closePeerStream(id: number): void {
    const index = Math.floor(id / 2);
    this.#peerClosed.add(index, index + 1);
  }

  #limitGaps(ranges: Ranges): void {
    if (ranges.count > MAX_GAPS) throw new TunnelProtocolError("too many numbers left out");
  }

  /** A stream that was opened here; undefined if it has ended. */
  #own(id: number): StreamState | undefined {
    if (id % 2 !== this.#parity || (id - this.#parity) / 2 >= this.#nextStream) {
      throw new TunnelProtocolError(`stream ${id} was not opened here`);
    }
    return this.#streams.get(id);
  }

  /** A stream by its number; undefined if it has ended or may not be. A new one is made. */
  #stream(id: number): StreamState | undefined {
    const known = this.#streams.get(id);
    if (known !== undefined) return known;
    if (id % 2 === this.#parity) return this.#own(id);
    if (this.#peerClosed.has(Math.floor(id / 2))) return undefined;
    this.#limitGaps(this.#peerClosed);
    if (this.#error !== undefined || this.#streams.size >= this.#maxStreams) {
      this.#closePeerStream(id);
      if (++this.#refusals > MAX_REFUSALS) throw new TunnelProtocolError("too many streams");
      this.#queueStreamFrame(
        encodeNumbers(FRAME.refused, id, STREAM_CODES.tooManyStreams),
        () => this.#refusals--,
      );
      return undefined;
    }
    return this.#addStream(id, { host: "", port: 0 }, "unannounced");
  }

  #onOpen(id: number, destination: Destination): void {
    if (id % 2 === this.#parity) throw new TunnelProtocolError(`stream ${id} is not the peer's`);
    const stream = this.#stream(id);
    if (stream === undefined || stream.phase !== "unannounced") return;
    stream.announce(destination);
    if (this.onStream === undefined) stream.refuse(STREAM_CODES.forbidden);
    else this.onStream(stream);
  }

  #onReset(id: number, code: number): void {
    const stream = this.#streams.get(id);
    if (stream !== undefined) stream.fail(new StreamResetError(code));
    else if (id % 2 === this.#parity) this.#own(id);
    else {
      this.#closePeerStream(id);
      this.#limitGaps(this.#peerClosed);
    }
  }

  /** The highest offset that a stream's peer may be allowed to send up to. */
  #grantable(stream: StreamState): number {
    const spare = this.#extraLimit - (this.#extra - stream.extra);
    const most = this.#windows.receive * this.#widening;
    const window = Math.min(most, INITIAL_WINDOW + Math.max(0, spare));
    return stream.receiveBase + window;
  }

  #accountExtra(stream: StreamState): void {
    const extra = Math.max(0, stream.granted - stream.receiveBase - INITIAL_WINDOW);
    this.#extra += extra - stream.extra;
    stream.extra = extra;
  }

  #end(error: Error): void {
    if (this.#error !== undefined) return;
    this.#error = error;
    for (const stream of [...this.#streams.values()]) stream.fail(error);
    for (const _ of this.#streamFrames) this.#framesUnacked--;
    this.#streamFrames = [];
  }
}
