import type { Random } from "../random.ts";
import { type LogNormal, logNormal, weighted } from "./distribution.ts";

/**
 * What people do between two things, and for how long: go on at once, read what they got, or do something
 * else. The limits are Swing's: more than 30 s after it began the next thing is another episode, more than
 * 5 minutes after it ended another session. Pauses are heavy-tailed, as user think times are found to be.
 */
const PAUSES: Readonly<Record<"short" | "reading" | "away", LogNormal>> = {
  short: { median: 6_000, sigma: 0.6, min: 1_000, max: 15_000 },
  reading: { median: 80_000, sigma: 0.6, min: 35_000, max: 285_000 },
  away: { median: 420_000, sigma: 0.25, min: 310_000, max: 900_000 },
};

const WEIGHTS = { short: 0.3, reading: 0.4, away: 0.3 } as const;

/** Milliseconds within which everybody has begun. */
const ARRIVAL = 120_000;

/** Most things that one person does. */
export const THINGS = 16;

/** Milliseconds before each of a person's {@linkcode THINGS}, counted from the end of the one before. */
export function userPauses(random: Random): number[] {
  const pauses = [random.float() * ARRIVAL];
  while (pauses.length < THINGS) {
    pauses.push(logNormal(random, PAUSES[weighted(random, WEIGHTS)]));
  }
  return pauses;
}
