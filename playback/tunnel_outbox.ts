import type { StreamState } from "./stream.ts";
import type { Cover, QueuedFrame } from "./tunnel_cover.ts";

/**
 * What a tunnel has to send, whichever connection will take it, and who is told when there is something:
 * the engine when users begin to want something (`demand`), connections that flow whenever they might be filled.
 *
 * Frames are in it until they are put somewhere, and come back if they are lost there; `unacked` counts them
 * all the while.
 */
export class Outbox {
  /** The engine's frames, next one first. */
  readonly engineFrames: QueuedFrame[] = [];
  /** Frames of streams, next one first. */
  readonly streamFrames: QueuedFrame[] = [];
  /** Streams with bytes to be sent again; next in turn first. */
  readonly again = new Set<StreamState>();
  /** Streams with new bytes; next in turn first. */
  readonly ready = new Set<StreamState>();
  /** Streams whose peer is due credit. */
  readonly creditsDue = new Set<StreamState>();

  /** Open connections that are filled freely, and what wakes them. */
  readonly #flowing = new Map<Cover, () => void>();
  #unacked = 0;
  #held = false;
  #ended = false;

  /** `demand` is called when something of users' waits where nothing did, and for the first stream. */
  constructor(readonly demand: () => void) {}

  /** Whether nothing of users' waits. */
  get idle(): boolean {
    return this.ready.size === 0 && this.again.size === 0 && this.streamFrames.length === 0;
  }

  /** Bytes of users' that wait. */
  get backlog(): number {
    let sum = 0;
    for (const stream of this.again) sum += stream.lost.total;
    for (const stream of this.ready) sum += stream.freshBytes;
    for (const frame of this.streamFrames) sum += frame.bytes.length;
    return sum;
  }

  /** Frames that wait or have not been acknowledged. */
  get unacked(): number {
    return this.#unacked;
  }

  // Frames.

  /** Queues a frame of the engine's. */
  queueEngine(bytes: Uint8Array): void {
    this.#unacked++;
    this.engineFrames.push({ bytes, onAcked: undefined, engine: true });
    this.wake();
  }

  /** Queues a frame of a stream's. */
  queueStream(bytes: Uint8Array, onAcked?: () => void): void {
    const idle = this.idle;
    this.#unacked++;
    this.streamFrames.push({ bytes, onAcked, engine: false });
    if (idle) this.demand();
    this.wake();
  }

  /** The peer has a frame. */
  acked(frame: QueuedFrame): void {
    this.#unacked--;
    frame.onAcked?.();
  }

  /** A frame is to be sent again, ahead of others. */
  lost(frame: QueuedFrame): void {
    const idle = this.idle;
    if (frame.engine) this.engineFrames.unshift(frame);
    else if (!this.#ended) this.streamFrames.unshift(frame);
    else this.#unacked--;
    if (idle && !this.idle) this.demand();
  }

  // Streams.

  /** A stream may have data to be sent. */
  sendable(stream: StreamState): void {
    const idle = this.idle;
    if (stream.lost.count > 0) this.again.add(stream);
    if (stream.freshBytes > 0) this.ready.add(stream);
    if (idle && !this.idle) this.demand();
    this.wake();
  }

  /** A stream's peer is due credit. */
  oweCredit(stream: StreamState): void {
    this.creditsDue.add(stream);
    this.wake();
  }

  /** The stream whose turn it is to put data: those that lost some go first. */
  nextInTurn(): StreamState | undefined {
    for (const stream of this.again) {
      if (stream.lost.count > 0) return stream;
      this.again.delete(stream);
    }
    for (const stream of this.ready) {
      if (stream.freshBytes > 0) return stream;
      this.ready.delete(stream);
    }
    return undefined;
  }

  /** Nothing is sent for a stream any more. */
  remove(stream: StreamState): void {
    this.ready.delete(stream);
    this.again.delete(stream);
    this.creditsDue.delete(stream);
  }

  // Connections that flow.

  /** Whether any connection flows. */
  get flows(): boolean {
    return this.#flowing.size > 0;
  }

  /** From now on `wake` is called when there may be something for a connection. */
  flow(cover: Cover, wake: () => void): void {
    this.#flowing.set(cover, wake);
  }

  /** A connection is gone. */
  unflow(cover: Cover): void {
    this.#flowing.delete(cover);
  }

  /** Something may be sent now: connections that flow take it. */
  wake(): void {
    if (this.#held) return;
    for (const wake of this.#flowing.values()) wake();
  }

  /** While bytes are taken in nobody is woken: at the end it is one call of {@linkcode Outbox.wake}. */
  hold(held: boolean): void {
    this.#held = held;
  }

  // The end.

  /** The tunnel ends: frames of streams that are lost from now on are not sent again. */
  end(): void {
    this.#ended = true;
  }

  /** Forgets the frames of streams that wait. */
  dropStreamFrames(): void {
    this.#unacked -= this.streamFrames.length;
    this.streamFrames.length = 0;
  }

  /** Forgets every frame and connection. */
  clear(): void {
    this.engineFrames.length = 0;
    this.streamFrames.length = 0;
    this.#unacked = 0;
    this.#flowing.clear();
  }
}
