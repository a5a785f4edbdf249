import type { Clock, Timer } from "./clock.ts";

interface Entry {
  readonly time: number;
  readonly order: Timer;
  run: (() => void) | undefined;
}

/** Earlier first; of equals, the one that was set first. */
function before(a: Entry, b: Entry): boolean {
  return a.time < b.time || (a.time === b.time && a.order < b.order);
}

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
  #orders = 0;
  readonly #heap: Entry[] = [];
  readonly #entries = new Map<Timer, Entry>();

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
    const entry: Entry = { time: Math.max(time, this.#now), order: ++this.#orders, run };
    this.#entries.set(entry.order, entry);
    const heap = this.#heap;
    let at = heap.length;
    heap.push(entry);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(entry, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = entry;
    return entry.order;
  }

  /** Forgets a timer. */
  cancel(timer: Timer): void {
    const entry = this.#entries.get(timer);
    if (entry === undefined) return;
    entry.run = undefined;
    this.#entries.delete(timer);
  }

  #pop(): Entry {
    const heap = this.#heap;
    const first = heap[0]!;
    const last = heap.pop()!;
    if (heap.length > 0) {
      let at = 0;
      for (;;) {
        let child = 2 * at + 1;
        if (child >= heap.length) break;
        if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
        if (!before(heap[child]!, last)) break;
        heap[at] = heap[child]!;
        at = child;
      }
      heap[at] = last;
    }
    return first;
  }

  /** How many timers are set. */
  get pending(): number {
    return this.#entries.size;
  }

  /**
   * Runs every timer up to and including the time `until` and leaves the clock there; without `until`,
   * runs until no timer is set. `stop` is asked before each timer: true ends the run where it is.
   */
  run(until = Infinity, stop: () => boolean = () => false): void {
    for (;;) {
      if (stop()) return;
      const next = this.#heap[0];
      if (next === undefined || next.time > until) break;
      this.#pop();
      if (next.run === undefined) continue;
      this.#entries.delete(next.order);
      this.#now = next.time;
      next.run();
    }
    if (until !== Infinity && until > this.#now) this.#now = until;
  }
}
