/** Time, passed in. */
export interface Timers {
  /** Calls `run` once in `milliseconds`, unless what it returns is called before. */
  after(milliseconds: number, run: () => void): () => void;
}

/** The runtime's own timers. */
export const systemTimers: Timers = {
  after: (milliseconds, run) => {
    const timer = setTimeout(run, milliseconds);
    return () => clearTimeout(timer);
  },
};
