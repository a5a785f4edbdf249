import type { LabelledSamples } from "../../plugins/attack.ts";
import { type Curve, curveOf } from "./curve.ts";
import { samplesOf, type Traffic } from "./traffic.ts";

/** Which connections repeat captured ones. */
export interface RepeatsJob {
  /** The protocol. */
  readonly protocol: string;
  /** What the model was learned from. */
  readonly learned: Traffic;
  /** Real traffic that it was not learned from. */
  readonly real: Traffic;
  /** The cover. */
  readonly cover: Traffic;
}

/** Shares of connections whose messages have, one after the other, the sizes of a captured connection's. */
export interface RepeatsResult {
  /** Of the cover. */
  readonly cover: number;
  /** Of real traffic that the model was not learned from. */
  readonly real: number;
  /** The same among connections of more than four messages. */
  readonly coverLong: number;
  /** The same of real ones. */
  readonly realLong: number;
  /** Connections, `[cover, real]`. */
  readonly n: readonly [number, number];
  /** How far each connection of the cover is from the nearest that the model was learned from. */
  readonly coverDistance: Distances;
  /** The same of real connections that it was not learned from. */
  readonly realDistance: Distances;
}

/** Distances to the nearest learned connection; see {@linkcode nearest}. */
export interface Distances {
  /** A twentieth is as near or nearer. */
  readonly low: number;
  /** The median. */
  readonly middle: number;
  /** A twentieth is as far or farther. */
  readonly high: number;
  /** The distribution. */
  readonly curve: Curve;
}

/** Messages that a connection has at most that is repeated by chance. */
const SHORT = 4;
/** Messages that a distance looks at one by one. */
const FIRST = 20;
/** Sizes of fewer bytes than this differ by bytes, larger ones by their ratio. */
const UNIT = 16;

/**
 * How much of cover, and of other real traffic, repeats connections that the model was learned from, and how near
 * either comes to them: a model that memorises is nearer than real traffic is.
 */
export async function repeats(job: RepeatsJob): Promise<RepeatsResult> {
  const read = async (traffic: Traffic) =>
    sequences(await samplesOf(traffic, job.protocol, "excluded"));
  const learned = await read(job.learned);
  const texts = new Set(learned.map(({ text }) => text));
  const share = (own: readonly { text: string }[]) =>
    own.length === 0 ? 0 : own.filter(({ text }) => texts.has(text)).length / own.length;
  const cover = await read(job.cover);
  const real = await read(job.real);
  const long = (own: typeof cover) => own.filter(({ messages }) => messages > SHORT);
  const distances = (own: typeof cover) =>
    distancesOf(own.map(({ vector }) => nearest(vector, learned.map(({ vector }) => vector))));
  return {
    cover: share(cover),
    real: share(real),
    coverLong: share(long(cover)),
    realLong: share(long(real)),
    n: [cover.length, real.length],
    coverDistance: distances(cover),
    realDistance: distances(real),
  };
}

function sequences({ count, offsets, sizes }: LabelledSamples) {
  return Array.from({ length: count }, (_, i) => {
    const own = sizes.subarray(offsets[i]!, offsets[i + 1]!);
    return { text: own.join(), messages: own.length, vector: vectorOf(own) };
  });
}

/** log2 of a size, with its sign; small sizes are nearly linear. */
const doublings = (size: number) => Math.sign(size) * Math.log2(1 + Math.abs(size) / UNIT);

/** A connection by its first messages' sizes, all bytes each way and how many messages it has, in doublings. */
export function vectorOf(sizes: ArrayLike<number>): Float64Array {
  const vector = new Float64Array(FIRST + 3);
  let client = 0;
  let server = 0;
  for (let m = 0; m < sizes.length; m++) {
    const size = sizes[m]!;
    if (m < FIRST) vector[m] = doublings(size);
    if (size > 0) client += size;
    else server -= size;
  }
  vector[FIRST] = doublings(client);
  vector[FIRST + 1] = doublings(server);
  vector[FIRST + 2] = Math.log2(1 + sizes.length);
  return vector;
}

/** Euclidean distance of a connection's vector to the nearest of others; `Infinity` to none. */
export function nearest(vector: Float64Array, others: readonly Float64Array[]): number {
  let best = Infinity;
  for (const other of others) {
    let sum = 0;
    for (let i = 0; i < vector.length && sum < best; i++) sum += (vector[i]! - other[i]!) ** 2;
    best = Math.min(best, sum);
  }
  return Math.sqrt(best);
}

function distancesOf(distances: readonly number[]): Distances {
  const sorted = Float64Array.from(distances).sort();
  const at = (share: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN;
  return { low: at(0.05), middle: at(0.5), high: at(0.95), curve: curveOf(sorted) };
}
