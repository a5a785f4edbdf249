import { Draws } from "../../plugins/attacks/draws.ts";
import { bootstrapMean, meanOf } from "./by_run.ts";
import type { Seen } from "./observe.ts";
import type { Trace } from "./trace.ts";

/** A correlation, the mean over runs, with what the keys of other windows give. */
export interface Correlation {
  /** Mean over runs. */
  readonly value: number;
  /** 95 % interval by bootstrap over runs. */
  readonly ci95: readonly [number, number];
  /** The same with the keys of another window of the run: what it is by chance. */
  readonly chance: number;
}

/** What an observer recovers of the keys that were pressed. */
export interface Keystrokes {
  /** Of the number of keys in a window with the observer's count. */
  readonly count: Correlation;
  /** Of the times of keys, in bins, with the observer's packets. */
  readonly times: Correlation;
  /** Windows with typing, and keys in all. */
  readonly n: readonly [number, number];
}

/** Milliseconds of a bin: two keys rarely fall into one. */
const BIN = 50;
/** Kinds of packets that the attacker may count: the client's of at most so many bytes and above the one before. */
const KINDS = [0, 40, 64, 100, 160, 300, 600, 1000, 1447, Infinity];

/** The client's packets of each kind in each bin, then those of all kinds. */
function binned({ length, size, time }: Trace, bins: number): Float64Array[] {
  const found = Array.from({ length: KINDS.length }, () => new Float64Array(bins));
  const all = found[KINDS.length - 1]!;
  for (let i = 0; i < length; i++) {
    const bytes = size[i]!;
    if (bytes < 0) continue;
    const bin = Math.min(bins - 1, Math.floor(time[i]! / BIN));
    let kind = 1;
    while (bytes > KINDS[kind]!) kind++;
    found[kind - 1]![bin]!++;
    all[bin]!++;
  }
  return found;
}

/** Pearson's correlation; 0 where one of the two does not vary. */
export function correlation(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const n = a.length;
  let meanA = 0;
  let meanB = 0;
  for (let i = 0; i < n; i++) {
    meanA += a[i]! / n;
    meanB += b[i]! / n;
  }
  let both = 0;
  let ofA = 0;
  let ofB = 0;
  for (let i = 0; i < n; i++) {
    const x = a[i]! - meanA;
    const y = b[i]! - meanB;
    both += x * y;
    ofA += x * x;
    ofB += y * y;
  }
  return ofA <= 0 || ofB <= 0 ? 0 : both / Math.sqrt(ofA * ofB);
}

interface Window {
  readonly run: number;
  readonly keys: Float64Array;
  readonly packets: readonly Float64Array[];
}

function sumOf(values: Float64Array): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum;
}

/**
 * Which kind of packet betrays keys is learned from other runs, those with the largest correlation; how much it
 * betrays is measured on the run left out.
 */
export function recoverKeystrokes(
  seen: readonly Seen[],
  runs: ArrayLike<number>,
  window: number,
  seed: number,
): Keystrokes {
  const bins = Math.ceil(window / BIN);
  const windows = seen.map(({ keys, trace }, i): Window => {
    const series = new Float64Array(bins);
    for (const time of keys) if (time < window) series[Math.floor(time / BIN)]!++;
    return { run: runs[i]!, keys: series, packets: binned(trace, bins) };
  });
  const numbers = [...new Set(windows.map(({ run }) => run))];
  const ofTimes = (own: readonly Window[], kind: number, shift: number) =>
    meanOf(
      own.map(({ packets }, i) => correlation(own[(i + shift) % own.length]!.keys, packets[kind]!)),
    );
  const ofCounts = (own: readonly Window[], kind: number, shift: number) =>
    correlation(
      own.map((_, i) => sumOf(own[(i + shift) % own.length]!.keys)),
      own.map(({ packets }) => sumOf(packets[kind]!)),
    );
  const judged = (of: (own: readonly Window[], kind: number, shift: number) => number) => {
    const inRun = (run: number) => windows.filter((one) => one.run === run);
    const found = numbers.map((run) => {
      const learned = KINDS.map((_, kind) =>
        meanOf(numbers.filter((other) => other !== run).map((other) => of(inRun(other), kind, 0)))
      );
      const kind = learned.indexOf(Math.max(...learned));
      return { value: of(inRun(run), kind, 0), chance: of(inRun(run), kind, 1) };
    });
    const values = found.map(({ value }) => value);
    return {
      value: meanOf(values),
      ci95: bootstrapMean(values, new Draws(seed)),
      chance: meanOf(found.map(({ chance }) => chance)),
    };
  };
  return {
    count: judged(ofCounts),
    times: judged(ofTimes),
    n: [windows.length, windows.reduce((sum, { keys }) => sum + sumOf(keys), 0)],
  };
}
