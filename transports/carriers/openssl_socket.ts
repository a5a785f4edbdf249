import { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import { attend, earliestArrival } from "../../base/mod.ts";
import {
  CLOSED,
  LONGEST_PLAINTEXT,
  NOTHING,
  OpenSslError,
  type TlsSession,
} from "./openssl_tls.ts";
import type { SecureSocket } from "./tls_engine.ts";

/** What OpenSSL collects of a handshake before it writes (BIO_f_buffer), in bytes. */
const HANDSHAKE_WRITE = 4096;

/** Bytes of a write whose memory is used again. */
const WORTH_KEEPING = 16_384;

/**
 * Messages of TLS itself after the handshake (changes of keys, tickets) that are taken as they come. Of more,
 * {@linkcode AT_ONCE} at a time are, each time after a rest that is twice as long as the one before, and after the
 * longest one the connection ends: they cost 20 microseconds each, anybody can send them and need not read the
 * answers, and no program that we know sends more than a few. One that has to be answered counts twice.
 */
const MESSAGES = 64, AT_ONCE = 32, LONGEST_REST = 4096;

/** Milliseconds that a peer gets to read our alert before we let go of it. */
const ALERT_PATIENCE = 1000;

/** A TLS session of OpenSSL's on a socket. Owns both: the session is freed when the socket closes. */
export class OpenSslSocket extends EventEmitter implements SecureSocket {
  /** Whether the peer has said that it ends (close_notify). */
  goodbye = false;
  /** When bytes came last, by `performance.now()`. */
  came?: number;
  readonly #raw: Socket;
  readonly #session: TlsSession;
  readonly #secure: (session: TlsSession) => void;
  readonly #eachRecord: boolean;
  #state: "handshake" | "open" | "broken" = "handshake";
  #spare: Uint8Array<ArrayBuffer> | undefined;
  #peerEnded = false;
  #ended = false;
  #fed = false;
  #reported = false;
  #closed = false;
  #paused = false;
  /** Nothing is read until a timer has run. */
  #held = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #messages = 0;
  #rest = 1;

  /**
   * Begins the handshake on `raw`, of which nothing that belongs to it has been read, or which has been given it
   * back. `secure` is called when it is over, before anything is reported. `eachRecord`: bytes of two records are
   * not reported as one.
   */
  constructor(
    raw: Socket,
    session: TlsSession,
    secure: (session: TlsSession) => void,
    eachRecord = false,
  ) {
    super();
    attend();
    this.#eachRecord = eachRecord;
    this.#raw = raw;
    this.#session = session;
    this.#secure = secure;
    raw.on("data", (bytes: Uint8Array<ArrayBuffer>) => this.#received(bytes));
    raw.on("end", () => this.#peerEnd());
    raw.on("error", (error) => this.#report(error));
    const closed = () => {
      session.free();
      clearTimeout(this.#timer);
      if (this.#closed) return;
      this.#closed = true;
      this.emit("close");
    };
    raw.on("close", closed);
    // A listener is told of a failure even if that comes at once.
    queueMicrotask(() => {
      // Who has closed already says so no more.
      if (raw.destroyed) closed();
      else if (!this.#fed) this.#advance(new Uint8Array());
    });
    raw.resume();
  }

  /** Reads no further. */
  pause(): void {
    this.#paused = true;
    this.#flow();
  }

  /** Reads on. */
  resume(): void {
    this.#paused = false;
    this.#flow();
  }

  #flow(): void {
    if (this.#paused || this.#held) this.#raw.pause();
    else this.#raw.resume();
  }

  /** Reads nothing for a while, and goes on with what is left; gives the peer up if that was done too often. */
  #hold(): void {
    if (this.#rest > LONGEST_REST) return this.#fail(new OpenSslError("too many changes of keys"));
    this.#held = true;
    this.#flow();
    this.#after(this.#rest, () => {
      this.#held = false;
      this.#advance(new Uint8Array(LONGEST_PLAINTEXT));
      this.#flow();
    });
    this.#rest *= 2;
  }

  /** Whether something can still be sent. */
  get writable(): boolean {
    return this.#state === "open" && !this.#ended && this.#raw.writable && !this.#session.freed;
  }

  /** Sends one record, or one for each 16,384 bytes; `sent` is called when the operating system has taken it. */
  write(payload: Uint8Array, sent: () => void): void {
    if (!this.writable) return;
    try {
      this.#session.write(payload as Uint8Array<ArrayBuffer>);
    } catch (error) {
      return this.#fail(error);
    }
    const spare = this.#spare;
    this.#spare = undefined;
    const bytes = this.#session.take(spare);
    if (bytes === undefined) return;
    this.#raw.write(bytes, () => {
      // The system has it: the next write needs no memory of its own.
      if (bytes.length >= WORTH_KEEPING) this.#spare = bytes;
      sent();
    });
  }

  /** Says that nothing follows, by close_notify and FIN. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#state === "open") this.#session.shutdown();
    const bytes = this.#session.take();
    if (bytes === undefined) this.#raw.end();
    else this.#raw.end(bytes);
  }

  /** Ends by FIN alone. */
  leave(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#raw.end();
  }

  /** Lets go of both without a word. */
  destroy(): void {
    this.#state = "broken";
    this.#session.free();
    this.#raw.destroy();
  }

  #received(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.#state === "broken" || this.#peerEnded) return;
    this.#fed = true;
    this.came = performance.now();
    // Before the handshake's work, which others may wait for.
    earliestArrival();
    this.#session.feed(bytes);
    if (!this.#held) this.#advance(bytes);
  }

  /** Goes on with what has come. `room`, which was it, is overwritten by what is decrypted. */
  #advance(room: Uint8Array<ArrayBuffer>): void {
    if (this.#state === "broken") return;
    const session = this.#session;
    try {
      if (this.#state === "handshake") {
        const over = session.handshake();
        this.#send(over);
        if (!over) return;
        this.#state = "open";
        this.#secure(session);
      }
    } catch (error) {
      return this.#fail(error);
    }
    // A record that comes in pieces is whole in its own room only.
    if (this.#eachRecord) room = new Uint8Array(LONGEST_PLAINTEXT);
    let at = 0;
    // What was decrypted is told at once, however many records it was in.
    const tell = () => {
      const told = room.subarray(0, at);
      at = 0;
      if (told.length > 0) this.emit("data", told);
    };
    for (;;) {
      let length: number;
      try {
        length = session.read(room.subarray(at));
      } catch (error) {
        tell();
        return this.#fail(error);
      }
      if (length === CLOSED) {
        this.goodbye = true;
        tell();
        return this.#peerEnd();
      }
      if (length === NOTHING) {
        if (!session.waiting) break;
        if (this.#isTooMuch()) {
          tell();
          this.#send(false);
          return this.#hold();
        }
        continue;
      }
      at += length;
      if (at < room.length && !this.#eachRecord) continue;
      tell();
      room = new Uint8Array(LONGEST_PLAINTEXT);
    }
    tell();
    // An answer to a change of keys.
    if (this.#send(false) && this.#isTooMuch()) this.#hold();
  }

  /** Calls `run` then, if the socket has not closed before. */
  #after(milliseconds: number, run: () => void): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(run, milliseconds);
    this.#timer.unref();
  }

  /** Counts a message of TLS itself, and says whether the next one has to wait. */
  #isTooMuch(): boolean {
    this.#messages++;
    return this.#messages >= MESSAGES && this.#messages % AT_ONCE === 0;
  }

  /**
   * Sends what OpenSSL has to say by itself, in the pieces in which it would write it to a socket. Returns whether
   * there was something.
   */
  #send(separately: boolean): boolean {
    const bytes = this.#session.take();
    if (bytes === undefined || !this.#raw.writable) return false;
    let at = 0;
    while (at < bytes.length) {
      // A server's tickets leave one by one: after each it waits for the next state.
      const length = separately && this.#session.isServer
        ? 5 + bytes[at + 3]! * 256 + bytes[at + 4]!
        : HANDSHAKE_WRITE;
      this.#raw.write(bytes.subarray(at, at + length));
      at += length;
    }
    return true;
  }

  #peerEnd(): void {
    if (this.#peerEnded || this.#state === "broken") return;
    this.#peerEnded = true;
    this.emit("end");
  }

  #report(error: Error): void {
    if (this.#reported || this.#closed) return;
    this.#reported = true;
    this.#state = "broken";
    this.#session.free();
    if (this.listenerCount("error") > 0) this.emit("error", error);
  }

  /** Sends the alert, if there is one, and reports. */
  #fail(error: unknown): void {
    if (!(error instanceof OpenSslError)) throw error;
    if (this.#state === "broken") return;
    this.#state = "broken";
    const alert = this.#session.take();
    this.#session.free();
    const report = () => this.#report(error);
    if (alert === undefined || !this.#raw.writable) queueMicrotask(report);
    else {
      this.#raw.write(alert, report);
      this.#after(ALERT_PATIENCE, report);
    }
  }
}
