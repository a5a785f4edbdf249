/** What a process holds, in bytes. */
export interface Memory {
  /** Resident. */
  readonly rss: number;
  /** Objects on the heap, garbage included. */
  readonly heap: number;
  /** What the heap has taken from the system. */
  readonly total: number;
  /** The same after the garbage was collected; only now and then. */
  readonly live?: number;
  /** Memory outside of the heap that objects hold. */
  readonly external: number;
}

/** Takes the present process's memory; with `collect`, garbage goes first (`--v8-flags=--expose-gc`). */
export function memoryNow(collect: boolean): Memory {
  const { external, heapTotal: total, heapUsed: heap, rss } = Deno.memoryUsage();
  const { gc } = globalThis as { gc?: () => void };
  if (!collect || gc === undefined) return { rss, heap, total, external };
  gc();
  const after = Deno.memoryUsage();
  return { rss, heap, total, live: after.heapUsed, external: after.external };
}

/** The slope of a series by least squares, per unit of `at`; 0 for fewer than two. */
export function slope(series: readonly { readonly at: number; readonly value: number }[]): number {
  const n = series.length;
  if (n < 2) return 0;
  const meanAt = series.reduce((sum, { at }) => sum + at, 0) / n;
  const mean = series.reduce((sum, { value }) => sum + value, 0) / n;
  let [above, below] = [0, 0];
  for (const { at, value } of series) {
    above += (at - meanAt) * (value - mean);
    below += (at - meanAt) ** 2;
  }
  return below === 0 ? 0 : above / below;
}
