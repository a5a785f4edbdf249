import type { SampleSet } from "../attack.ts";
import type { Rows } from "./scaler.ts";

const FIRST = 20;
const QUANTILES = [0.1, 0.25, 0.5, 0.75, 0.9];

/** Names of the columns that {@linkcode messageRows} adds after the samples' own features. */
export function messageColumnNames(): string[] {
  const names: string[] = [];
  for (const side of ["client", "server"]) {
    names.push(`${side}Messages`, `${side}Bytes`, `${side}Mean`, `${side}Deviation`);
    names.push(`${side}Least`, `${side}Most`);
    for (const quantile of QUANTILES) names.push(`${side}Q${quantile * 100}`);
  }
  names.push("messages", "turns", "duration", "meanGap", "mostGap");
  for (const quantile of QUANTILES) names.push(`gapQ${quantile * 100}`);
  for (let i = 0; i < FIRST; i++) names.push(`size${i}`, `gap${i}`);
  return names;
}

function quantile(sorted: Float64Array, share: number): number {
  if (sorted.length === 0) return -1;
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
}

/**
 * What the stronger attacker looks at: the samples' own features, then counts, sums and quantiles of
 * message sizes by direction and of gaps, then signed sizes and gaps (milliseconds) of the first twenty
 * messages. What is not there is 0 for a size and -1 for a gap or a quantile. With `clock` (milliseconds)
 * above 0, times are read to that only, as by an attacker whose network jitters by as much.
 */
export function messageRows(samples: SampleSet, clock = 0): Rows {
  const read = (time: number) => clock > 0 ? clock * Math.round(time / clock) : time;
  const duration = samples.featureNames.indexOf("duration");
  const own = samples.featureNames.length;
  const width = own + messageColumnNames().length;
  const values = new Float64Array(samples.count * width);
  for (let i = 0; i < samples.count; i++) {
    values.set(samples.features.subarray(i * own, (i + 1) * own), i * width);
    if (duration >= 0) values[i * width + duration] = read(values[i * width + duration]!);
    const sizes = samples.sizes.subarray(samples.offsets[i]!, samples.offsets[i + 1]!);
    const times = samples.times.subarray(samples.offsets[i]!, samples.offsets[i + 1]!);
    let at = i * width + own;
    for (const sign of [1, -1]) {
      const mine = sizes.filter((size) => size * sign > 0).map(Math.abs).sort();
      const sum = mine.reduce((total, size) => total + size, 0);
      const mean = mine.length === 0 ? 0 : sum / mine.length;
      const squares = mine.reduce((total, size) => total + (size - mean) ** 2, 0);
      values[at++] = mine.length;
      values[at++] = sum;
      values[at++] = mean;
      values[at++] = Math.sqrt(squares / Math.max(1, mine.length));
      values[at++] = mine[0] ?? -1;
      values[at++] = mine.at(-1) ?? -1;
      for (const share of QUANTILES) values[at++] = quantile(mine, share);
    }
    const gaps = new Float64Array(Math.max(0, times.length - 1));
    let turns = 0;
    for (let m = 1; m < times.length; m++) {
      gaps[m - 1] = read(times[m]! - times[m - 1]!);
      if (Math.sign(sizes[m]!) !== Math.sign(sizes[m - 1]!)) turns++;
    }
    const sorted = gaps.slice().sort();
    values[at++] = sizes.length;
    values[at++] = turns;
    values[at++] = read((times.at(-1) ?? 0) - (times[0] ?? 0));
    values[at++] = gaps.length === 0
      ? -1
      : read(gaps.reduce((total, gap) => total + gap, 0) / gaps.length);
    values[at++] = sorted.at(-1) ?? -1;
    for (const share of QUANTILES) values[at++] = quantile(sorted, share);
    for (let m = 0; m < FIRST; m++) {
      values[at++] = sizes[m] ?? 0;
      values[at++] = gaps[m - 1] ?? (m === 0 && times.length > 0 ? read(times[0]!) : -1);
    }
  }
  return { count: samples.count, width, values };
}
