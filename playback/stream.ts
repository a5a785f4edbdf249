import { type Destination, encodeNumbers, FRAME } from "./frame.ts";
import {
  STREAM_CODES,
  StreamRefusedError,
  StreamResetError,
  TunnelProtocolError,
} from "./tunnel_error.ts";
import { Ranges } from "./tunnel_ranges.ts";
import { Ring } from "./tunnel_ring.ts";

/** Most bytes that one `read` hands over. */
const READ_SIZE = 65536;

/** Pieces that are held out of order before the peer counts as broken. */
const MAX_PIECES = 16384;

/** A buffer larger than this is given back when it is empty. */
const KEEP_SIZE = 65536;

/**
 * One user stream in a tunnel: bytes both ways, complete, in order and once, or an error.
 *
 * Either the Web Streams `readable` and `writable` are used, or the calls under them (`read`, `write`,
 * `end`, `onReadable`, `onWritable`), which are synchronous and so also run in virtual time; not both.
 */
export interface TunnelStream {
  /** Its number in the tunnel. */
  readonly id: number;
  /** Where it goes. */
  readonly destination: Destination;
  /**
   * Resolves once the peer has reached the destination. Rejects with {@linkcode StreamRefusedError} if it
   * would not, or with whatever ended the stream before. On the accepting side: after `accept`.
   */
  readonly opened: Promise<void>;
  /**
   * Resolves once both directions have ended and the peer has everything; rejects with what ended the
   * stream before that.
   */
  readonly closed: Promise<void>;
  /** Accepting side: the destination was reached. */
  accept(): void;
  /** Accepting side: it was not; `code` is one of {@linkcode STREAM_CODES}. */
  refuse(code: number): void;
  /** The peer's bytes. Cancelling it before its end resets the stream. */
  readonly readable: ReadableStream<Uint8Array>;
  /** Bytes for the peer; closing it ends this direction only. Aborting it resets the stream. */
  readonly writable: WritableStream<Uint8Array>;
  /** The next bytes; null at the end, undefined if there are none yet. Throws what ended the stream. */
  read(): Uint8Array | null | undefined;
  /** Called when `read` may have something (bytes, the end, an error) again. */
  onReadable: (() => void) | undefined;
  /** Takes as many of `bytes` as there is room for, and says how many. Throws what ended the stream. */
  write(bytes: Uint8Array): number;
  /** Called when `write` has room again after it took less than it was given, or would throw. */
  onWritable: (() => void) | undefined;
  /** Ends this direction after all that was written. */
  end(): void;
  /** Gives up both directions. Nothing happens if the stream has ended already. */
  reset(code?: number): void;
}

/** What a stream asks of its tunnel. */
export interface StreamOwner {
  /** Most bytes that one stream may hold for sending now. */
  sendLimit(): number;
  /** Data of this stream may be sent now. */
  sendable(stream: StreamState): void;
  /** The user took bytes: perhaps the peer should be given credit. */
  consumed(stream: StreamState): void;
  /** Queues a frame to be sent until acknowledged. */
  queue(bytes: Uint8Array, onAcked?: () => void): void;
  /** The stream is over: nothing of it is kept. */
  forget(stream: StreamState): void;
}

/**
 * A stream with the state that its tunnel keeps. `opening`: asked for, not answered. `unannounced`: bytes
 * came before the OPEN frame. `offered`: the user has not answered it yet.
 */
export class StreamState implements TunnelStream {
  readonly opened: Promise<void>;
  readonly closed: Promise<void>;
  onReadable: (() => void) | undefined;
  onWritable: (() => void) | undefined;
  /** Where it stands. */
  phase: "opening" | "unannounced" | "offered" | "open" | "dead";
  /** What ended it, if it ended badly. */
  error: Error | undefined;

  /** Lowest offset that the peer has not acknowledged. */
  sendBase = 0;
  /** Offset of the next byte to be sent for the first time. */
  sent = 0;
  /** End of what the user has written. */
  sendEnd = 0;
  /** The peer's credit: data up to here may be sent. */
  sendLimit: number;
  /** Ranges to be sent again. */
  readonly lost = new Ranges();

