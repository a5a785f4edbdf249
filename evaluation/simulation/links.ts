import { LAB_LINK, type LinkProfile } from "../../lab/link_profile.ts";

/**
 * Links to simulate, by name. The first two are the seed's: it gives the places, not the numbers, so that the round
 * trips (about 90 and 60 ms) are those of today's paths, and the rate of 20 Mbit/s is ours: far above what any model
 * asks for, it decides nothing.
 */
export const SIMULATED_LINKS: Readonly<Record<string, LinkProfile>> = {
  "canada-uk": { ...LAB_LINK, name: "canada-uk", oneWayDelayMs: 45 },
  "illinois-california": { ...LAB_LINK, name: "illinois-california", oneWayDelayMs: 30 },
  "mobile": { ...LAB_LINK, name: "mobile", oneWayDelayMs: 35, rateMbit: 8 },
  "lan": { ...LAB_LINK, name: "lan", oneWayDelayMs: 0.25, rateMbit: 1000 },
  "lab": LAB_LINK,
};
