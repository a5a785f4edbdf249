import type { LabelledSamples } from "../../plugins/attack.ts";
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
}

/** Messages that a connection has at most that is repeated by chance. */
const SHORT = 4;

/** How much of cover, and of other real traffic, repeats connections that the model was learned from. */
export async function repeats(job: RepeatsJob): Promise<RepeatsResult> {
  const read = async (traffic: Traffic) =>
    sequences(await samplesOf(traffic, job.protocol, "excluded"));
  const learned = new Set((await read(job.learned)).map(({ text }) => text));
  const share = (own: readonly { text: string }[]) =>
    own.length === 0 ? 0 : own.filter(({ text }) => learned.has(text)).length / own.length;
  const cover = await read(job.cover);
  const real = await read(job.real);
  const long = (own: typeof cover) => own.filter(({ messages }) => messages > SHORT);
  return {
    cover: share(cover),
    real: share(real),
    coverLong: share(long(cover)),
    realLong: share(long(real)),
    n: [cover.length, real.length],
  };
}

function sequences({ count, offsets, sizes }: LabelledSamples) {
  return Array.from({ length: count }, (_, i) => {
    const own = sizes.subarray(offsets[i]!, offsets[i + 1]!);
    return { text: own.join(), messages: own.length };
  });
}