  /** Offset of the next byte for the user. */
  receiveBase = 0;
  /** End of what is there without gaps. */
  receiveNext = 0;
  /** Credit given to the peer. */
  granted: number;
  /** Credit beyond the first window, as the tunnel accounts for it. */
  extra = 0;

  readonly #owner: StreamOwner;
  readonly #sendRing: Ring;
  readonly #receiveRing: Ring;
  readonly #acked = new Ranges();
  readonly #beyond = new Ranges();
  #receiveHighest = 0;
  /** While the user is told of bytes that came in order: these, not yet in the ring. */
  #fresh: Uint8Array | undefined;
  #final = -1;
  #endWanted = false;
  #finQueued = false;
  #finAcked = false;
  #endRead = false;
  #writeShort = false;
  #resolveOpened!: () => void;
  #rejectOpened!: (error: Error) => void;
  #resolveClosed!: () => void;
  #rejectClosed!: (error: Error) => void;
  #readable: ReadableStream<Uint8Array> | undefined;
  #writable: WritableStream<Uint8Array> | undefined;

  /** `windows`: first credit, most credit, and most bytes held for sending. */
  constructor(
    readonly id: number,
    public destination: Destination,
    phase: "opening" | "unannounced",
    owner: StreamOwner,
    windows: { readonly initial: number; readonly receive: number; readonly send: number },
  ) {
    this.phase = phase;
    this.#owner = owner;
    this.sendLimit = windows.initial;
    this.granted = windows.initial;
    this.#sendRing = new Ring(windows.send);
    this.#receiveRing = new Ring(Math.max(windows.initial, windows.receive));
    this.opened = new Promise((resolve, reject) => {
      this.#resolveOpened = resolve;
      this.#rejectOpened = reject;
    });
    this.closed = new Promise((resolve, reject) => {
      this.#resolveClosed = resolve;
      this.#rejectClosed = reject;
    });
    // Whoever does not ask is not told; an unasked rejection must not end the process.
    this.opened.catch(() => {});
    this.closed.catch(() => {});
  }

  /** Bytes of memory held in buffers. */
  get memory(): number {
    return this.#sendRing.capacity + this.#receiveRing.capacity;
  }

  /** Bytes never sent yet that the peer's credit allows. */
  get freshBytes(): number {
    return Math.max(0, Math.min(this.sendEnd, this.sendLimit) - this.sent);
  }

  // What the user calls.

  accept(): void {
    if (this.phase !== "offered") return;
    this.phase = "open";
    this.#owner.queue(encodeNumbers(FRAME.opened, this.id));
    this.#resolveOpened();
  }

  refuse(code: number): void {
    if (this.phase !== "offered") return;
    this.#owner.queue(encodeNumbers(FRAME.refused, this.id, code));
    this.fail(new StreamRefusedError(code));
  }

