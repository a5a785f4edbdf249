import type { AttackPlugin, SampleSet } from "./contract.ts";

// Nearest mean: replace it by an idea of your own. `deno task plugin test` says what must hold.
let centres: number[][] = [];
let reach = 3;

/** Sample `i` as logarithms: bytes and milliseconds span many orders of magnitude. */
function rowOf({ features, featureNames }: SampleSet, i: number): number[] {
  const width = featureNames.length;
  return Array.from(features.subarray(i * width, (i + 1) * width), (value) =>
    // What is no number, or below 0, counts as nothing.
    value > 0 ? Math.log1p(Math.min(value, 1e15)) : 0);
}

function distance(a: readonly number[], b: readonly number[]): number {
  return Math.hypot(...a.map((value, j) => value - b[j]!));
}

const attack: AttackPlugin = {
  contract: 1,
  name: "my-attack",
  reads: "features",

  train(samples, { parameters }) {
    for (const name of Object.keys(parameters)) {
      if (name !== "reach") throw new Error(`there is no parameter ${JSON.stringify(name)}`);
    }
    reach = parameters.reach ?? 3;
    const width = samples.featureNames.length;
    const counts = samples.labelNames.map(() => 0);
    centres = samples.labelNames.map(() => new Array<number>(width).fill(0));
    for (let i = 0; i < samples.count; i++) {
      const label = samples.labels[i]!;
      counts[label]!++;
      rowOf(samples, i).forEach((value, j) => centres[label]![j]! += value);
    }
    // A class without a sample lies out of everybody's reach.
    centres.forEach((centre, label) =>
      centre.forEach((sum, j) => centre[j] = counts[label]! > 0 ? sum / counts[label]! : 1e9)
    );
    return { classes: centres.length, reach };
  },

  classify(samples) {
    const labels = new Int32Array(samples.count);
    const confidence = new Float64Array(samples.count);
    const anomaly = new Float64Array(samples.count);
    for (let i = 0; i < samples.count; i++) {
      const far = centres.map((centre) => distance(rowOf(samples, i), centre));
      const least = Math.min(...far);
      labels[i] = least > reach ? -1 : far.indexOf(least);
      confidence[i] = 1 / (1 + least);
      anomaly[i] = least;
    }
    return { labels, confidence, anomaly };
  },
};

export default attack;
