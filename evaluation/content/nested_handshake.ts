import { Matrix, pseudoInverse } from "ml-matrix";
import { afterHandshake, type FlowStart } from "./flow.ts";

/** Packets behind the handshake that are looked at. */
const PACKETS = 25;
/** Bursts of a TLS 1.3 handshake inside: hello, flight, Finished with the first request. */
const BURSTS = 3;
/** Trigrams that are compared. */
const GRAMS = 100;
/** Greatest sizes of the kinds of packets. */
const KINDS = [160, 600, 1210] as const;
const SYMBOLS = 2 * (KINDS.length + 1);
/** Round trips that end a burst. */
const SILENCE = 3;
/** A round trip where none was seen, in milliseconds. */
const USUAL_RTT = 50;

/**
 * The attacker of Xue et al., "Fingerprinting Obfuscated Proxy Traffic with Encapsulated TLS Handshakes" (USENIX
 * Security 2024): somebody's TLS handshake inside of a connection shows as a sequence of packets of certain sizes, and
 * as three bursts (for TLS 1.3) of certain lengths. Both tests have to agree:
 *
 * - trigrams of the first 25 packets, each by its direction and one of four sizes; how much better the hundred most
 *   frequent ones fit those of proxied connections than those of others, by the difference of chi-squared statistics;
 * - Mahalanobis' distance of three successive bursts, beginning with the client's, from those of known handshakes.
 *
 * Thresholds are those with which most proxied connections of the training set are found at the wanted share of false
 * accusations, or none where there are too few to show it.
 */
export interface NestedHandshakes {
  /** The threshold of the trigrams' difference: what is above it accuses. */
  readonly grams: number;
  /** The threshold of the distance: what is below it accuses. */
  readonly distance: number;
  /** The two scores of a connection; undefined where it is too short. */
  score(flow: FlowStart): { readonly grams: number; readonly distance: number } | undefined;
  /** Whether a connection is accused. */
  accuses(flow: FlowStart): boolean;
}

function symbolOf(size: number): number {
  const bytes = Math.abs(size);
  let kind = 0;
  while (kind < KINDS.length && bytes > KINDS[kind]!) kind++;
  return size > 0 ? kind : kind + KINDS.length + 1;
}

/** Adds a connection's trigrams to `counts`. */
function countGrams(flow: FlowStart, counts: Float64Array): void {
  const from = afterHandshake(flow);
  const end = Math.min(flow.sizes.length, from + PACKETS);
  for (let i = from; i + 2 < end; i++) {
    const [a, b, c] = [0, 1, 2].map((k) => symbolOf(flow.sizes[i + k]!));
    counts[(a! * SYMBOLS + b!) * SYMBOLS + c!]!++;
  }
}

/** Logarithms of the lengths of all bursts of the packets looked at, with whether the client's is the first. */
function bursts(flow: FlowStart): { readonly logs: number[]; readonly client: boolean } {
  const { rtt, sizes, times } = flow;
  const from = afterHandshake(flow);
  const end = Math.min(sizes.length, from + PACKETS);
  const silence = SILENCE * (rtt ?? USUAL_RTT);
  const logs: number[] = [];
  let sum = 0;
  for (let i = from; i < end; i++) {
    const begins = i === from || (sizes[i]! > 0) !== (sizes[i - 1]! > 0) ||
      times[i]! - times[i - 1]! > silence;
    if (begins && sum > 0) logs.push(Math.log(sum));
    sum = (begins ? 0 : sum) + Math.abs(sizes[i]!);
  }
  if (sum > 0) logs.push(Math.log(sum));
  return { logs, client: from < end && sizes[from]! > 0 };
}

/** Windows of bursts that may be a handshake: the client's come first. */
function* windows(flow: FlowStart): Generator<readonly number[]> {
  const { client, logs } = bursts(flow);
  for (let at = client ? 0 : 1; at + BURSTS <= logs.length; at += 2) {
    yield logs.slice(at, at + BURSTS);
  }
}

