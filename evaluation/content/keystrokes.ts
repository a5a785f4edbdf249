import { Draws } from "../../plugins/attacks/draws.ts";
import { bootstrapMean, meanOf } from "./by_run.ts";
import type { Seen } from "./observe.ts";
import type { Trace } from "./trace.ts";

/** A correlation, with what the keys of other windows give. */
export interface Correlation {
  /** Of all windows. */
  readonly value: number;
  /** 95 % interval: of numbers by Fisher's transformation, of times by bootstrap over windows. */
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
  let sumA = 0;
  let sumB = 0;
  for (let i = 0; i < n; i++) {
    sumA += a[i]!;
    sumB += b[i]!;
  }
  const [meanA, meanB] = [sumA / n, sumB / n];
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

/** A straight line through points. */
function lineThrough(x: readonly number[], y: readonly number[]): (x: number) => number {
  const [meanX, meanY] = [meanOf(x), meanOf(y)];
  let both = 0;
  let ofX = 0;
  for (let i = 0; i < x.length; i++) {
    both += (x[i]! - meanX) * (y[i]! - meanY);
    ofX += (x[i]! - meanX) ** 2;
  }
  const slope = ofX === 0 ? 0 : both / ofX;
  return (value) => meanY + slope * (value - meanX);
}

const Z95 = 1.96;

/** Fisher's 95 % interval of a correlation of `n` pairs. */
function fisherInterval(value: number, n: number): [number, number] {
  if (n <= 3) return [-1, 1];
  const z = Math.atanh(Math.max(-0.999999, Math.min(0.999999, value)));
  const reach = Z95 / Math.sqrt(n - 3);
  return [Math.tanh(z - reach), Math.tanh(z + reach)];
}

/**
 * Which kind of packet betrays keys is learned from other runs, those with the largest correlation; how much it
 * betrays is measured on the run left out. The number of keys is what a line through the others' windows says.
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
  const truth: number[] = [];
  const said: number[] = [];
  const times: number[] = [];
  const timesByChance: number[] = [];
  for (const run of new Set(windows.map((one) => one.run))) {
    const known = windows.filter((one) => one.run !== run);
    const asked = windows.filter((one) => one.run === run);
    const keysOf = (own: readonly Window[]) => own.map(({ keys }) => sumOf(keys));
    const packetsOf = (own: readonly Window[], kind: number) =>
      own.map(({ packets }) => sumOf(packets[kind]!));
    const best = (score: (kind: number) => number) => {
      const scores = KINDS.map((_, kind) => score(kind));
      return scores.indexOf(Math.max(...scores));
    };
    const counted = best((kind) => Math.abs(correlation(keysOf(known), packetsOf(known, kind))));
    const line = lineThrough(packetsOf(known, counted), keysOf(known));
    truth.push(...keysOf(asked));
    said.push(...packetsOf(asked, counted).map(line));
    const timed = best((kind) =>
      meanOf(known.map(({ keys, packets }) => correlation(keys, packets[kind]!)))
    );
    asked.forEach(({ packets, keys }, i) => {
      times.push(correlation(keys, packets[timed]!));
      const other = asked[(i + 1) % asked.length]!;
      timesByChance.push(correlation(other.keys, packets[timed]!));
    });
  }
  const value = correlation(truth, said);
  const shifted = truth.map((_, i) => truth[(i + 1) % truth.length]!);
  return {
    count: {
      value,
      ci95: fisherInterval(value, truth.length),
      chance: correlation(shifted, said),
    },
    times: {
      value: meanOf(times),
      ci95: bootstrapMean(times, new Draws(seed)),
      chance: meanOf(timesByChance),
    },
    n: [windows.length, windows.reduce((sum, { keys }) => sum + sumOf(keys), 0)],
  };
}
