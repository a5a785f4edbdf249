import { attend, earliestArrival } from "../../base/mod.ts";
import type { CloseReason, CoverListener } from "../../playback/cover_connection.ts";

/** Bytes kept for a listener that is not there yet. */
const EARLY_LIMIT = 65_536;

/** Bytes that wait for a listener. */
interface Early {
  readonly bytes: Uint8Array;
  /** When they came. */
  readonly came: number;
  /** For how many milliseconds they may have waited before that. */
  readonly doubt: number;
}

/**
 * What a connection has for its listener: bytes, kept while there is none (it is told for how long, and for
 * how long they may have waited to be reported), and the end,
 * told once and after all bytes.
 *
 * @example
 * ```ts
 * import { Inbox } from "./inbox.ts";
 * const inbox = new Inbox(() => {});
 * inbox.received(new Uint8Array([1, 2]));
 * inbox.over("fin");
 * const told: unknown[] = [];
 * inbox.listener = { onData: ({ length }) => told.push(length), onClose: (how) => told.push(how) };
 * if (told.join() !== "2,fin") throw new Error("both were kept");
 * ```
 */
export class Inbox {
  readonly #tooMuch: () => void;
  #listener: CoverListener | undefined;
  #early: Early[] = [];
  #earlyBytes = 0;
  #came: number | undefined;
  #doubt = 0;
  #ended: CloseReason | undefined;
  #told = false;

  /** `tooMuch` is called when more than 65,536 bytes wait for a listener. */
  constructor(tooMuch: () => void) {
    this.#tooMuch = tooMuch;
    attend();
  }

  /** When bytes last came, by `performance.now()`; undefined if none have. */
  get came(): number | undefined {
    return this.#came;
  }

  /** For how many milliseconds they may have waited before that. */
  get doubt(): number {
    return this.#doubt;
  }

  /** Who is told, first of what came before. */
  get listener(): CoverListener | undefined {
    return this.#listener;
  }

  set listener(listener: CoverListener | undefined) {
    this.#listener = listener;
    // A listener may hand the connection on while it is told of these bytes.
    while (listener !== undefined && this.#listener === listener && this.#early.length > 0) {
      const { bytes, came, doubt } = this.#early.shift()!;
      this.#earlyBytes -= bytes.length;
      listener.onData(bytes, performance.now() - came, doubt);
    }
    this.#tellEnd();
  }

  /** Bytes that have come: now, or at `came` (by `performance.now()`), where what was done since took time. */
  received(bytes: Uint8Array, came?: number): void {
    const now = performance.now();
    this.#came = came ?? now;
    this.#doubt = Math.max(0, this.#came - earliestArrival());
    if (this.#listener !== undefined) {
      this.#listener.onData(bytes, now - this.#came, this.#doubt);
      return;
    }
    this.#early.push({ bytes: bytes.slice(), came: this.#came, doubt: this.#doubt });
    this.#earlyBytes += bytes.length;
    if (this.#earlyBytes > EARLY_LIMIT) this.#tooMuch();
  }

  /** Gives bytes back, those that came last, for the listener that is set next. */
  unread(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    const came = this.#came ?? performance.now();
    this.#early.unshift({ bytes: bytes.slice(), came, doubt: this.#doubt });
    this.#earlyBytes += bytes.length;
  }

  /** Nothing follows; the first reason counts. */
  over(reason: CloseReason): void {
    this.#ended ??= reason;
    this.#tellEnd();
  }

  #tellEnd(): void {
    if (this.#ended === undefined || this.#told || this.#listener === undefined) return;
    this.#told = true;
    this.#listener.onClose(this.#ended);
  }
}
