import type { Clock } from "./clock.ts";
import { encodeNumbers, FRAME } from "./frame.ts";
import { Cover, type Extent, suits } from "./tunnel_cover.ts";
import { TunnelProtocolError } from "./tunnel_error.ts";
import type { Outbox } from "./tunnel_outbox.ts";

/** After so many frames that ask for no acknowledgement, they are acknowledged all the same. */
const ACKS_UNACKNOWLEDGED = 32;

/** Bytes received on a connection that flows before they are acknowledged with nothing else to send. */
const ACK_BYTES = 131072;

/** Closed connections that are kept for their last acknowledgements. */
const MAX_CLOSED = 1024;

/**
 * Acknowledgements and loss: the connections of a tunnel, each from its opening until both ends have said and
 * heard what arrived on it. The peer acknowledges positions in a connection, on any connection. What an unclean
 * end leaves unacknowledged goes back to the outbox at once; after a clean end the peer's last acknowledgement
 * says what is missing, or a deadline decides.
 */
export class Acks {
  readonly #outbox: Outbox;
  readonly #clock: Clock;
  readonly #finalAckTimeout: number;
  readonly #covers = new Map<number, Cover>();
  readonly #closed = new Set<Cover>();
  readonly #due = new Set<Cover>();

  /** `finalAckTimeout` in milliseconds: how long the last acknowledgement of a connection is waited for. */
  constructor(outbox: Outbox, clock: Clock, finalAckTimeout: number) {
    this.#outbox = outbox;
    this.#clock = clock;
    this.#finalAckTimeout = finalAckTimeout;
  }

  // Connections.

  /** A connection that is open, or closed and not yet done with. */
  get(connection: number): Cover | undefined {
    return this.#covers.get(connection);
  }

  /** A connection begins. Throws RangeError if it exists. */
  open(connection: number): Cover {
    if (this.#covers.has(connection)) {
      throw new RangeError(`connection ${connection} exists already`);
    }
    const cover = new Cover(connection);
    this.#covers.set(connection, cover);
    return cover;
  }

  /** A connection is gone; `clean`: all that was written there should arrive. */
  close(cover: Cover, clean: boolean): void {
    cover.open = false;
    cover.bound = [];
    this.#closed.add(cover);
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
    this.#forget(cover);
    if (this.#closed.size > MAX_CLOSED) {
      const [oldest] = this.#closed;
      this.#lose(oldest!);
      oldest!.receiveDone = true;
      this.#forget(oldest!);
    }
  }

  /** Forgets every connection and deadline. */
  clear(): void {
    for (const cover of this.#covers.values()) this.#cancelTimer(cover);
    this.#covers.clear();
    this.#closed.clear();
    this.#due.clear();
  }

  #forget(cover: Cover): void {
    if (cover.open || cover.extents.length > 0 || !cover.receiveDone) return;
    this.#cancelTimer(cover);
    this.#due.delete(cover);
    this.#closed.delete(cover);
    if (this.#covers.get(cover.number) === cover) this.#covers.delete(cover.number);
  }

  #cancelTimer(cover: Cover): void {
    if (cover.timer !== undefined) this.#clock.cancel(cover.timer);
    cover.timer = undefined;
  }

  // What we acknowledge.

  /** Whether an acknowledgement waits. */
  get owed(): boolean {
    return this.#due.size > 0;
  }

  /** Whether one waits that is worth a message of its own. */
  get pressing(): boolean {
    for (const due of this.#due) {
      if (!due.open || (due.parser?.processed ?? 0) - due.ackSent >= ACK_BYTES) return true;
    }
    return false;
  }

  /** Bytes were taken in on a connection. */
  received(cover: Cover): void {
    if (cover.open && (cover.eliciting || cover.quiet >= ACKS_UNACKNOWLEDGED)) {
      this.#due.add(cover);
    }
  }

  /** Puts the acknowledgements that wait at `at` of a buffer for `cover`, its own first; returns the position after. */
  fill(cover: Cover, buffer: Uint8Array, at: number): number {
    if (this.#due.size === 0) return at;
    if (this.#due.has(cover) && cover.open) at = this.#put(cover, buffer, at, cover);
    for (const of of this.#due) {
      if (cover.midFrame || at === buffer.length) break;
      const next = this.#put(cover, buffer, at, of);
      if (next === at) break;
      at = next;
    }
    return at;
  }

  #put(cover: Cover, buffer: Uint8Array, at: number, of: Cover): number {
    if (cover.midFrame) return at;
    const bytes = of.received;
    const frame = of === cover
      ? encodeNumbers(FRAME.ackHere, bytes)
      : encodeNumbers(of.open ? FRAME.ack : FRAME.ackFinal, of.number, bytes);
    if (!suits(buffer, at, frame.length)) return at;
    of.eliciting = false;
    of.quiet = 0;
    of.ackSent = bytes;
    of.ackHeard = false;
    this.#due.delete(of);
    return cover.put(buffer, at, frame, { end: 0, kind: "ack", of, bytes });
  }

  /** The last acknowledgement of a closed connection is due if the one before does not say it all. */
  #closeReceiving(cover: Cover): void {
    const unsaid = cover.eliciting || cover.quiet > 0 || (cover.parser?.midFrame ?? false) ||
      this.#due.has(cover);
    cover.finalPosition = cover.parser?.processed ?? cover.ackSent;
    cover.parser = undefined;
    if (unsaid) {
      this.#due.add(cover);
      this.#outbox.wake();
    } else if (cover.ackHeard) cover.receiveDone = true;
  }

  // What the peer acknowledges.

  /**
   * The peer has processed `bytes` of a connection, and will no more of it if `final`. Throws
   * TunnelProtocolError for bytes that were not sent.
   */
  heard(cover: Cover, bytes: number, final: boolean): void {
    if (bytes > cover.written) {
      throw new TunnelProtocolError("an acknowledgement of bytes not sent");
    }
    for (const extent of cover.takeUpTo(bytes)) this.#acked(extent);
    if (final) {
      cover.finalAcked = true;
      this.#lose(cover);
    }
    this.#forget(cover);
  }

  #acked(extent: Extent): void {
    switch (extent.kind) {
      case "data":
        extent.stream.onAcked(extent.offset, extent.length);
        break;
      case "frame":
        this.#outbox.acked(extent.frame);
        break;
      case "ack":
        if (extent.bytes !== extent.of.ackSent) break;
        extent.of.ackHeard = true;
        if (!extent.of.open && !this.#due.has(extent.of)) {
          extent.of.receiveDone = true;
          this.#forget(extent.of);
        }
        break;
    }
  }

  #lost(extent: Extent): void {
    switch (extent.kind) {
      case "data":
        extent.stream.onLost(extent.offset, extent.length);
        break;
      case "frame":
        this.#outbox.lost(extent.frame);
        break;
      case "credit":
        if (extent.limit === extent.stream.granted) this.#outbox.creditsDue.add(extent.stream);
        break;
      case "ack":
        if (!extent.of.receiveDone && extent.bytes === extent.of.ackSent) this.#due.add(extent.of);
        break;
    }
  }

  /** Everything on a connection that was not acknowledged is sent again. */
  #lose(cover: Cover): void {
    this.#loseAfter(cover, 0);
    this.#cancelTimer(cover);
    this.#forget(cover);
  }

  /** What ends after `position` on a connection is sent again, in its order. */
  #loseAfter(cover: Cover, position: number): void {
    const lost = cover.takeAfter(position);
    if (lost.length === 0) return;
    for (let index = lost.length - 1; index >= 0; index--) this.#lost(lost[index]!);
    this.#outbox.wake();
  }
}
