const BUCKETS_PER_OCTAVE = 16;
const SMALLEST = 2 ** -10;
const OCTAVES = 32;

/** A {@linkcode Lateness} in numbers: milliseconds. */
export interface LatenessSummary {
  /** How many there were. */
  readonly count: number;
  /** Half were no later. */
  readonly median: number;
  /** 99 of 100 were no later. */
  readonly p99: number;
  /** The latest. */
  readonly max: number;
}

/**
 * How late things were done: actual minus planned time, in milliseconds, in bounded memory. Quantiles
 * are good to 4.5 %; whatever was early or less than a microsecond late counts as 0.
 *
 * @example
 * ```ts
 * import { Lateness } from "./lateness.ts";
 * const lateness = new Lateness();
 * for (let i = 1; i <= 100; i++) lateness.add(i);
 * if (Math.abs(lateness.quantile(0.5) - 50) > 3 || lateness.max !== 100) throw new Error("off");
 * ```
 */
export class Lateness {
  readonly #counts = new Uint32Array(BUCKETS_PER_OCTAVE * OCTAVES + 1);
  #count = 0;
  #max = 0;

  /** Adds one: milliseconds. */
  add(late: number): void {
    this.#count++;
    if (late > this.#max) this.#max = late;
    const bucket = late < SMALLEST
      ? 0
      : 1 + Math.floor(Math.log2(late / SMALLEST) * BUCKETS_PER_OCTAVE);
    this.#counts[Math.min(bucket, this.#counts.length - 1)]!++;
  }

  /** How many were added. */
  get count(): number {
    return this.#count;
  }

  /** The largest, in milliseconds. */
  get max(): number {
    return this.#max;
  }

  /** Milliseconds that a share `q` of them (0 to 1) did not exceed; 0 if there are none. */
  quantile(q: number): number {
    const rank = q * this.#count;
    let seen = 0;
    for (let bucket = 0; bucket < this.#counts.length; bucket++) {
      seen += this.#counts[bucket]!;
      if (seen >= rank && seen > 0) {
        if (bucket === 0) return 0;
        return Math.min(this.#max, SMALLEST * 2 ** ((bucket - 0.5) / BUCKETS_PER_OCTAVE));
      }
    }
    return this.#max;
  }

  /** What reports show, in milliseconds. */
  summary(): LatenessSummary {
    return {
      count: this.#count,
      median: this.quantile(0.5),
      p99: this.quantile(0.99),
      max: this.#max,
    };
  }

  /** In JSON it is its summary. */
  toJSON(): LatenessSummary {
    return this.summary();
  }

  /** Forgets all. */
  clear(): void {
    this.#counts.fill(0);
    this.#count = 0;
    this.#max = 0;
  }
}
