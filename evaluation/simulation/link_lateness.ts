import { type CaptureSource, readConnections } from "../../capture/mod.ts";
import type { LinkProfile } from "../../lab/link_profile.ts";
import type { Random } from "../../models/random.ts";

/** Quantiles that are kept of the lateness. */
const KNOTS = 65;
/** Bytes of a SYN with its IP header. */
const SYN = 60;

/** Milliseconds of a round trip that ends in the machine on which it is seen. */
const OWN_MACHINE = 0.2;
/** How irregularly data comes, as a share of how openings do, which meet machines that sleep: measured by an echo. */
const DATA_JITTER = 0.45;
/** Share of openings that are quicker than what is taken to be without jitter. */
const QUICK = 0.02;

/**
 * How late packets were in recordings over a link of `profile`, taken from what nothing but the link and two kernels
 * had a part in: the round trips of connections' openings. Quantiles of one packet's lateness in milliseconds, evenly
 * spaced, such that two of them, drawn independently, are spread as data is when openings are spread like these: below
 * their median, which what lies above is taken to mirror, for there openings also waited behind other packets, and that
 * a link's model does by itself. Empty where no opening was recorded.
 */
export async function linkLateness(
  captures: readonly CaptureSource[],
  { oneWayDelayMs, rateMbit }: LinkProfile,
): Promise<number[]> {
  const nominal = 2 * oneWayDelayMs + (rateMbit > 0 ? 2 * SYN * 8 / (rateMbit * 1000) : 0);
  const late: number[] = [];
  await readConnections(captures, {
    onConnection({ rtt }) {
      if (rtt.client === undefined || rtt.server === undefined) return;
      // The recorder's own machine is not on the link.
      const trips = [rtt.client, rtt.server].filter((trip) => trip >= OWN_MACHINE);
      late.push(Math.max(0, trips.reduce((sum, trip) => sum + trip, 0) - nominal));
    },
  });
  if (late.length === 0) return [];
  late.sort((a, b) => a - b);
  const median = late[late.length >> 1]!;
  const quick = late[Math.floor(QUICK * late.length)]!;
  const middle = quick + DATA_JITTER * (median - quick);
  return Array.from({ length: KNOTS }, (_, knot) => {
    const share = knot / (KNOTS - 1);
    const below = median - late[Math.round(Math.min(share, 1 - share) * (late.length - 1))]!;
    const away = DATA_JITTER * Math.min(below, median - quick);
    return middle / 2 + Math.sign(share - 0.5) * away / Math.SQRT2;
  });
}

/** Draws from the quantiles of {@linkcode linkLateness}. */
export function drawLateness(quantiles: readonly number[], random: Random): () => number {
  if (quantiles.length === 0) return () => 0;
  return () => {
    const rank = random.float() * (quantiles.length - 1);
    const below = Math.floor(rank);
    const low = quantiles[below]!;
    return low + (rank - below) * (quantiles[Math.min(below + 1, quantiles.length - 1)]! - low);
  };
}
