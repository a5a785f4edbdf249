import type { AttackOptions, AttackPlugin, LabelledSamples, SampleSet } from "../attack.ts";
import { type Cluster, clusterSpreads, kMeans } from "./clusters.ts";
import { Draws } from "./draws.ts";
import { groupedFolds } from "./grouped_folds.ts";
import { readParameters } from "./parameters.ts";
import { featureRows, fitSamples, fitScaler, type Rows, scale, type Scaler } from "./scaler.ts";

const PARAMETERS = {
  /** Clusters; 0 takes one for each ten samples, from 2 to 16. */
  clusters: { default: 0, min: 0, max: 1000, integer: true },
  /** Mean pair distance under which a cluster is flagged; 0 has it tuned. */
  threshold: { default: 0, min: 0, max: 1e9 },
  /** Share of real samples that tuning may flag. */
  falseFlags: { default: 0.05, min: 0, max: 0.5 },
  /** 0 takes the features as they are, 1 their logarithms. */
  log: { default: 1, min: 0, max: 1, integer: true },
  /** Runs of k-means, the best of which counts. */
  restarts: { default: 8, min: 1, max: 1000, integer: true },
  /** Members that a cluster must have to be flagged by itself. */
  members: { default: 4, min: 2, max: 1e6, integer: true },
  /** Least ratio of the smallest to the largest eigenvalue; 0 keeps every feature that varies. */
  eigen: { default: 0.001, min: 0, max: 1 },
} as const;

type Parameters = Record<keyof typeof PARAMETERS, number>;

const TUNING_FOLDS = 5;

function cluster(rows: Rows, parameters: Parameters, seed: number): Cluster[] {
  const draws = new Draws(seed);
  const clusters = parameters.clusters ||
    Math.max(2, Math.min(16, Math.round(rows.count / 10)));
  return clusterSpreads(rows, kMeans(rows, clusters, parameters.restarts, draws), draws);
}

/**
 * The largest spread under which the clusters of held-out real samples hold no more than the allowed
 * share of them, times one half: what is flagged is twice as regular as real traffic gets.
 */
function chooseThreshold(clusters: Cluster[], parameters: Parameters): number {
  const total = clusters.reduce((sum, { members }) => sum + members.length, 0);
  const sorted = clusters.filter(({ members }) => members.length >= parameters.members)
    .sort((a, b) => a.spread - b.spread);
  let flagged = 0;
  for (const { members, spread } of sorted) {
    flagged += members.length;
    if (flagged > parameters.falseFlags * total) return spread / 2;
  }
  return sorted.at(-1)?.spread ?? 0;
}

let trained: {
  readonly scaler: Scaler;
  readonly centroids: readonly Float64Array[];
  readonly threshold: number;
  readonly parameters: Parameters;
  readonly seed: number;
} | undefined;

/**
 * The seed's second attack, for cover that is too regular: k-means over the samples to judge, z-scored
 * with the statistics of real traffic; the clusters whose mean distance between all pairs of members is
 * lowest, under a threshold, are flagged (label -1). The seed used it to tell constant rate from SMTP.
 * A sample's verdict depends on the samples that it is judged with.
 *
 * The threshold is half the spread that clusters of held-out real captures fall under for at most
 * `falseFlags` of the samples. Samples that are not flagged get the class of the nearest centroid.
 * Anomaly is the threshold over the cluster's spread: above 1 is flagged.
 */
