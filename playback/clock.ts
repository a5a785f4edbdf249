import { callAt } from "../base/precise_timer.ts";

/** A handle of a timer, to cancel it. */
export type Timer = number;

/** Time, passed in: the same engine runs on the wall clock and in virtual time. */
export interface Clock {
  /** Milliseconds on a monotonic scale, as float64. */
  now(): number;
  /**
   * Calls `run` once when `now()` reaches `time` (an absolute deadline), or soon if it has passed. `coarse`: some
   * milliseconds later will do, and cost less.
   */
  at(time: number, run: () => void, coarse?: boolean): Timer;
  /** Forgets a timer; one that has fired is ignored. */
  cancel(timer: Timer): void;
}

/** The longest delay that the runtime's timers take, in milliseconds. */
const MAX_DELAY = 2 ** 31 - 1;

/** The wall clock: `performance.now()` and absolute deadlines, so that lateness does not add up. */
export class SystemClock implements Clock {
  readonly #cancel = new Map<Timer, () => void>();
  #timers = 0;

  /** Milliseconds since the process started. */
  now(): number {
    return performance.now();
  }

  /** Calls `run` at `time`, never before: see {@linkcode callAt}; or by a timer of the runtime. */
  at(time: number, run: () => void, coarse = false): Timer {
    const timer = ++this.#timers;
    if (coarse) {
      const delay = Math.min(Math.max(0, Math.ceil(time - performance.now())), MAX_DELAY);
      const handle = setTimeout(() => {
        this.#cancel.delete(timer);
        run();
      }, delay);
      this.#cancel.set(timer, () => clearTimeout(handle));
      return timer;
    }
    this.#cancel.set(
      timer,
      callAt(time, () => {
        this.#cancel.delete(timer);
        run();
      }),
    );
    return timer;
  }

  /** Forgets a timer. */
  cancel(timer: Timer): void {
    this.#cancel.get(timer)?.();
    this.#cancel.delete(timer);
  }
}
