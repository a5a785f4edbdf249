import * as v from "valibot";
import type { EpisodePlan, SessionPlan } from "./cover_model.ts";
import {
  drawFrom,
  linearSchema,
  type LinearTable,
  stepSchema,
  type StepTable,
} from "./quantile_table.ts";
import type { Random } from "./random.ts";

/**
 * Swing's layers above the connection (its Table 1: users, RREs, connections). A layer that the captures
 * could not show is absent. Episodes are played only under sessions: without a completed session nobody
 * has seen how many episodes one has, and the gaps between connections say all that was seen.
 */
export interface Layers {
  /** Connections of one client that were open at once, at most. */
  readonly open?: number | undefined;
  /** Milliseconds from one connection's start to the next one's, of the same client. */
  readonly connectionGap?: LinearTable | undefined;
  /** Swing's RRE. */
  readonly episode?: {
    /** Connections in an episode (numconn). */
    readonly connections: StepTable;
    /** Milliseconds between connection starts inside an episode (interConn). */
    readonly gap?: LinearTable | undefined;
  } | undefined;
  /** Swing's session. */
  readonly session?: {
    /** Episodes in a session (numRRE). */
    readonly episodes: StepTable;
    /** Milliseconds from an episode's end to the next one's start (interRRE). */
    readonly pause?: LinearTable | undefined;
  } | undefined;
}

/** Validates {@linkcode Layers}. */
export const layersSchema: v.GenericSchema<unknown, Layers> = v.strictObject({
  open: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(10_000))),
  connectionGap: v.optional(linearSchema),
  episode: v.optional(
    v.strictObject({ connections: stepSchema(1, 10_000), gap: v.optional(linearSchema) }),
  ),
  session: v.optional(
    v.strictObject({ episodes: stepSchema(1, 10_000), pause: v.optional(linearSchema) }),
  ),
});

/** Draws a session, or undefined where the captures showed none. */
export function drawSession(layers: Layers, random: Random): SessionPlan | undefined {
  if (layers.session === undefined || layers.episode === undefined) return undefined;
  const { episodes, pause } = layers.session;
  const pauses = [0];
  for (let left = drawFrom(episodes, random); left > 1; left--) {
    pauses.push(pause === undefined ? 0 : drawFrom(pause, random));
  }
  return { pauses };
}

/** Draws an episode, or undefined where the captures showed none, or no session to play it in. */
export function drawEpisode(layers: Layers, random: Random): EpisodePlan | undefined {
  if (layers.session === undefined || layers.episode === undefined) return undefined;
  const { connections, gap } = layers.episode;
  const starts = [0];
  for (let left = drawFrom(connections, random); left > 1; left--) {
    starts.push(gap === undefined ? 0 : drawFrom(gap, random));
  }
  return { starts };
}

/** Draws the gap after a connection; `"close"` where the captures showed none. */
export function drawConnectionGap(layers: Layers, random: Random): number | "close" {
  return layers.connectionGap === undefined ? "close" : drawFrom(layers.connectionGap, random);
}
