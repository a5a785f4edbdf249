/** A path between two hosts, the same in both directions. */
export interface LinkProfile {
  /** What tables and reports call it. */
  readonly name: string;
  /** Milliseconds a packet travels one way, queueing excluded. */
  readonly oneWayDelayMs: number;
  /** Megabits (10^6) a second, IP headers included. */
  readonly rateMbit: number;
  /** Kilobytes (1024 bytes) that wait at the slow hop before packets are dropped. */
  readonly queueKB: number;
  /** Largest TCP payload of one segment in bytes: the MTU less IP, TCP and timestamp headers. */
  readonly mss: number;
  /** Extra delay each way, drawn uniformly from 0 to this many milliseconds; packets keep their order. None where absent. */
  readonly jitterMs?: number;
  /** Share of packets lost at random each way, from 0 to 1. None where absent. */
  readonly loss?: number;
}

/** The laboratory's link: the samples were recorded over it and the demo plays over it. */
export const LAB_LINK: LinkProfile = {
  name: "lab",
  oneWayDelayMs: 20,
  rateMbit: 20,
  queueKB: 256,
  mss: 1448,
};

/**
 * Links by name, for recordings and simulations alike. `canada-uk` and `illinois-california` are the seed's: it
 * gives the places, not the numbers, so that the round trips (about 90 and 60 ms) are those of today's paths. The
 * rate of 20 Mbit/s is ours: far above what any model asks for, it decides nothing. A simulation has no
 * losses and no jitter: it takes a profile's delay, rate and queue.
 *
 * @example
 * ```ts
 * import { LINKS } from "./link_profile.ts";
 * if (LINKS["canada-uk"]!.oneWayDelayMs !== 45) throw new Error("another path");
 * ```
 */
export const LINKS: Readonly<Record<string, LinkProfile>> = {
  "lab": LAB_LINK,
  "lan": { ...LAB_LINK, name: "lan", oneWayDelayMs: 0.25, rateMbit: 1000 },
  "canada-uk": { ...LAB_LINK, name: "canada-uk", oneWayDelayMs: 45, jitterMs: 1, loss: 0.0001 },
  "illinois-california": {
    ...LAB_LINK,
    name: "illinois-california",
    oneWayDelayMs: 30,
    jitterMs: 1,
    loss: 0.0001,
  },
  "mobile": {
    ...LAB_LINK,
    name: "mobile",
    oneWayDelayMs: 35,
    rateMbit: 8,
    jitterMs: 12,
    loss: 0.005,
  },
};
