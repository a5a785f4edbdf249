/** A table of a benchmark's result. */
export interface ResultTable {
  /** What it shows, and on what. */
  readonly title: string;
  /** Names of its columns. */
  readonly head: readonly string[];
  /** Its rows, as they are printed. */
  readonly rows: readonly (readonly string[])[];
}

/** What a benchmark found. */
export interface BenchmarkResult {
  /** For people. */
  readonly tables: readonly ResultTable[];
  /** What a reader has to know besides. */
  readonly notes?: readonly string[];
  /** The same for programs. */
  readonly data: unknown;
}

/** How a benchmark is run. */
export interface BenchmarkOptions {
  /** Less of everything: to see that it works, not to be quoted. */
  readonly quick: boolean;
  /** Seed of what is drawn. */
  readonly seed: string;
  /** Says what is being done. */
  readonly note: (text: string) => void;
}

/** One benchmark, run by `deno task bench NAME`. */
export interface Benchmark {
  /** What it measures, in a line. */
  readonly about: string;
  /** Measures. */
  run(options: BenchmarkOptions): Promise<BenchmarkResult>;
}

/** The median; NaN of none. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;
}