/** Mahalanobis' distance from what some rows are like. */
function distanceFrom(rows: readonly (readonly number[])[]): (row: readonly number[]) => number {
  const mean = Array.from(
    { length: BURSTS },
    (_, i) => rows.reduce((sum, row) => sum + row[i]!, 0) / rows.length,
  );
  const centred = new Matrix(rows.map((row) => row.map((value, i) => value - mean[i]!)));
  const covariance = centred.transpose().mmul(centred).div(Math.max(1, rows.length - 1));
  // Sizes that hardly vary would make every other one infinitely far.
  for (let i = 0; i < BURSTS; i++) covariance.set(i, i, covariance.get(i, i) + 1e-3);
  const inverse = pseudoInverse(covariance);
  return (row) => {
    let sum = 0;
    for (let i = 0; i < BURSTS; i++) {
      for (let j = 0; j < BURSTS; j++) {
        sum += (row[i]! - mean[i]!) * inverse.get(i, j) * (row[j]! - mean[j]!);
      }
    }
    return Math.sqrt(Math.max(0, sum));
  };
}

/** Candidates for the threshold of the distance. */
const CANDIDATES = 40;

/** Between the last that must not be accused and the first that is found, as far from either. */
function halfWay(grams: number, found: readonly { readonly grams: number }[]): number {
  const first = found.reduce((least, one) => Math.min(least, one.grams), Infinity);
  return Number.isFinite(grams) && Number.isFinite(first) ? (grams + first) / 2 : grams;
}

/** Which of two scores accuse, at most a share `rate` of the innocent. */
function chooseThresholds(
  proxied: readonly { readonly grams: number; readonly distance: number }[],
  plain: readonly { readonly grams: number; readonly distance: number }[],
  allowed: number,
): { readonly grams: number; readonly distance: number } {
  let best = { grams: Infinity, distance: 0 };
  let most = -1;
  const distances = proxied.map(({ distance }) => distance).sort((a, b) => a - b);
  for (let i = 1; i <= CANDIDATES; i++) {
    const distance = distances[Math.ceil(i * distances.length / CANDIDATES) - 1]! * (1 + 1e-9);
    const accused = plain.filter((one) => one.distance < distance).map(({ grams }) => grams)
      .sort((a, b) => b - a);
    const grams = accused[allowed] ?? -Infinity;
    const found = proxied.filter((one) => one.distance < distance && one.grams > grams);
    // Of thresholds that find as many, who may accuse nobody takes the tightest, who may accuse some the loosest.
    if (found.length > most || found.length === most && allowed > 0) {
      most = found.length;
      best = { grams: allowed > 0 ? grams : halfWay(grams, found), distance };
    }
  }
  return best;
}

/**
 * Learns to find handshakes inside connections.
 *
 * @param proxied Connections with a handshake inside, at their beginning.
 * @param plain Connections without.
 * @param rate Share of false accusations that is allowed among all of `plain`.
 */
export function learnNestedHandshakes(
  proxied: readonly FlowStart[],
  plain: readonly FlowStart[],
  rate: number,
): NestedHandshakes {
  const counts = [proxied, plain].map((flows) => {
    const sum = new Float64Array(SYMBOLS ** 3);
    for (const flow of flows) countGrams(flow, sum);
    return sum;
  });
  const shares = counts.map((own) => {
    const sum = own.reduce((total, count) => total + count, 0);
    return own.map((count) => (count + 0.5) / (sum + 0.5 * own.length));
  }) as [Float64Array, Float64Array];
  const chosen = Array.from(shares[0].keys())
    .sort((a, b) => shares[0][b]! + shares[1][b]! - shares[0][a]! - shares[1][a]!)
    .slice(0, GRAMS);
  const distance = distanceFrom(
    proxied.map((flow) => windows(flow).next().value).filter((row) => row !== undefined),
  );
  const own = new Float64Array(SYMBOLS ** 3);
  const score = (flow: FlowStart) => {
    let nearest = Infinity;
    for (const row of windows(flow)) nearest = Math.min(nearest, distance(row));
    if (nearest === Infinity) return undefined;
    own.fill(0);
    countGrams(flow, own);
    let n = 0;
    for (const gram of chosen) n += own[gram]!;
    if (n === 0) return undefined;
    let difference = 0;
    for (const gram of chosen) {
      const [like, unlike] = [n * shares[0][gram]!, n * shares[1][gram]!];
      difference += (own[gram]! - unlike) ** 2 / unlike - (own[gram]! - like) ** 2 / like;
    }
    return { grams: difference / n, distance: nearest };
  };
  const scores = (flows: readonly FlowStart[]) =>
    flows.map(score).filter((one) => one !== undefined);
  const threshold = chooseThresholds(
    scores(proxied),
    scores(plain),
    Math.floor(rate * plain.length),
  );
  return {
    ...threshold,
    score,
    accuses: (flow) => {
      const found = score(flow);
      return found !== undefined && found.grams > threshold.grams &&
        found.distance < threshold.distance;
    },
  };
}
