/** A distribution's points: a value, and the share at or below it. */
export type Curve = readonly (readonly [number, number])[];

const POINTS = 60;

/** Points of the distribution of sorted values: enough to draw it. Empty of none. */
export function curveOf(sorted: Float64Array): Curve {
  if (sorted.length === 0) return [];
  return Array.from({ length: POINTS + 1 }, (_, i) => {
    const at = Math.max(0, Math.ceil(i / POINTS * sorted.length) - 1);
    return [sorted[at]!, (at + 1) / sorted.length] as const;
  });
}
