import { binRows } from "../../plugins/attacks/forest_bins.ts";
import type { RandomForest } from "../../plugins/attacks/forest.ts";
import type { Rows } from "../../plugins/attacks/scaler.ts";

/**
 * The fingerprints of Hayes and Danezis, "k-fingerprinting" (2016, section 4): for each row the leaf of each tree of a
 * forest that it comes to; row-major, a number a tree.
 */
export function leafVectors({ parts }: RandomForest, rows: Rows): Uint32Array {
  const { edges, trees, width } = parts;
  const bins = binRows(rows, edges);
  const found = new Uint32Array(rows.count * trees.length);
  trees.forEach(({ column, split }, t) => {
    // Children of the k-th inner node are 1 + 2k and 2 + 2k.
    const left = new Uint32Array(column.length);
    let inner = 0;
    for (let node = 0; node < column.length; node++) {
      if (column[node]! >= 0) left[node] = 1 + 2 * inner++;
    }
    for (let row = 0; row < rows.count; row++) {
      let node = 0;
      while (column[node]! >= 0) {
        node = left[node]! + +(bins[row * width + column[node]!]! > split[node]!);
      }
      found[row * trees.length + t] = node;
    }
  });
  return found;
}

/**
 * Labels rows by the majority of the `k` known fingerprints that differ in the fewest leaves (Hamming's distance); of
 * labels with as many votes, the nearest one's.
 *
 * @param length Numbers a fingerprint.
 */
export function nearestByHamming(
  known: Uint32Array,
  labels: ArrayLike<number>,
  asked: Uint32Array,
  length: number,
  classes: number,
  k: number,
): Int32Array {
  const count = known.length / length;
  const verdicts = new Int32Array(asked.length / length);
  const near = new Float64Array(k);
  const who = new Int32Array(k);
  const votes = new Uint32Array(classes);
  for (let row = 0; row < verdicts.length; row++) {
    near.fill(Infinity);
    who.fill(-1);
    const base = row * length;
    for (let other = 0; other < count; other++) {
      let distance = 0;
      for (let i = 0, at = other * length; i < length; i++) {
        distance += +(asked[base + i] !== known[at + i]);
      }
      if (distance >= near[k - 1]!) continue;
      let place = k - 1;
      for (; place > 0 && near[place - 1]! > distance; place--) {
        near[place] = near[place - 1]!;
        who[place] = who[place - 1]!;
      }
      near[place] = distance;
      who[place] = other;
    }
    votes.fill(0);
    for (const other of who) if (other >= 0) votes[labels[other]!]!++;
    let best = who[0]! < 0 ? 0 : labels[who[0]!]!;
    for (const other of who) {
      if (other >= 0 && votes[labels[other]!]! > votes[best]!) best = labels[other]!;
    }
    verdicts[row] = best;
  }
  return verdicts;
}
