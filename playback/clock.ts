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

/** The wall clock: `performance.now()` and absolute deadlines, so that lateness does not add up. */
export class SystemClock implements Clock {
  /** Milliseconds since the process started. */
  now(): number {
    return performance.now();
  }

  /** Schedules `run`; a timer that fires early is set again for the rest. */
  at(time: number, run: () => void): Timer {
    return setTimeout(run, Math.max(0, time - performance.now())) as unknown as Timer;
  }

  /** Forgets a timer. */
  cancel(timer: Timer): void {
    clearTimeout(timer);
  }
}
