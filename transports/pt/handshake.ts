import type { Socket } from "node:net";
import { DeadlineError, DialError, PtError, reasonOf, socksReplyOf } from "./errors.ts";
import type { Timers } from "./timers.ts";

/**
 * One side of a handshake without its socket: it yields bytes to be sent, or a number of bytes (at least 1)
 * that it wants and is then given exactly; it returns what was agreed, or throws.
 */
export type Handshake<T> = Generator<Uint8Array | number, T, Uint8Array>;

/** Waits for exactly `count` bytes; none if that is 0. */
export function* take(count: number): Handshake<Uint8Array> {
  return count === 0 ? NONE : yield count;
}

const NONE = new Uint8Array();

/** What came of some bytes. */
export interface HandshakeStep<T> {
  /** Bytes to send now, in pieces. */
  readonly send: readonly Uint8Array[];
  /** The result, when it is over, and the bytes that came behind it. */
  readonly done?: { readonly value: T; readonly rest: Uint8Array };
  /** What it threw, when it failed; `send` is still to be sent. */
  readonly error?: unknown;
}

/** Drives a handshake with bytes however they are cut. */
export class HandshakeDriver<T> {
  readonly #handshake: Handshake<T>;
  #held: Uint8Array = NONE;
  #want = 0;
  #over = false;

  /** Nothing runs before {@linkcode start}. */
  constructor(handshake: Handshake<T>) {
    this.#handshake = handshake;
  }

  /** Whether it has returned or thrown. */
  get over(): boolean {
    return this.#over;
  }

  /** Runs up to the first bytes that it waits for. */
  start(): HandshakeStep<T> {
    return this.#run(NONE);
  }

  /** Takes bytes of the peer's; may not be called after `done` or `error`. */
  push(bytes: Uint8Array): HandshakeStep<T> {
    if (this.#over) throw new PtError("the handshake is over");
    this.#held = concat(this.#held, bytes);
    if (this.#held.length < this.#want) return { send: [] };
    return this.#run(this.#shift(this.#want));
  }

  #shift(count: number): Uint8Array {
    const bytes = this.#held.subarray(0, count);
    this.#held = this.#held.subarray(count);
    return bytes;
  }

  #run(input: Uint8Array): HandshakeStep<T> {
    const send: Uint8Array[] = [];
    try {
      for (let given = input;;) {
        const { done, value } = this.#handshake.next(given);
        given = NONE;
        if (done) {
          this.#over = true;
          return { send, done: { value, rest: this.#held } };
        }
        if (typeof value !== "number") {
          send.push(value);
        } else if (this.#held.length >= value) {
          given = this.#shift(value);
        } else {
          this.#want = value;
          return { send };
        }
      }
    } catch (error) {
      this.#over = true;
      return { send, error };
    }
  }
}

/** Joins pieces of bytes. */
export function concat(...pieces: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

/** How a handshake is carried out on a socket. */
export interface HandshakeOptions {
  /** Milliseconds that it may take. */
  readonly deadline: number;
  /** What it is, for error messages. */
  readonly what: string;
  /** Time. */
  readonly timers: Timers;
  /** Ends it early, and the socket with it. */
  readonly signal?: AbortSignal;
}

/**
 * Carries out a handshake on a socket, which is left paused, with the bytes that came behind the handshake
 * still to be read. A failed one leaves the socket paused too: the caller says goodbye or destroys it.
 *
 * @throws {DeadlineError} after the deadline.
 * @throws {DialError} if the socket closes before the end.
 * @throws whatever the handshake throws, and the reason of `signal`.
 */
export function performHandshake<T>(
  socket: Socket,
  handshake: Handshake<T>,
  { deadline, what, timers, signal }: HandshakeOptions,
): Promise<T> {
  const driver = new HandshakeDriver(handshake);
  return new Promise<T>((resolve, reject) => {
    const finish = () => {
      cancel();
      socket.pause();
      socket.removeListener("data", onData);
      socket.removeListener("end", onEnd);
      socket.removeListener("error", onError);
      socket.removeListener("close", onEnd);
      signal?.removeEventListener("abort", onAbort);
      socket.on("error", () => {});
    };
    const fail = (error: unknown) => {
      finish();
      reject(error);
    };
    const take = ({ send, done, error }: HandshakeStep<T>) => {
      if (send.length > 0) socket.write(concat(...send));
      if (error !== undefined) return fail(error);
      if (done === undefined) return;
      finish();
      if (done.rest.length > 0) socket.unshift(done.rest);
      resolve(done.value);
    };
    const onData = (bytes: Uint8Array) => take(driver.push(bytes));
    const onEnd = () => fail(new DialError(`${what}: the connection closed`, 1));
    const onError = (error: unknown) =>
      fail(new DialError(`${what}: ${reasonOf(error)}`, socksReplyOf(error), { cause: error }));
    const onAbort = () => fail(signal!.reason);
    const cancel = timers.after(deadline, () => fail(new DeadlineError(what, deadline)));
    if (signal?.aborted) return onAbort();
    signal?.addEventListener("abort", onAbort);
    socket.on("data", onData);
    socket.on("end", onEnd);
    socket.on("error", onError);
    socket.on("close", onEnd);
    take(driver.start());
    if (!driver.over) socket.resume();
  });
}
