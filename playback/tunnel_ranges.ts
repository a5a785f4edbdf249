import { TunnelProtocolError } from "./tunnel_error.ts";

/** Ranges of numbers seen out of order (streams, engine frames) before the peer counts as broken. */
const MAX_GAPS = 4096;

/**
 * A set of integers kept as sorted, disjoint, half-open ranges that never touch: what has been
 * acknowledged, what is to be sent again, which streams have ended.
 *
 * @example
 * ```ts
 * import { Ranges } from "./tunnel_ranges.ts";
 * const ranges = new Ranges();
 * ranges.add(0, 10);
 * ranges.add(10, 20);
 * if (ranges.count !== 1 || ranges.total !== 20) throw new Error("neighbours merge");
 * ```
 */
export class Ranges {
  /** start, end, start, end, ... */
  readonly #bounds: number[] = [];
  #total = 0;

  /** How many ranges there are. */
  get count(): number {
    return this.#bounds.length / 2;
  }

  /** How many integers are in the set. */
  get total(): number {
    return this.#total;
  }

  /** Start of the lowest range. */
  get firstStart(): number | undefined {
    return this.#bounds[0];
  }

  /** End of the lowest range. */
  get firstEnd(): number | undefined {
    return this.#bounds[1];
  }

  /** Index into `#bounds` of the first range whose end is at or after `value`. */
  #find(value: number): number {
    let low = 0;
    let high = this.#bounds.length / 2;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#bounds[2 * middle + 1]! < value) low = middle + 1;
      else high = middle;
    }
    return 2 * low;
  }

  /** Whether `value` is in the set. */
  has(value: number): boolean {
    const at = this.#find(value + 1);
    return at < this.#bounds.length && this.#bounds[at]! <= value;
  }

  /** Adds `[start, end)`; returns how many integers were new. */
  add(start: number, end: number): number {
    if (start >= end) return 0;
    const bounds = this.#bounds;
    const from = this.#find(start);
    let to = from;
    let covered = 0;
    let low = start;
    let high = end;
    while (to < bounds.length && bounds[to]! <= end) {
      covered += bounds[to + 1]! - bounds[to]!;
      low = Math.min(low, bounds[to]!);
      high = Math.max(high, bounds[to + 1]!);
      to += 2;
    }
    if (to - from === 2) {
      bounds[from] = low;
      bounds[from + 1] = high;
    } else bounds.splice(from, to - from, low, high);
    const fresh = high - low - covered;
    this.#total += fresh;
    return fresh;
  }

  /** Takes `[start, end)` out. */
  remove(start: number, end: number): void {
    if (start >= end) return;
    const bounds = this.#bounds;
    const from = this.#find(start + 1);
    let to = from;
    const left: number[] = [];
    while (to < bounds.length && bounds[to]! < end) {
      const low = bounds[to]!;
      const high = bounds[to + 1]!;
      if (low < start) left.push(low, start);
      if (high > end) left.push(end, high);
      this.#total -= Math.min(high, end) - Math.max(low, start);
      to += 2;
    }
    bounds.splice(from, to - from, ...left);
  }

  /** Empties the set. */
  clear(): void {
    this.#bounds.length = 0;
    this.#total = 0;
  }
}

/** Throws TunnelProtocolError if a peer that numbers things in a row has left out too many of `ranges`. */
export function limitGaps(ranges: Ranges): void {
  if (ranges.count > MAX_GAPS) throw new TunnelProtocolError("too many numbers left out");
}
