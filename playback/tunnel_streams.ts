import { type Destination, encodeNumbers, encodeOpen, FRAME } from "./frame.ts";
import { type StreamOwner, StreamState } from "./stream.ts";
import {
  STREAM_CODES,
  StreamRefusedError,
  StreamResetError,
  TunnelProtocolError,
} from "./tunnel_error.ts";
import type { Outbox } from "./tunnel_outbox.ts";
import { limitGaps, Ranges } from "./tunnel_ranges.ts";

/** Credit that every stream has from the start, in bytes: both ends count on it. */
export const INITIAL_WINDOW = 65536;

/** Smallest share of the sending memory that a stream gets however many there are, in bytes. */
const SMALLEST_SEND = 16384;

/** How many times larger windows are while connections flow: the path alone is to limit those. */
const FREE_WINDOWS = 8;

/** Refusals on their way to a peer that opens more streams than allowed. */
const MAX_REFUSALS = 1024;

/** How many streams a tunnel may have, and what they may hold. */
export interface StreamLimits {
  /** Which end this is: it decides the numbers of the streams opened here. */
  readonly end: "client" | "server";
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
}

/**
 * The streams of a tunnel by their numbers: which there are, were and may be, and how much memory each may hold,
 * which is also the credit that its peer is given.
 */
export class StreamTable implements StreamOwner {
  readonly #outbox: Outbox;
  readonly #parity: 0 | 1;
  readonly #maxStreams: number;
  readonly #windows: { readonly receive: number; readonly send: number };
  readonly #sendLimit: number;
  readonly #extraLimit: number;
  readonly #streams = new Map<number, StreamState>();
  readonly #peerClosed = new Ranges();
  #nextStream = 0;
  /** Credit of all streams beyond their first windows. */
  #extra = 0;
  #refusals = 0;
  #error: Error | undefined;

