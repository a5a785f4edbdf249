import type { Clock, Timer } from "../../playback/mod.ts";

/**
 * A clock whose timers come a little late, by what `lateness` draws in milliseconds: a machine's, over one of virtual
 * time. No machine acts at the very instant that it was to, and plans hold times in steps of 1/64 ms: an attacker
 * would find those steps in a simulation, and in nothing else.
 */
export class WakingClock implements Clock {
  /** Timers of `clock`, late. */
  constructor(readonly clock: Clock, readonly lateness: () => number) {}

  /** Milliseconds. */
  now(): number {
    return this.clock.now();
  }

  /** Calls `run` soon after `time`. */
  at(time: number, run: () => void): Timer {
    return this.clock.at(time + this.lateness(), run);
  }

  /** Forgets a timer. */
  cancel(timer: Timer): void {
    this.clock.cancel(timer);
  }
}
