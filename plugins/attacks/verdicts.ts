import type { Verdicts } from "../attack.ts";

/**
 * What each class's share (`count` rows of `classes`) says: the likeliest class, its share as confidence, what is
 * missing from that to 1 as anomaly. A share below `unknown` names no class.
 *
 * @example
 * ```ts
 * import { verdictsOf } from "./verdicts.ts";
 * const { labels } = verdictsOf(Float64Array.of(0.2, 0.8, 0.5, 0.5), 2, 0.6);
 * if (labels.join() !== "1,-1") throw new Error("the second is unknown");
 * ```
 */
export function verdictsOf(shares: Float64Array, classes: number, unknown: number): Verdicts {
  const count = shares.length / classes;
  const labels = new Int32Array(count);
  const confidence = new Float64Array(count);
  const anomaly = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    let best = 0;
    for (let c = 1; c < classes; c++) {
      if (shares[i * classes + c]! > shares[i * classes + best]!) best = c;
    }
    confidence[i] = Math.min(1, shares[i * classes + best]!);
    anomaly[i] = 1 - confidence[i]!;
    labels[i] = confidence[i]! < unknown ? -1 : best;
  }
  return { labels, confidence, anomaly };
}
