import type { Clock, Timer } from "./clock.ts";

/**
 * How long each slot's next opening is waited for where the master has not said it yet, and when it is looked for
 * again.
 *
 * @example
 * ```ts
 * import { Patience } from "./patience.ts";
 * import { VirtualClock } from "./virtual_clock.ts";
 * const clock = new VirtualClock();
 * let looked = 0;
 * const patience = new Patience(clock, 5000, () => looked++);
 * if (patience.exhausted(0, 17)) throw new Error("it was not waited for yet");
 * clock.run(5000);
 * if (looked !== 1 || !patience.exhausted(0, 17)) throw new Error("now it was");
 * ```
 */
export class Patience {
  readonly #clock: Clock;
  readonly #most: number;
  readonly #look: () => void;
  /** By slot: the opening that was not known, and since when. */
  readonly #awaited = new Map<number, { readonly number: number; readonly since: number }>();
  #next: { readonly time: number; readonly timer: Timer } | undefined;
  #stopped = false;

  /** Waits `most` milliseconds; `look` is called when openings may be known, or have been waited for. */
  constructor(clock: Clock, most: number, look: () => void) {
    this.#clock = clock;
    this.#most = most;
    this.#look = look;
  }

  /** Whether the opening of connection `number` has been waited for too long; it will be looked for again. */
  exhausted(slot: number, number: number): boolean {
    let awaited = this.#awaited.get(slot);
    if (awaited?.number !== number) {
      awaited = { number, since: this.#clock.now() };
      this.#awaited.set(slot, awaited);
    }
    const until = awaited.since + this.#most;
    if (this.#clock.now() >= until) return true;
    this.lookAt(until);
    return false;
  }

  /** A slot's opening is known. */
  known(slot: number): void {
    this.#awaited.delete(slot);
  }

  /** Looks at `time`, or before, whether openings that were not known are known by then. */
  lookAt(time: number): void {
    if (this.#stopped) return;
    if (this.#next !== undefined) {
      if (this.#next.time <= time) return;
      this.#clock.cancel(this.#next.timer);
    }
    const timer = this.#clock.at(time, () => {
      this.#next = undefined;
      this.#look();
    });
    this.#next = { time, timer };
  }

  /** Looks no more. */
  stop(): void {
    this.#stopped = true;
    if (this.#next !== undefined) this.#clock.cancel(this.#next.timer);
  }
}
