/** Names of what {@linkcode PacketStatistics} says of a list of numbers, in the order of the values. */
export const STATISTICS: readonly string[] = [
  "min",
  "max",
  "mean",
  "mad",
  "std",
  "variance",
  "skew",
  "kurtosis",
  "p10",
  "p20",
  "p30",
  "p40",
  "p50",
  "p60",
  "p70",
  "p80",
  "p90",
  "count",
];

/**
 * AppScanner's eighteen statistics (Taylor et al., TIFS 2018, section IV) of a list of numbers that is
 * collected one by one: least, greatest, mean, median absolute deviation, standard deviation, variance,
 * skewness, excess kurtosis, the percentiles 10 to 90 by tens, and the count. Deviation and variance are a
 * sample's (n - 1), skewness and kurtosis the unbiased G1 and G2, percentiles interpolate linearly, as in
 * pandas. What too few numbers do not have is 0. Room grows with the longest list; nothing else is
 * allocated for a number.
 *
 * @example
 * ```ts
 * import { PacketStatistics, STATISTICS } from "./packet_statistics.ts";
 * const list = new PacketStatistics();
 * for (const length of [100, 300, 200]) list.add(length);
 * const values = new Float64Array(STATISTICS.length);
 * list.write(values, 0);
 * if (values[STATISTICS.indexOf("p50")] !== 200) throw new Error("the median");
 * ```
 */
export class PacketStatistics {
  #values: Float64Array;
  #count = 0;

  /** Makes room for `capacity` numbers to begin with. */
  constructor(capacity = 256) {
    this.#values = new Float64Array(capacity);
  }

  /** How many numbers there are. */
  get count(): number {
    return this.#count;
  }

  /** Forgets all numbers. */
  clear(): void {
    this.#count = 0;
  }

  /** Adds a number. */
  add(value: number): void {
    if (this.#count === this.#values.length) {
      const larger = new Float64Array(2 * this.#count);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[this.#count++] = value;
  }

  /** Writes min, max, mean and sample standard deviation to `into` at `at`; returns the place after. */
  writeFew(into: Float64Array, at: number): number {
    const values = this.#values;
    const n = this.#count;
    let least = n === 0 ? 0 : Infinity;
    let most = n === 0 ? 0 : -Infinity;
    let sum = 0;
    for (let i = 0; i < n; i++) {
      const value = values[i]!;
      if (value < least) least = value;
      if (value > most) most = value;
      sum += value;
    }
    const mean = n === 0 ? 0 : sum / n;
    let squares = 0;
    for (let i = 0; i < n; i++) squares += (values[i]! - mean) ** 2;
    into[at] = least;
    into[at + 1] = most;
    into[at + 2] = mean;
    into[at + 3] = n < 2 ? 0 : Math.sqrt(squares / (n - 1));
    return at + 4;
  }

  /** Writes all of {@linkcode STATISTICS} to `into` at `at`; returns the place after. Reorders the list. */
  write(into: Float64Array, at: number): number {
    const n = this.#count;
    const end = at + STATISTICS.length;
    if (n === 0) {
      into.fill(0, at, end);
      return end;
    }
    const values = this.#values.subarray(0, n).sort();
    let sum = 0;
    for (let i = 0; i < n; i++) sum += values[i]!;
    const mean = sum / n;
    let squares = 0;
    for (let i = 0; i < n; i++) squares += (values[i]! - mean) ** 2;
    const variance = n < 2 ? 0 : squares / (n - 1);
    const deviation = Math.sqrt(variance);
    // Rounding alone makes the squares of equal numbers a little more than 0; they have no shape.
    const varies = values[0]! < values[n - 1]! && deviation > 0;
    let cubes = 0;
    let fourths = 0;
    for (let i = 0; varies && i < n; i++) {
      const off = (values[i]! - mean) / deviation;
      cubes += off * off * off;
      fourths += off * off * off * off;
    }
    into[at] = values[0]!;
    into[at + 1] = values[n - 1]!;
    into[at + 2] = mean;
    into[at + 4] = varies ? deviation : 0;
    into[at + 5] = varies ? variance : 0;
    into[at + 6] = varies && n > 2 ? n / ((n - 1) * (n - 2)) * cubes : 0;
    into[at + 7] = varies && n > 3
      ? (n * (n + 1) / (n - 1) * fourths - 3 * (n - 1) ** 2) / ((n - 2) * (n - 3))
      : 0;
    for (let tenth = 1; tenth <= 9; tenth++) into[at + 7 + tenth] = percentile(values, tenth / 10);
    into[at + 17] = n;
    into[at + 3] = medianDeviation(values);
    return end;
  }
}

/** The value below which a share of sorted numbers lies, interpolated linearly between two of them. */
export function percentile(sorted: Float64Array, share: number): number {
  const place = share * (sorted.length - 1);
  const below = Math.floor(place);
  const low = sorted[below]!;
  const high = sorted[Math.min(below + 1, sorted.length - 1)]!;
  return low + (high - low) * (place - below);
}

/**
 * Median of the distances from the median, of sorted numbers: those below it and those above it are two
 * sorted lists of distances, which are merged as far as their middle.
 */
function medianDeviation(sorted: Float64Array): number {
  const n = sorted.length;
  const median = percentile(sorted, 0.5);
  let down = (n - 1) >>> 1;
  let up = down + 1;
  let before = 0;
  let now = 0;
  for (let taken = 0; taken <= n >>> 1; taken++) {
    before = now;
    const below = down >= 0 ? median - sorted[down]! : Infinity;
    const above = up < n ? sorted[up]! - median : Infinity;
    if (below <= above) {
      now = below;
      down--;
    } else {
      now = above;
      up++;
    }
  }
  return n % 2 === 1 ? now : (before + now) / 2;
}
