import { type Clock, SystemClock } from "./clock.ts";
import { type Destination, encodeEngine, encodeNumbers, FRAME } from "./frame.ts";
import { FrameParser } from "./frame_parser.ts";
import type { Composition, TunnelPort } from "./reliable_tunnel.ts";
import type { TunnelStream } from "./stream.ts";
import { Acks } from "./tunnel_acks.ts";
import type { Cover } from "./tunnel_cover.ts";
import { STREAM_CODES, StreamRefusedError, TunnelClosedError } from "./tunnel_error.ts";
import { Filler } from "./tunnel_filler.ts";
import { Outbox } from "./tunnel_outbox.ts";
import { limitGaps, Ranges } from "./tunnel_ranges.ts";
import { type StreamLimits, StreamTable } from "./tunnel_streams.ts";

/** What a tunnel may hold, and for how long. */
export interface TunnelOptions extends StreamLimits {
  /** The clock for deadlines; the wall clock if absent. */
  readonly clock?: Clock;
  /**
   * Milliseconds that the last acknowledgement of a cleanly closed connection is waited for before its
   * bytes are sent again; 10,000 if absent.
   */
  readonly finalAckTimeout?: number;
}

const NOTHING: Composition = { control: 0, data: 0, padding: 0 };

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

  readonly #outbox = new Outbox(() => this.onDemand?.());
  readonly #streams: StreamTable;
  readonly #acks: Acks;
  readonly #filler: Filler;
  #nextSequence = 0;
  readonly #sequencesSeen = new Ranges();
  #failed = false;

  /** Throws RangeError for limits that contradict each other. */
  constructor(options: TunnelOptions) {
    const { clock = new SystemClock(), finalAckTimeout = 10000 } = options;
    this.#streams = new StreamTable(this.#outbox, options);
    this.#acks = new Acks(this.#outbox, clock, finalAckTimeout);
    this.#filler = new Filler(this.#outbox, this.#acks, this.#streams);
  }

  // What users of streams call.

  /**
   * Opens a stream to `destination`. Success is known when its `opened` resolves; bytes may be written
   * before that. Throws RangeError for a destination that cannot be asked for, StreamRefusedError when too
   * many streams are open, TunnelClosedError when the tunnel has ended.
   */
  open(destination: Destination): TunnelStream {
    return this.#streams.open(destination);
  }

  /** Whether nothing waits to be sent or acknowledged and no stream is open. */
  get settled(): boolean {
    return this.#streams.size === 0 && this.#outbox.unacked === 0;
  }

  /** Bytes of memory held in the buffers of streams. */
  get memory(): number {
    return this.#streams.memory;
  }

  /** Tells the peer that the tunnel ends, and ends every stream here. The message still needs filling. */
  goodbye(code = 0): void {
    if (this.#streams.error !== undefined) return;
    this.#outbox.queueEngine(encodeNumbers(FRAME.goodbye, code));
    this.#streams.end(new TunnelClosedError("the tunnel was closed"));
  }

  /** Ends the tunnel at this end at once: every stream fails with `reason`, deadlines are forgotten. */
  fail(reason: Error): void {
    this.#streams.end(reason);
    this.#failed = true;
    this.#acks.clear();
    this.#outbox.clear();
  }

  // What the engine calls.

  get backlog(): number {
    return this.#outbox.backlog;
  }

  get streams(): number {
    return this.#streams.size;
  }

  connectionOpened(connection: number): void {
    if (this.#failed) return;
    const cover = this.#acks.open(connection);
    cover.parser = this.#makeParser(cover);
  }

  connectionClosed(connection: number, clean: boolean): void {
    const cover = this.#acks.get(connection);
    if (cover === undefined || !cover.open) return;
    this.#outbox.unflow(cover);
    this.#acks.close(cover, clean);
  }

  sendControl(type: number, body: Uint8Array, connection?: number): void {
    if (connection !== undefined) {
      const cover = this.#acks.get(connection);
      if (cover?.open) cover.bound.push(encodeEngine(type, body));
      return;
    }
    if (this.#streams.error !== undefined) return;
    const bytes = encodeEngine(type, body, this.#nextSequence);
    this.#nextSequence++;
    this.#outbox.queueEngine(bytes);
  }

  fill(connection: number, buffer: Uint8Array, dataAllowed: boolean): Composition {
    const cover = this.#acks.get(connection);
    let at = 0;
    let data = 0;
    if (cover?.open && !cover.finalAcked) {
      data = this.#filler.fill(cover, buffer, dataAllowed);
      at = this.#filler.end;
    }
    buffer.fill(0, at);
    if (cover !== undefined) cover.written += buffer.length;
    return { control: at - data, data, padding: buffer.length - at };
  }

  flow(connection: number, wake: () => void): void {
    const cover = this.#acks.get(connection);
    if (cover?.open) this.#outbox.flow(cover, wake);
  }

  fillFree(connection: number, buffer: Uint8Array, patient: boolean): Composition {
    const cover = this.#acks.get(connection);
    if (!cover?.open || cover.finalAcked) return NOTHING;
    if (patient && !this.#filler.worthSending(cover)) return NOTHING;
    const data = this.#filler.fill(cover, buffer, true);
    const { end } = this.#filler;
    cover.written += end;
    return { control: end - data, data, padding: 0 };
  }

  get owesAcks(): boolean {
    return this.#acks.owed || this.#outbox.creditsDue.size > 0;
  }

  receive(connection: number, bytes: Uint8Array): void {
    const cover = this.#acks.get(connection);
    if (cover?.parser === undefined) return;
    this.#outbox.hold(true);
    try {
      cover.parser.push(bytes);
    } catch (error) {
      cover.parser = undefined;
      throw error;
    } finally {
      this.#outbox.hold(false);
    }
    this.#acks.received(cover);
    this.#outbox.wake();
  }

  /** What is done with each frame that arrives on a connection. */
  #makeParser(cover: Cover): FrameParser {
    const streams = this.#streams;
    const eliciting = () => {
      cover.eliciting = true;
    };
    return new FrameParser({
      onOpen: (id, host, port) => {
        eliciting();
        const stream = streams.announce(id, { host, port });
        if (stream === undefined) return;
        if (this.onStream === undefined) stream.refuse(STREAM_CODES.forbidden);
        else this.onStream(stream);
      },
      onOpened: (id) => {
        eliciting();
        streams.own(id)?.onOpened();
      },
      onRefused: (id, code) => {
        eliciting();
        streams.own(id)?.fail(new StreamRefusedError(code));
      },
      onDataStart: (id, offset, length) => {
        eliciting();
        streams.either(id)?.checkData(offset, length);
      },
      onData: (id, offset, bytes) => streams.get(id)?.onData(offset, bytes),
      onFin: (id, offset) => {
        eliciting();
        streams.either(id)?.onFin(offset);
      },
      onReset: (id, code) => {
        eliciting();
        streams.reset(id, code);
      },
      onCredit: (id, limit) => {
        eliciting();
        streams.either(id)?.onCredit(limit);
      },
      onAck: (connection, bytes, final) => {
        cover.quiet++;
        const of = connection === undefined ? cover : this.#acks.get(connection);
        if (of !== undefined) this.#acks.heard(of, bytes, final);
      },
      onEngine: (type, body, sequence) => {
        eliciting();
        if (sequence !== undefined) {
          if (this.#sequencesSeen.add(sequence, sequence + 1) === 0) return;
          limitGaps(this.#sequencesSeen);
        }
        this.onControl?.(cover.number, type, body);
      },
      onGoodbye: (code) => {
        eliciting();
        if (streams.error !== undefined) return;
        streams.end(new TunnelClosedError(`the peer closed the tunnel with code ${code}`));
        this.onGoodbye?.(code);
      },
    });
  }
}