const kmeans: AttackPlugin = {
  contract: 1,
  name: "kmeans",
  reads: "features",

  train(samples: LabelledSamples, options: AttackOptions) {
    const parameters = readParameters(PARAMETERS, options.parameters);
    const { rows, columns, scaler, notes } = fitSamples(
      samples,
      parameters.log === 1,
      parameters.eigen,
    );
    const scaled = scale(rows, scaler);
    const folds = groupedFolds(samples, TUNING_FOLDS, options.seed);
    let threshold = parameters.threshold;
    const classes = samples.labelNames.length;
    if (threshold === 0) {
      const found: Cluster[] = [];
      for (let fold = 0; fold < folds.count; fold++) {
        const train = (row: number) => folds.count < 2 || folds.fold[row] !== fold;
        const view = scale(rows, fitScaler(rows, columns, train));
        for (let label = 0; label < classes; label++) {
          const held: number[] = [];
          for (let row = 0; row < rows.count; row++) {
            if (folds.fold[row] === fold && samples.labels[row] === label) held.push(row);
          }
          if (held.length > 0) found.push(...cluster(pick(view, held), parameters, options.seed));
        }
      }
      threshold = chooseThreshold(found, parameters);
    }
    const centroids = Array.from(
      { length: classes },
      (_, c) => centroid(scaled, samples.labels, c),
    );
    trained = { scaler, centroids, threshold, parameters, seed: options.seed };
    return {
      threshold,
      tuning: parameters.threshold > 0 ? "given" : `${folds.count} folds by ${folds.grouping}`,
      ...notes,
    };
  },

  classify(samples: SampleSet) {
    if (trained === undefined) throw new Error("classify was called before train");
    const { scaler, centroids, threshold, parameters, seed } = trained;
    const rows = scale(featureRows(samples, parameters.log === 1), scaler);
    const labels = new Int32Array(samples.count);
    const confidence = new Float64Array(samples.count);
    const anomaly = new Float64Array(samples.count);
    if (samples.count === 0) return { labels, confidence, anomaly };
    const clusters = cluster(rows, parameters, seed);
    const tooRegular = clusters.filter(({ members, spread }) =>
      members.length >= parameters.members && spread < threshold
    );
    for (const { members, spread } of clusters) {
      // A few members cut off from a flagged cluster, and as close to it as it is to itself, are its own.
      const within = members.length >= parameters.members
        ? spread
        : Math.min(...tooRegular.map((flagged) => meanDistance(rows, members, flagged.members)));
      const strange = Math.min(threshold / within, 1e9) || 0;
      for (const row of members) {
        labels[row] = strange > 1 ? -1 : nearestCentroid(rows, row, centroids);
        anomaly[row] = strange;
        confidence[row] = 1 - Math.min(strange, 1 / strange);
      }
    }
    return { labels, confidence, anomaly };
  },
};

/** Mean distance between the rows of `few` and those of `many`. */
function meanDistance(rows: Rows, few: readonly number[], many: readonly number[]): number {
  const { width, values } = rows;
  let sum = 0;
  for (const a of few) {
    for (const b of many) {
      let square = 0;
      for (let d = 0; d < width; d++) {
        square += (values[a * width + d]! - values[b * width + d]!) ** 2;
      }
      sum += Math.sqrt(square);
    }
  }
  return sum / (few.length * many.length);
}

function pick(rows: Rows, chosen: readonly number[]): Rows {
  const { width, values } = rows;
  const picked = new Float64Array(chosen.length * width);
  chosen.forEach((row, i) =>
    picked.set(values.subarray(row * width, (row + 1) * width), i * width)
  );
  return { count: chosen.length, width, values: picked };
}

function centroid(rows: Rows, labels: Uint16Array, label: number): Float64Array {
  const mean = new Float64Array(rows.width);
  let count = 0;
  for (let row = 0; row < rows.count; row++) {
    if (labels[row] !== label) continue;
    count++;
    for (let d = 0; d < rows.width; d++) mean[d]! += rows.values[row * rows.width + d]!;
  }
  return mean.map((sum) => sum / Math.max(1, count));
}

function nearestCentroid(rows: Rows, row: number, centroids: readonly Float64Array[]): number {
  let nearest = 0;
  let least = Infinity;
  centroids.forEach((mean, label) => {
    let square = 0;
    for (let d = 0; d < rows.width; d++) {
      square += (rows.values[row * rows.width + d]! - mean[d]!) ** 2;
    }
    if (square < least) [nearest, least] = [label, square];
  });
  return nearest;
}

export default kmeans;