  /** Throws RangeError for limits that contradict each other. */
  constructor(outbox: Outbox, limits: StreamLimits) {
    this.#outbox = outbox;
    this.#parity = limits.end === "client" ? 0 : 1;
    this.#maxStreams = limits.maxStreams ?? 256;
    this.#windows = {
      receive: limits.receiveWindow ?? 524288,
      send: limits.sendBuffer ?? 524288,
    };
    this.#sendLimit = limits.sendLimit ?? 33554432;
    this.#extraLimit = (limits.receiveLimit ?? 33554432) - this.#maxStreams * INITIAL_WINDOW;
    if (!(this.#windows.receive >= INITIAL_WINDOW && this.#windows.send > 0)) {
      throw new RangeError(`receiveWindow must be at least ${INITIAL_WINDOW} bytes`);
    }
    if (!(this.#extraLimit >= 0)) {
      throw new RangeError(
        `receiveLimit must be at least ${INITIAL_WINDOW} bytes for each of ${this.#maxStreams} streams`,
      );
    }
  }

  /** Open streams. */
  get size(): number {
    return this.#streams.size;
  }

  /** Bytes of memory held in the buffers of streams. */
  get memory(): number {
    let sum = 0;
    for (const stream of this.#streams.values()) sum += stream.memory;
    return sum;
  }

  /** What ended the tunnel. */
  get error(): Error | undefined {
    return this.#error;
  }

  /**
   * Opens a stream to `destination`. Throws RangeError for a destination that cannot be asked for,
   * StreamRefusedError when too many streams are open, and what ended the tunnel.
   */
  open(destination: Destination): StreamState {
    if (this.#error !== undefined) throw this.#error;
    if (this.#streams.size >= this.#maxStreams) {
      throw new StreamRefusedError(STREAM_CODES.tooManyStreams);
    }
    const id = 2 * this.#nextStream + this.#parity;
    const frame = encodeOpen(id, destination);
    this.#nextStream++;
    const stream = this.#add(id, destination, "opening");
    this.#outbox.queueStream(frame);
    return stream;
  }

  /** Ends every stream, and the tunnel for those to come. The first `error` is the one that counts. */
  end(error: Error): void {
    if (this.#error !== undefined) return;
    this.#error = error;
    this.#outbox.end();
    for (const stream of [...this.#streams.values()]) stream.fail(error);
    this.#outbox.dropStreamFrames();
  }

  #add(
    id: number,
    destination: Destination,
    phase: "opening" | "unannounced",
  ): StreamState {
    const stream = new StreamState(id, destination, phase, this, {
      initial: INITIAL_WINDOW,
      receive: this.#windows.receive * FREE_WINDOWS,
      send: this.#windows.send * FREE_WINDOWS,
    });
    this.#streams.set(id, stream);
    if (this.#streams.size === 1) this.#outbox.demand();
    return stream;
  }

  // By their numbers, as the peer's frames name them.

  /** A stream that is known and has not ended. */
  get(id: number): StreamState | undefined {
    return this.#streams.get(id);
  }

  /** A stream that was opened here; undefined if it has ended. Throws TunnelProtocolError for any other. */
  own(id: number): StreamState | undefined {
    if (id % 2 !== this.#parity || (id - this.#parity) / 2 >= this.#nextStream) {
      throw new TunnelProtocolError(`stream ${id} was not opened here`);
    }
    return this.#streams.get(id);
  }

  /**
   * A stream of either end's; undefined if it has ended or may not be, which the peer is then told. A new one is
   * made. Throws TunnelProtocolError for a number that no peer in its right mind uses.
   */
  either(id: number): StreamState | undefined {
    const known = this.#streams.get(id);
    if (known !== undefined) return known;
    if (id % 2 === this.#parity) return this.own(id);
    if (this.#peerClosed.has(Math.floor(id / 2))) return undefined;
    limitGaps(this.#peerClosed);
    if (this.#error !== undefined || this.#streams.size >= this.#maxStreams) {
      this.#closePeerStream(id);
      if (++this.#refusals > MAX_REFUSALS) throw new TunnelProtocolError("too many streams");
      this.#outbox.queueStream(
        encodeNumbers(FRAME.refused, id, STREAM_CODES.tooManyStreams),
        () => this.#refusals--,
      );
      return undefined;
    }
    return this.#add(id, { host: "", port: 0 }, "unannounced");
  }

  /** The stream that the peer opens, if it may and had not; somebody has to answer it. */
  announce(id: number, destination: Destination): StreamState | undefined {
    if (id % 2 === this.#parity) throw new TunnelProtocolError(`stream ${id} is not the peer's`);
    const stream = this.either(id);
    if (stream === undefined || stream.phase !== "unannounced") return undefined;
    stream.announce(destination);
    return stream;
  }

  /** The peer gives a stream up. */
  reset(id: number, code: number): void {
    const stream = this.#streams.get(id);
    if (stream !== undefined) stream.fail(new StreamResetError(code));
    else if (id % 2 === this.#parity) this.own(id);
    else {
      this.#closePeerStream(id);
      limitGaps(this.#peerClosed);
    }
  }

  #closePeerStream(id: number): void {
    const index = Math.floor(id / 2);
    this.#peerClosed.add(index, index + 1);
  }

  // Credit.

  /**
   * The offset that a stream's peer may be allowed to send up to. What was granted and lost with its connection is
   * said again, even if it would be less by now.
   */
  creditFor(stream: StreamState): number {
    return Math.max(stream.granted, this.#grantable(stream));
  }

  /** The peer is told that it may send up to `limit`. */
  grant(stream: StreamState, limit: number): void {
    stream.granted = limit;
    this.#accountExtra(stream);
  }

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

  get #widening(): number {
    return this.#outbox.flows ? FREE_WINDOWS : 1;
  }

  // What its streams ask of it.

  sendLimit(): number {
    return Math.max(
      SMALLEST_SEND,
      Math.min(
        this.#windows.send * this.#widening,
        Math.floor(this.#sendLimit / Math.max(1, this.#streams.size)),
      ),
    );
  }

  sendable(stream: StreamState): void {
    this.#outbox.sendable(stream);
  }

  consumed(stream: StreamState): void {
    this.#accountExtra(stream);
    const window = this.#outbox.flows ? this.#windows.receive * this.#widening : INITIAL_WINDOW;
    if (stream.wantsCredit && this.#grantable(stream) - stream.granted >= window / 4) {
      this.#outbox.oweCredit(stream);
    }
  }

  queue(bytes: Uint8Array, onAcked?: () => void): void {
    this.#outbox.queueStream(bytes, onAcked);
  }

  forget(stream: StreamState): void {
    this.#streams.delete(stream.id);
    this.#outbox.remove(stream);
    this.#extra -= stream.extra;
    stream.extra = 0;
    if (stream.id % 2 !== this.#parity) this.#closePeerStream(stream.id);
  }
}
