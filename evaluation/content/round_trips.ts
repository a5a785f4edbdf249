import { Draws } from "../../plugins/attacks/draws.ts";
import { areaUnderCurve } from "../metrics.ts";
import { bootstrapMean } from "./by_run.ts";
import { afterHandshake, type FlowStart } from "./flow.ts";

/** Round trips of silence after which nothing said before is still to be answered. */
const QUIET = 1.2;

/**
 * How much longer a connection's quickest answer takes than its handshake: a relay has to ask somebody farther away,
 * so that the round trip of what is said is longer than that of the transport (Xue et al., "The Discriminative Power
 * of Cross-layer RTTs in Fingerprinting Proxy Traffic", NDSS 2025). Only requests count that follow a silence of the client's of more than a
 * round trip, so that what comes back is not the answer to something before them (a server's tickets answer the
 * handshake). Undefined where nothing of the kind was answered.
 */
export function roundTripDifference(flow: FlowStart): number | undefined {
  const { rtt, sizes, times } = flow;
  if (rtt === undefined) return undefined;
  const first = afterHandshake(flow);
  let least = Infinity;
  // When the client spoke last before its present words, and whether it had been silent for long enough then.
  let spoke = first > 0 ? times[first - 1]! : 0;
  let fresh = false;
  let began = 0;
  for (let i = first; i < sizes.length; i++) {
    if (sizes[i]! > 0) {
      if (i === first || sizes[i - 1]! < 0) {
        fresh = times[i]! - spoke > QUIET * rtt;
        began = times[i]!;
      }
      spoke = times[i]!;
    } else if (fresh && i > first && sizes[i - 1]! > 0) {
      least = Math.min(least, times[i]! - began);
    }
  }
  return least === Infinity ? undefined : least - rtt;
}

/** How well relays are told by the difference of round trips. */
export interface RoundTrips {
  /** Area under the ROC curve: the probability that a difference is larger than a real connection's. */
  readonly auc: number;
  /** Its 95 % interval, by bootstrap over runs of these. */
  readonly ci95: readonly [number, number];
  /** Median of the differences, in milliseconds, `[real, these]`. */
  readonly medians: readonly [number, number];
  /** Connections, `[real, these]`. */
  readonly n: readonly [number, number];
}

/** The differences of round trips, in ascending order. */
function differences(flows: readonly FlowStart[]): Float64Array {
  return Float64Array.from(flows.map(roundTripDifference).filter((one) => one !== undefined))
    .sort();
}

/** The probability that one of `others` is above one of `own`. */
function areaBetween(own: Float64Array, others: Float64Array): number {
  const scores = new Float64Array(own.length + others.length);
  scores.set(own);
  scores.set(others, own.length);
  return areaUnderCurve(scores, scores.map((_, i) => +(i >= own.length)));
}

/**
 * Tells connections, run by run, from `real` ones by their differences of round trips. Undefined where either have
 * none.
 */
export function tellByRoundTrips(
  real: readonly FlowStart[],
  runs: readonly (readonly FlowStart[])[],
  seed: number,
): RoundTrips | undefined {
  const own = differences(real);
  const others = differences(runs.flat());
  if (own.length === 0 || others.length === 0) return undefined;
  return {
    auc: areaBetween(own, others),
    ci95: bootstrapMean(
      runs.map((run) => areaBetween(own, differences(run))).filter((area) => !Number.isNaN(area)),
      new Draws(seed),
    ),
    medians: [own[own.length >> 1]!, others[others.length >> 1]!],
    n: [own.length, others.length],
  };
}