  read(): Uint8Array | null | undefined {
    if (this.error !== undefined) throw this.error;
    const fresh = this.#fresh;
    if (fresh !== undefined) {
      this.#fresh = undefined;
      this.receiveBase += fresh.length;
      this.#owner.consumed(this);
      // A few bytes are not to keep the whole record that they came in.
      return 2 * fresh.length >= fresh.buffer.byteLength ? fresh : fresh.slice();
    }
    const length = Math.min(READ_SIZE, this.receiveNext - this.receiveBase);
    if (length > 0) {
      const bytes = new Uint8Array(length);
      this.#receiveRing.read(this.receiveBase, bytes);
      this.receiveBase += length;
      if (this.receiveBase === this.#receiveHighest && this.#receiveRing.capacity > KEEP_SIZE) {
        this.#receiveRing.release();
      }
      this.#owner.consumed(this);
      return bytes;
    }
    if (this.receiveBase !== this.#final) return undefined;
    if (!this.#endRead) {
      this.#endRead = true;
      this.#finishIfDone();
    }
    return null;
  }

  write(bytes: Uint8Array): number {
    if (this.error !== undefined) throw this.error;
    if (this.#endWanted) throw new TypeError("the stream was ended");
    const room = Math.min(this.#sendRing.limit, this.#owner.sendLimit()) -
      (this.sendEnd - this.sendBase);
    const length = Math.max(0, Math.min(bytes.length, room));
    if (length > 0) {
      this.#sendRing.write(this.sendBase, this.sendEnd, this.sendEnd, bytes.subarray(0, length));
      this.sendEnd += length;
      this.#owner.sendable(this);
    }
    this.#writeShort = length < bytes.length;
    return length;
  }

  end(): void {
    if (this.#endWanted || this.phase === "dead") return;
    this.#endWanted = true;
    this.#queueFin();
  }

  reset(code: number = STREAM_CODES.cancelled): void {
    if (this.phase === "dead") return;
    if (this.phase === "offered") return this.refuse(code);
    this.#owner.queue(encodeNumbers(FRAME.reset, this.id, code));
    this.fail(new StreamResetError(code));
  }

  get readable(): ReadableStream<Uint8Array> {
    return this.#readable ??= this.#makeReadable();
  }

  get writable(): WritableStream<Uint8Array> {
    return this.#writable ??= this.#makeWritable();
  }

  // What the tunnel calls.

  /** The peer's OPEN frame came. */
  announce(destination: Destination): void {
    this.destination = destination;
    this.phase = "offered";
  }

  /** The peer's OPENED frame came. */
  onOpened(): void {
    if (this.phase !== "opening") return;
    this.phase = "open";
    this.#resolveOpened();
  }

  /** Checks a data frame of the peer's before its bytes. */
  checkData(offset: number, length: number): void {
    const end = offset + length;
    if (end > this.granted) throw new TunnelProtocolError("data beyond the credit given");
    if (this.#final >= 0 && end > this.#final) throw new TunnelProtocolError("data after the end");
  }

  /** Takes bytes of the peer's; what is there already is dropped. */
  onData(offset: number, bytes: Uint8Array): void {
    if (offset < this.receiveNext) {
      const known = this.receiveNext - offset;
      if (known >= bytes.length) return;
      bytes = bytes.subarray(known);
      offset = this.receiveNext;
    }
    const end = offset + bytes.length;
    if (
      offset === this.receiveBase && offset === this.receiveNext && this.#beyond.count === 0 &&
      this.phase !== "unannounced" && this.onReadable !== undefined
    ) return this.#handOver(bytes);
    this.#receiveRing.write(this.receiveBase, this.#receiveHighest, offset, bytes);
    this.#receiveHighest = Math.max(this.#receiveHighest, end);
    if (offset > this.receiveNext) {
      this.#beyond.add(offset, end);
      if (this.#beyond.count > MAX_PIECES) {
        throw new TunnelProtocolError("data in too many pieces");
      }
      return;
    }
    this.receiveNext = end;
    while (this.#beyond.count > 0 && this.#beyond.firstStart! <= this.receiveNext) {
      this.receiveNext = Math.max(this.receiveNext, this.#beyond.firstEnd!);
      this.#beyond.remove(0, this.receiveNext);
    }
    if (this.phase !== "unannounced") this.onReadable?.();
  }

  /** Offers bytes to the user as they came; what is not taken at once is kept. */
  #handOver(bytes: Uint8Array): void {
    this.#fresh = bytes;
    this.receiveNext += bytes.length;
    this.#receiveHighest = Math.max(this.#receiveHighest, this.receiveNext);
    this.onReadable!();
    if (this.#fresh === undefined) return;
    this.#fresh = undefined;
    if (this.phase === "dead") return;
    this.#receiveRing.write(this.receiveBase, this.receiveBase, this.receiveBase, bytes);
  }

  /** The peer will send no more than `offset` bytes. */
  onFin(offset: number): void {
    if (this.#final >= 0 ? offset !== this.#final : offset < this.#receiveHighest) {
      throw new TunnelProtocolError("an end before what was sent");
    }
    this.#final = offset;
    this.onReadable?.();
  }

  /** The peer gave credit. */
  onCredit(limit: number): void {
    if (limit <= this.sendLimit) return;
    this.sendLimit = limit;
    this.#owner.sendable(this);
  }

  /** Whether the peer can still use credit. */
  get wantsCredit(): boolean {
    return this.phase !== "dead" && (this.#final < 0 || this.granted < this.#final);
  }

  /** Copies bytes to be sent into `target`. */
  copy(offset: number, target: Uint8Array): void {
    this.#sendRing.read(offset, target);
  }

  /** Bytes up to `offset` have been put on a connection for the first time. */
  onSent(offset: number): void {
    this.sent = offset;
    this.#queueFin();
  }

  /** The peer has these bytes. */
  onAcked(offset: number, length: number): void {
    if (this.phase === "dead") return;
    const end = offset + length;
    this.lost.remove(offset, end);
    this.#acked.add(Math.max(offset, this.sendBase), end);
    if (this.#acked.firstStart !== this.sendBase) return;
    this.sendBase = this.#acked.firstEnd!;
    this.#acked.remove(0, this.sendBase);
    if (this.sendBase === this.sendEnd && this.#sendRing.capacity > KEEP_SIZE) {
      this.#sendRing.release();
    }
    this.#finishIfDone();
    if (this.#writeShort) {
      this.#writeShort = false;
      this.onWritable?.();
    }
  }

  /** These bytes were on a connection that is gone. */
  onLost(offset: number, length: number): void {
    if (this.phase === "dead") return;
    this.lost.add(Math.max(offset, this.sendBase), offset + length);
    this.#owner.sendable(this);
  }

  /** Ends the stream badly, at this end only. */
  fail(error: Error): void {
    if (this.phase === "dead") return;
    this.phase = "dead";
    this.error = error;
    this.#sendRing.release();
    this.#receiveRing.release();
    this.lost.clear();
    this.#acked.clear();
    this.#beyond.clear();
    this.#owner.forget(this);
    this.#rejectOpened(error);
    this.#rejectClosed(error);
    this.onReadable?.();
    this.onWritable?.();
  }

  #queueFin(): void {
    if (!this.#endWanted || this.#finQueued || this.sent < this.sendEnd) return;
    this.#finQueued = true;
    this.#owner.queue(encodeNumbers(FRAME.fin, this.id, this.sendEnd), () => {
      this.#finAcked = true;
      this.#finishIfDone();
    });
  }

  #finishIfDone(): void {
    if (this.phase === "dead" || !this.#endRead || !this.#finAcked) return;
    if (this.sendBase < this.sendEnd) return;
    this.phase = "dead";
    this.#sendRing.release();
    this.#receiveRing.release();
    this.#owner.forget(this);
    this.#resolveOpened();
    this.#resolveClosed();
  }

  #makeReadable(): ReadableStream<Uint8Array> {
    let controller: ReadableStreamDefaultController<Uint8Array>;
    let wake: (() => void) | undefined;
    let over = false;
    const pump = (): boolean => {
      if (over) return true;
      try {
        const bytes = this.read();
        if (bytes === undefined) return false;
        if (bytes === null) {
          over = true;
          controller.close();
        } else controller.enqueue(bytes);
      } catch (error) {
        over = true;
        controller.error(error);
      }
      return true;
    };
    this.onReadable = () => {
      if (wake === undefined) {
        // Nobody waits: bytes stay in the window, but an error is told at once.
        if (this.error !== undefined) pump();
      } else if (pump()) {
        const resolve = wake;
        wake = undefined;
        resolve();
      }
    };
    return new ReadableStream<Uint8Array>({
      start: (given) => {
        controller = given;
      },
      pull: () => {
        if (pump()) return;
        return new Promise<void>((resolve) => {
          wake = resolve;
        });
      },
      cancel: () => {
        over = true;
        this.reset();
      },
    }, { highWaterMark: 0 });
  }

  #makeWritable(): WritableStream<Uint8Array> {
    let controller: WritableStreamDefaultController;
    let wake: (() => void) | undefined;
    this.onWritable = () => {
      if (this.error !== undefined) controller.error(this.error);
      wake?.();
    };
    return new WritableStream<Uint8Array>({
      start: (given) => {
        controller = given;
      },
      write: async (chunk) => {
        for (let at = 0; at < chunk.length;) {
          at += this.write(at === 0 ? chunk : chunk.subarray(at));
          if (at < chunk.length) {
            await new Promise<void>((resolve) => {
              wake = resolve;
            });
            wake = undefined;
          }
        }
      },
      close: () => {
        if (this.error !== undefined) throw this.error;
        this.end();
      },
      abort: () => this.reset(),
    });
  }
}
