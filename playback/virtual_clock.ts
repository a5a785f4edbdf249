import { EventQueue } from "../base/event_queue.ts";
import type { Clock, Timer } from "./clock.ts";

/**
 * A clock that jumps from timer to timer: an hour of cover traffic takes as long as its work. Timers of
 * the same time run in the order in which they were set, so that a run can be repeated exactly.
 *
 * @example
 * ```ts
 * import { VirtualClock } from "./virtual_clock.ts";
 * const clock = new VirtualClock();
 * const seen: number[] = [];
 * clock.at(2000, () => seen.push(clock.now()));
 * clock.at(1000, () => seen.push(clock.now()));
 * clock.run(3600_000);
 * if (seen.join() !== "1000,2000" || clock.now() !== 3600_000) throw new Error("time passed wrongly");
 * ```
 */
export class VirtualClock implements Clock {
  #now: number;
  #timers = 0;
  readonly #queue = new EventQueue<Timer>();
  /** Timers that are set; one that was forgotten is still in the queue. */
  readonly #runs = new Map<Timer, () => void>();

  /** A clock that shows `now` milliseconds. */
  constructor(now = 0) {
    this.#now = now;
  }

  /** Milliseconds. */
  now(): number {
    return this.#now;
  }

  /** Calls `run` when the clock gets to `time`; a time that has passed counts as now. */
  at(time: number, run: () => void): Timer {
    if (Number.isNaN(time)) throw new RangeError("a timer needs a time");
    const timer = ++this.#timers;
    this.#runs.set(timer, run);
    this.#queue.add(Math.max(time, this.#now), timer);
    return timer;
  }

  /** Forgets a timer. */
  cancel(timer: Timer): void {
    this.#runs.delete(timer);
  }

  /** How many timers are set. */
  get pending(): number {
    return this.#runs.size;
  }

  /**
   * Runs every timer up to and including the time `until` and leaves the clock there; without `until`,
   * runs until no timer is set. `stop` is asked before each timer: true ends the run where it is.
   */
  run(until = Infinity, stop: () => boolean = () => false): void {
    for (;;) {
      if (stop()) return;
      if (this.#queue.size === 0 || this.#queue.next > until) break;
      const { time, what: timer } = this.#queue.take()!;
      const run = this.#runs.get(timer);
      // A timer that was forgotten does not move the clock.
      if (run === undefined) continue;
      this.#runs.delete(timer);
      this.#now = time;
      run();
    }
    if (until !== Infinity && until > this.#now) this.#now = until;
  }
}
