import { setImmediate } from "node:timers";

/** A handle of a timer, to cancel it. */
export type Timer = number;

/** Time, passed in: the same engine runs on the wall clock and in virtual time. */
export interface Clock {
  /** Milliseconds on a monotonic scale, as float64. */
  now(): number;
  /** Calls `run` once when `now()` reaches `time` (an absolute deadline), or soon if it has passed. */
  at(time: number, run: () => void): Timer;
  /** Forgets a timer; one that has fired is ignored. */
  cancel(timer: Timer): void;
}

/** The longest delay that the runtime's timers take, in milliseconds. */
const MAX_DELAY = 2 ** 31 - 1;

/** Below this many milliseconds the runtime's timers are too coarse to wait. */
const COARSE = 1;

/** The wall clock: `performance.now()` and absolute deadlines, so that lateness does not add up. */
export class SystemClock implements Clock {
  readonly #native = new Map<Timer, ReturnType<typeof setTimeout> | undefined>();
  #timers = 0;

  /** Milliseconds since the process started. */
  now(): number {
    return performance.now();
  }

  /**
   * Calls `run` at `time`, never before: a timer of the runtime that fires early (they do, by up to 0.6 ms)
   * waits for the rest in turns of the event loop.
   */
  at(time: number, run: () => void): Timer {
    const timer = ++this.#timers;
    this.#native.set(timer, undefined);
    this.#arm(timer, time, run);
    return timer;
  }

  #arm(timer: Timer, time: number, run: () => void): void {
    const check = () => {
      if (!this.#native.has(timer)) return;
      if (performance.now() < time) return this.#arm(timer, time, run);
      this.#native.delete(timer);
      run();
    };
    const left = time - performance.now();
    if (left < COARSE) setImmediate(check);
    else this.#native.set(timer, setTimeout(check, Math.min(left, MAX_DELAY)));
  }

  /** Forgets a timer. */
  cancel(timer: Timer): void {
    const native = this.#native.get(timer);
    this.#native.delete(timer);
    if (native !== undefined) clearTimeout(native);
  }
}
