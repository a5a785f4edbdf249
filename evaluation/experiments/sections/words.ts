import type { Range } from "../fidelity.ts";
import type { EvaluationPlan } from "../plan.ts";

/** A share as percent. */
export const percent = (share: number, digits = 0) => `${(100 * share).toFixed(digits)} %`;
/** An interval of shares, in percent. */
export const interval = ([low, high]: readonly [number, number]) =>
  `${(100 * low).toFixed(0)}–${(100 * high).toFixed(0)}`;
/** A number of three digits; a dash for none. */
export const number = (value: number) =>
  Number.isFinite(value) ? String(Number(value.toPrecision(3))) : "–";

/** A precision, or a share of false accusations: small ones in words that do not round to nothing. */
export function small(share: number): string {
  if (share >= 0.01) return percent(share, 1);
  return share === 0 ? "0 %" : `${(100 * share).toPrecision(2)} %`;
}

/** The median; NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  if (sorted.length === 0) return NaN;
  return (sorted[sorted.length - 1 >> 1]! + sorted[sorted.length >> 1]!) / 2;
}

/** Median, least and greatest of a figure's runs. */
export function rangeText({ high, low, middle }: Range): string {
  return `${number(middle)} (${number(low)}–${number(high)})`;
}

/** Whether a model's cover was recorded from the wire or simulated. */
export function coverIs(plan: EvaluationPlan, model: string): "recorded" | "simulated" {
  return plan.recorded.some(({ label }) => label === model) ? "recorded" : "simulated";
}
