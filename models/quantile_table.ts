import * as v from "valibot";
import type { Random } from "./random.ts";

/** Most knots that a table keeps; more observations are thinned to this many. */
export const MOST_KNOTS = 512;

/**
 * An empirical distribution of whole numbers: `values` in ascending order, `cumulative` how many of the
 * `n` observations are at most each. Nothing between two values is ever drawn.
 */
export interface StepTable {
  /** Observations it rests on. */
  readonly n: number;
  /** How values between the knots are drawn: never. */
  readonly interpolation: "step";
  /** Values observed, ascending. */
  readonly values: readonly number[];
  /** Observations up to and including each value, ascending; the last is `n`. */
  readonly cumulative: readonly number[];
}

/**
 * An empirical distribution of real numbers: its quantiles at evenly spaced probabilities from 0 to 1,
 * with straight lines between them (Hyndman and Fan's type 7, scikit-learn's and numpy's default).
 */
export interface LinearTable {
  /** Observations it rests on. */
  readonly n: number;
  /** How values between the knots are drawn: uniformly. */
  readonly interpolation: "linear";
  /** Quantiles at probabilities 0, 1/(m-1), ..., 1; ascending. */
  readonly quantiles: readonly number[];
}

const ascending = (values: number[]) => values.every((x, i) => i === 0 || x >= values[i - 1]!);
const rising = (values: number[]) => values.every((x, i) => i === 0 || x > values[i - 1]!);

/** A count of observations. */
export const countSchema: v.GenericSchema<unknown, number> = v.pipe(
  v.number(),
  v.safeInteger(),
  v.minValue(1),
  v.maxValue(1e12),
);

/** Milliseconds: finite, from 0 up to about twelve days. */
export const timeSchema: v.GenericSchema<unknown, number> = v.pipe(
  v.number(),
  v.finite(),
  v.minValue(0),
  v.maxValue(1e9),
);

/** Validates a {@linkcode StepTable} of whole numbers from `least` to `most`. */
export function stepSchema(least: number, most: number): v.GenericSchema<unknown, StepTable> {
  const value = v.pipe(v.number(), v.safeInteger(), v.minValue(least), v.maxValue(most));
  return v.pipe(
    v.strictObject({
      n: countSchema,
      interpolation: v.literal("step"),
      values: v.pipe(
        v.array(value),
        v.minLength(1),
        v.maxLength(MOST_KNOTS),
        v.check(rising, "values must rise"),
      ),
      cumulative: v.pipe(v.array(countSchema), v.check(rising, "counts must rise")),
    }),
    v.check(
      (t) => t.cumulative.length === t.values.length && t.cumulative.at(-1) === t.n,
      "counts must match the values and end at n",
    ),
  );
}

/** Validates a {@linkcode LinearTable} of times. */
export const linearSchema: v.GenericSchema<unknown, LinearTable> = v.strictObject({
  n: countSchema,
  interpolation: v.literal("linear"),
  quantiles: v.pipe(
    v.array(timeSchema),
    v.minLength(1),
    v.maxLength(MOST_KNOTS),
    v.check(ascending, "quantiles must not fall"),
  ),
});

function sorted(values: Iterable<number>): Float64Array {
  const array = Float64Array.from(values).sort();
  if (array.length === 0) throw new RangeError("a distribution needs an observation");
  return array;
}

/**
 * The table of whole numbers observed. Beyond {@linkcode MOST_KNOTS} different values, those at evenly
 * spaced ranks are kept, the least and the greatest among them; the counts of dropped values go to the
 * next one kept.
 *
 * @example
 * ```ts
 * import { stepTable } from "./quantile_table.ts";
 * const table = stepTable([36, 100, 36]);
 * if (table.values.join() !== "36,100" || table.cumulative.join() !== "2,3") throw table;
 * ```
 */
export function stepTable(observed: Iterable<number>): StepTable {
  const all = sorted(observed);
  const n = all.length;
  let values: number[] = [];
  let cumulative: number[] = [];
  for (let i = 0; i < n; i++) {
    if (i + 1 < n && all[i + 1] === all[i]) continue;
    values.push(all[i]!);
    cumulative.push(i + 1);
  }
  if (values.length > MOST_KNOTS) {
    const keep = new Set<number>([0]);
    let index = 0;
    for (let knot = 1; knot < MOST_KNOTS; knot++) {
      const rank = Math.ceil(knot * n / (MOST_KNOTS - 1));
      while (cumulative[index]! < rank) index++;
      keep.add(index);
    }
    values = values.filter((_, i) => keep.has(i));
    cumulative = cumulative.filter((_, i) => keep.has(i));
  }
  return { n, interpolation: "step", values, cumulative };
}

/** Rounds milliseconds to whole microseconds, so that model files stay short and diffable. */
export function roundTime(milliseconds: number): number {
  return Math.round(milliseconds * 1000) / 1000;
}

/**
 * The table of times observed, to the microsecond. Up to {@linkcode MOST_KNOTS} observations are all
 * kept.
 */
export function linearTable(observed: Iterable<number>): LinearTable {
  const all = sorted(observed);
  const n = all.length;
  const knots = Math.min(n, MOST_KNOTS);
  const quantiles: number[] = [];
  for (let knot = 0; knot < knots; knot++) {
    const rank = knots === 1 ? 0 : knot * (n - 1) / (knots - 1);
    const below = Math.floor(rank);
    const low = all[below]!;
    const high = all[Math.min(below + 1, n - 1)]!;
    quantiles.push(roundTime(low + (rank - below) * (high - low)));
  }
  return { n, interpolation: "linear", quantiles };
}

/** Draws from a table. Additions and multiplications only, so that all machines draw alike. */
export function drawFrom(table: StepTable | LinearTable, random: Random): number {
  if (table.interpolation === "step") {
    const rank = Math.floor(random.float() * table.n);
    let low = 0;
    let high = table.cumulative.length - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (table.cumulative[middle]! > rank) high = middle;
      else low = middle + 1;
    }
    return table.values[low]!;
  }
  const { quantiles } = table;
  const rank = random.float() * (quantiles.length - 1);
  const below = Math.floor(rank);
  const low = quantiles[below]!;
  const high = quantiles[Math.min(below + 1, quantiles.length - 1)]!;
  return low + (rank - below) * (high - low);
}
