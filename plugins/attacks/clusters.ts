import type { Draws } from "./draws.ts";
import type { Rows } from "./scaler.ts";

/** Rows put into clusters. */
export interface Clustering {
  /** Cluster of each row, from 0. */
  readonly assignment: Int32Array;
  /** Number of clusters; some may be empty. */
  readonly count: number;
  /** Sum of squared distances of the rows to their cluster's centroid. */
  readonly inertia: number;
}

const ITERATIONS = 100;

function squareBetween(
  a: Float64Array,
  i: number,
  b: Float64Array,
  j: number,
  width: number,
): number {
  let square = 0;
  for (let d = 0; d < width; d++) square += (a[i * width + d]! - b[j * width + d]!) ** 2;
  return square;
}

/** K-means with k-means++ seeding: the best of `restarts` runs by inertia. */
export function kMeans(rows: Rows, clusters: number, restarts: number, draws: Draws): Clustering {
  const count = Math.max(1, Math.min(clusters, rows.count));
  let best: Clustering | undefined;
  for (let run = 0; run < restarts; run++) {
    const found = lloyd(rows, seedCentroids(rows, count, draws), count);
    if (best === undefined || found.inertia < best.inertia) best = found;
  }
  return best ?? { assignment: new Int32Array(rows.count), count, inertia: 0 };
}

/** k-means++: each further centroid is a row drawn by its squared distance to the nearest so far. */
function seedCentroids(rows: Rows, count: number, draws: Draws): Float64Array {
  const { width, values } = rows;
  const centroids = new Float64Array(count * width);
  const nearest = new Float64Array(rows.count).fill(Infinity);
  let chosen = draws.integer(rows.count);
  for (let c = 0; c < count; c++) {
    centroids.set(values.subarray(chosen * width, (chosen + 1) * width), c * width);
    let total = 0;
    for (let i = 0; i < rows.count; i++) {
      nearest[i] = Math.min(nearest[i]!, squareBetween(values, i, centroids, c, width));
      total += nearest[i]!;
    }
    let left = draws.float() * total;
    chosen = 0;
    while (chosen < rows.count - 1 && (left -= nearest[chosen]!) >= 0) chosen++;
  }
  return centroids;
}

function lloyd(rows: Rows, centroids: Float64Array, count: number): Clustering {
  const { width, values } = rows;
  const assignment = new Int32Array(rows.count).fill(-1);
  const sizes = new Float64Array(count);
  let inertia = 0;
  for (let iteration = 0; iteration < ITERATIONS; iteration++) {
    let moved = false;
    inertia = 0;
    for (let i = 0; i < rows.count; i++) {
      let nearest = 0;
      let least = Infinity;
      for (let c = 0; c < count; c++) {
        const square = squareBetween(values, i, centroids, c, width);
        if (square < least) [nearest, least] = [c, square];
      }
      inertia += least;
      moved ||= assignment[i] !== nearest;
      assignment[i] = nearest;
    }
    if (!moved) break;
    const sums = new Float64Array(count * width);
    sizes.fill(0);
    for (let i = 0; i < rows.count; i++) {
      const c = assignment[i]!;
      sizes[c]!++;
      for (let d = 0; d < width; d++) sums[c * width + d]! += values[i * width + d]!;
    }
    for (let c = 0; c < count; c++) {
      if (sizes[c] === 0) continue;
      for (let d = 0; d < width; d++) centroids[c * width + d] = sums[c * width + d]! / sizes[c]!;
    }
  }
  return { assignment, count, inertia };
}

/** One cluster's members and how close they lie. */
export interface Cluster {
  /** Rows that belong to it. */
  readonly members: readonly number[];
  /** Mean distance between all pairs of members; infinite for fewer than two. */
  readonly spread: number;
}

/** Pairs that are looked at before the mean is taken over a sample of them. */
const EXACT_PAIRS = 2_000_000;

/** The clusters of a clustering with the seed's measure of each: the mean distance between all pairs. */
export function clusterSpreads(rows: Rows, clustering: Clustering, draws: Draws): Cluster[] {
  const members: number[][] = Array.from({ length: clustering.count }, () => []);
  clustering.assignment.forEach((cluster, row) => members[cluster]!.push(row));
  return members.filter((list) => list.length > 0).map((list) => ({
    members: list,
    spread: meanPairDistance(rows, list, draws),
  }));
}

/**
 * Mean Euclidean distance between all pairs of `members`: exact up to two million pairs, else over as
 * many drawn pairs.
 */
export function meanPairDistance(rows: Rows, members: readonly number[], draws: Draws): number {
  const { width, values } = rows;
  const size = members.length;
  const pairs = size * (size - 1) / 2;
  if (pairs === 0) return Infinity;
  let sum = 0;
  if (pairs <= EXACT_PAIRS) {
    for (let a = 1; a < size; a++) {
      for (let b = 0; b < a; b++) {
        sum += Math.sqrt(squareBetween(values, members[a]!, values, members[b]!, width));
      }
    }
    return sum / pairs;
  }
  for (let drawn = 0; drawn < EXACT_PAIRS; drawn++) {
    const a = draws.integer(size);
    const b = (a + 1 + draws.integer(size - 1)) % size;
    sum += Math.sqrt(squareBetween(values, members[a]!, values, members[b]!, width));
  }
  return sum / EXACT_PAIRS;
}
