import { SeededRandom, substream } from "../models/random.ts";
import type { Clock, Timer } from "./clock.ts";
import type { CoverConnection } from "./cover_connection.ts";
import type { OpenRequest } from "./schedule.ts";
import type { EngineStats } from "./stats.ts";

/** An open connection, handed to an opener by its owner. */
export interface Dialled {
  /** The connection, after the carrier's handshake. */
  readonly connection: CoverConnection;
  /** It opened as the command that was asked for, and that was our proof; not so if absent. */
  readonly command?: boolean;
  /** Bytes that go first in our stream: our proof. */
  readonly prefix?: Uint8Array;
  /** How many bytes at the head of the peer's stream are its proof; 0 if absent. */
  readonly peerPrefix?: number;
  /** Judges the peer's proof; false ends the connection. No user data is sent before it said true. */
  readonly onPeerPrefix?: (proof: Uint8Array) => boolean;
  /**
   * Encrypts our side of the tunnel on this connection, in order, byte for byte. With it user data goes from
   * the first message on, for nobody can read it who could not prove himself too; without it, user data
   * waits for the peer's proof, and a connection's first message carries none.
   */
  readonly seal?: (bytes: Uint8Array) => Uint8Array;
}

/** A connection that an opener wants. Exactly one of `done` and `failed` is called, once, at any time. */
export interface DialRequest {
  /** The connection's session. */
  readonly session: number;
  /** The connection's serial number in its session: with it, its name at both ends. */
  readonly serial: number;
  /**
   * It is to open as a command does, if it can prove itself by that: bytes on the wire of the request. Otherwise it
   * opens as usual.
   */
  readonly command?: number;
  /** It is open. The engine becomes the connection's listener within the call. */
  readonly done: (dialled: Dialled) => void;
  /** It could not be opened; the same connection is dialled again after a pause. */
  readonly failed: (error: unknown) => void;
}

/** The longest pause between dials that fail, in milliseconds. */
const MAX_BACKOFF = 30_000;

/** Dials at once: fewer than the server expects tokens ahead of those that it has seen. */
const MAX_DIALS = 64;

/** Dials at once after the first failure; each further one halves it, so that a slow server is not flooded. */
const DIALS_AFTER_FAILURE = 8;

interface Waiting extends OpenRequest {
  dialled: boolean;
  held: boolean;
}

/** What {@linkcode Dials} need. */
export interface DialsOptions {
  /** The time. */
  readonly clock: Clock;
  /** Where delays, lateness and failures are counted. */
  readonly stats: EngineStats;
  /** Pauses after failures are drawn from it. */
  readonly seed: Uint8Array;
  /** How many dials may be under way now. */
  readonly room: () => number;
  /** Opens a cover connection. */
  readonly dial: (request: DialRequest) => void;
  /** What a connection is to open with as a command does: see {@linkcode DialRequest.command}. */
  readonly command: (request: OpenRequest) => number | undefined;
  /** Called when a dial has begun; `answered` says whether it is over. */
  readonly begun: (request: OpenRequest, answered: () => boolean) => void;
  /** Takes a connection that is open; its dial began at `time`. */
  readonly opened: (request: OpenRequest, dialled: Dialled, time: number) => void;
  /** Told of each failure, with the number of failures in a row and the pause before the next dial. */
  readonly onFailure?: ((error: unknown, failures: number, pause: number) => void) | undefined;
}

/**
 * Dials the connections that a schedule opens, in their order: as many at once as there is room for, fewer
 * and after pauses when dials fail. One that failed is dialled again.
 */
export class Dials {
  readonly #options: DialsOptions;
  readonly #queue: Waiting[] = [];
  #dialling = 0;
  #failures = 0;
  #notBefore = 0;
  #timer: Timer | undefined;
  #stopped = false;

  /** Dials nothing yet. */
  constructor(options: DialsOptions) {
    this.#options = options;
  }

  /** Connections that wait or are being dialled. */
  get pending(): number {
    return this.#queue.length + this.#dialling;
  }

  /** Dials a connection, now or when limits and pauses allow. */
  open(request: OpenRequest): void {
    const waiting: Waiting = { ...request, dialled: false, held: false };
    this.#queue.push(waiting);
    this.pump();
    if (waiting.dialled) return;
    waiting.held = true;
    this.#options.stats.delayed++;
  }

  /** Dials what waits, as far as limits and pauses allow: to be called when there may be more room. */
  pump(): void {
    if (this.#timer !== undefined || this.#stopped) return;
    const { clock, room } = this.#options;
    while (this.#queue.length > 0) {
      if (this.#dialling >= Math.min(room(), this.#most)) return;
      if (clock.now() < this.#notBefore) {
        this.#timer = clock.at(this.#notBefore, () => {
          this.#timer = undefined;
          this.pump();
        });
        return;
      }
      this.#dial(this.#queue.shift()!);
    }
  }

  /** After a failure the next dial waits: half a second, doubled up to half a minute, and some chance. */
  backOff(error: unknown): void {
    const { clock, onFailure, seed } = this.#options;
    const random = new SeededRandom(substream(seed, "backoff", this.#failures));
    const pause = Math.min(MAX_BACKOFF, 500 * 2 ** this.#failures) * (0.75 + random.float() / 2);
    this.#failures = Math.min(this.#failures + 1, 16);
    this.#notBefore = Math.max(this.#notBefore, clock.now() + pause);
    onFailure?.(error, this.#failures, pause);
  }

  /** A connection went well: little by little, for after a time of failures many may wait. */
  ease(): void {
    this.#failures >>= 1;
  }

  /** The other end has been heard: failures before that count no more. */
  forgive(): void {
    this.#failures = 0;
  }

  /** Dials nothing any more; what opens from now on is handed over all the same. */
  stop(): void {
    this.#stopped = true;
    if (this.#timer !== undefined) this.#options.clock.cancel(this.#timer);
    this.#queue.length = 0;
  }

  get #most(): number {
    if (this.#failures === 0) return MAX_DIALS;
    return Math.max(1, DIALS_AFTER_FAILURE >> (this.#failures - 1));
  }

  #dial(request: Waiting): void {
    const { begun, clock, dial, opened, stats } = this.#options;
    const { planned, serial, session } = request;
    const command = this.#options.command(request);
    const time = clock.now();
    this.#dialling++;
    if (!request.dialled) {
      request.dialled = true;
      // One that was held back is not late but delayed, and counted as that.
      if (!request.held) {
        stats.lateness.add(time - planned);
        stats.latenessAtMost.add(time - planned);
      }
      request.started(time);
    }
    let answered = false;
    const answer = (run: () => void) => {
      if (answered) return;
      answered = true;
      this.#dialling--;
      run();
    };
    dial({
      session,
      serial,
      ...(command === undefined ? {} : { command }),
      done: (dialled) =>
        answer(() => {
          opened(request, dialled, time);
          this.pump();
        }),
      failed: (error) =>
        answer(() => {
          if (this.#stopped) return;
          stats.dialFailures++;
          this.#queue.unshift(request);
          this.backOff(error);
          this.pump();
        }),
    });
    begun(request, () => answered);
  }
}
