import type { LabelledSamples } from "../../plugins/attack.ts";
import { Draws } from "../../plugins/attacks/draws.ts";

/** A class to make samples of: where its features lie and in how many captures. */
export interface MadeClass {
  readonly name: string;
  readonly centre: readonly number[];
  /** Standard deviation of every feature. */
  readonly width: number;
  readonly captures: number;
  /** Connections in each capture. */
  readonly each: number;
  /** Messages of each connection, signed sizes, one second apart; none unless given. */
  readonly messages?: readonly number[];
}

/** A normal draw. */
export function normal(draws: Draws): number {
  return Math.sqrt(-2 * Math.log(1 - draws.float())) * Math.cos(2 * Math.PI * draws.float());
}

/** Samples of several classes, each around its centre. */
export function makeSamples(classes: readonly MadeClass[], seed: number): LabelledSamples {
  const draws = new Draws(seed);
  const features: number[] = [];
  const labels: number[] = [];
  const groups: number[] = [];
  const groupNames: string[] = [];
  const offsets = [0];
  const sizes: number[] = [];
  const times: number[] = [];
  classes.forEach(({ name, centre, width, captures, each, messages = [] }, label) => {
    for (let capture = 0; capture < captures; capture++) {
      groupNames.push(`${name}/run-${capture + 1}`);
      for (let i = 0; i < each; i++) {
        for (const middle of centre) features.push(middle + width * normal(draws));
        labels.push(label);
        groups.push(groupNames.length - 1);
        messages.forEach((size, at) => {
          sizes.push(size);
          times.push(at * 1000);
        });
        offsets.push(sizes.length);
      }
    }
  });
  return {
    count: labels.length,
    featureNames: classes[0]!.centre.map((_, index) => `feature${index}`),
    features: Float64Array.from(features),
    offsets: Uint32Array.from(offsets),
    sizes: Float64Array.from(sizes),
    times: Float64Array.from(times),
    labelNames: classes.map(({ name }) => name),
    labels: Uint16Array.from(labels),
    groupNames,
    groups: Uint16Array.from(groups),
  };
}

/** Three classes that overlap a little, six captures each. */
export function threeClasses(seed: number, each = 10): LabelledSamples {
  return makeSamples([
    { name: "https", centre: [500, 900, 40], width: 60, captures: 6, each },
    { name: "smtp", centre: [900, 200, 60], width: 60, captures: 6, each },
    { name: "ssh", centre: [200, 300, 20], width: 60, captures: 6, each },
  ], seed);
}

/** Two classes that only two columns together tell apart (exclusive or), among columns of noise. */
export function exclusiveOr(count: number, seed: number) {
  const draws = new Draws(seed);
  const width = 6;
  const values = Float64Array.from({ length: count * width }, () => normal(draws));
  const labels = Uint16Array.from(
    { length: count },
    (_, i) => (values[i * width]! > 0) === (values[i * width + 1]! > 0) ? 1 : 0,
  );
  return { rows: { count, width, values }, labels };
}

/** Share of the rows whose label has a larger share than every other. */
export function right(shares: Float64Array, labels: Uint16Array, classes: number): number {
  let hits = 0;
  labels.forEach((label, i) => {
    const own = shares.subarray(i * classes, (i + 1) * classes);
    if (own.every((share, c) => c === label || share < own[label]!)) hits++;
  });
  return hits / labels.length;
}
