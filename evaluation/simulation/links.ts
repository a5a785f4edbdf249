import { type LinkProfile, LINKS } from "../../lab/link_profile.ts";

/**
 * Links to simulate, by name: those of the laboratory, so that both mean the same by a name. Of each the
 * simulation has delay, rate and queue; it knows no jitter and no loss.
 */
export const SIMULATED_LINKS: Readonly<Record<string, LinkProfile>> = Object.fromEntries(
  Object.entries(LINKS).map(([name, { jitterMs: _jitter, loss: _loss, ...link }]) => [name, link]),
);
