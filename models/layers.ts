import * as v from "valibot";
import type { EpisodePlan, SessionPlan } from "./cover_model.ts";
import {
  drawFrom,
  linearSchema,
  type LinearTable,
  MOST_KNOTS,
  stepSchema,
  type StepTable,
  timeSchema,
} from "./quantile_table.ts";
import type { Random } from "./random.ts";

/** Most gaps of one click that are kept. */
export const MOST_CLICK = 256;

/** How far a drawn gap within a click lies from the observed one, as a share of it. */
const CLICK_REACH = 0.2;

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
  /**
   * What one thing that a person does opens, and how long until the next: connections of one client that start less
   * than a second after the one before, drawn together. Swing's RRE is wider, and independent gaps inside it lose
   * that a page's connections start as one.
   */
  readonly click?: {
    /** Milliseconds between the starts of each click that was observed. */
    readonly starts: readonly (readonly number[])[];
    /**
     * For each of them, what its connections ended with: those of one number were closed by their client at once, null
     * was not closed with another of the click. Nothing shares an end if absent.
     */
    readonly ends?: readonly (readonly (number | null)[])[] | undefined;
    /** For each of them, the model's numbers of its connections; null where one was not kept. Not known if absent. */
    readonly members?: readonly (readonly (number | null)[])[] | undefined;
    /** Milliseconds from a click's last start to the next click's first, within an episode. */
    readonly pause: LinearTable;
  } | undefined;
  /** Swing's RRE. */
  readonly episode?: {
    /** Connections in an episode (numconn). */
    readonly connections: StepTable;
    /** Clicks in an episode. */
    readonly clicks?: StepTable | undefined;
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

/** One connection of a click is the first, so that there are no more ends than this. */
const endSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(MOST_CLICK));
const memberSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

/** Validates {@linkcode Layers}. */
export const layersSchema: v.GenericSchema<unknown, Layers> = v.strictObject({
  open: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(10_000))),
  connectionGap: v.optional(linearSchema),
  click: v.optional(v.pipe(
    v.strictObject({
      starts: v.pipe(
        v.array(v.pipe(v.array(timeSchema), v.maxLength(MOST_CLICK))),
        v.minLength(1),
        v.maxLength(MOST_KNOTS),
      ),
      ends: v.optional(v.array(v.array(v.nullable(endSchema)))),
      members: v.optional(v.array(v.array(v.nullable(memberSchema)))),
      pause: linearSchema,
    }),
    v.check(
      ({ ends, members, starts }) =>
        [ends, members].every((lists) =>
          lists === undefined || lists.length === starts.length &&
            lists.every((click, at) => click.length === starts[at]!.length + 1)
        ),
      "the shared ends or members are not those of the clicks",
    ),
  )),
  episode: v.optional(
    v.strictObject({
      connections: stepSchema(1, 10_000),
      clicks: v.optional(stepSchema(1, 10_000)),
      gap: v.optional(linearSchema),
    }),
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

type Click = NonNullable<Layers["click"]>;

/** A click like one of those observed, as an episode of its own: its first connection starts at 0. */
function drawClick({ ends, members, starts }: Click, random: Random): EpisodePlan {
  const click = random.integer(starts.length);
  const gaps = starts[click]!.map((gap) => gap * (1 + CLICK_REACH * (2 * random.float() - 1)));
  const shared = ends?.[click];
  const like = members?.[click];
  return {
    starts: [0, ...gaps],
    ...(shared === undefined ? {} : { ends: shared }),
    ...(like === undefined ? {} : { like }),
  };
}

/** Draws how long a person who goes on takes until the next thing; undefined where no captures showed it. */
export function drawPause({ click }: Layers, random: Random): number | undefined {
  return click === undefined ? undefined : drawFrom(click.pause, random);
}

/**
 * Draws an episode, or undefined where the captures showed none. Without a session to play it in, an episode is one
 * click, after a pause.
 */
export function drawEpisode(layers: Layers, random: Random): EpisodePlan | undefined {
  const { click, episode, session } = layers;
  if (session === undefined || episode === undefined) {
    if (click === undefined) return undefined;
    return { ...drawClick(click, random), pause: drawFrom(click.pause, random) };
  }
  const { clicks, connections, gap } = episode;
  if (click !== undefined && clicks !== undefined) {
    const first = drawClick(click, random);
    const starts = [...first.starts];
    const ends = [...first.ends ?? []];
    for (let left = drawFrom(clicks, random); left > 1; left--) {
      const before = starts.length;
      const pause = drawFrom(click.pause, random);
      const next = drawClick(click, random);
      starts.push(pause, ...next.starts.slice(1));
      // A click has no more ends than connections: those of different clicks stay apart.
      ends.push(...(next.ends ?? []).map((end) => end === null ? null : before + end));
    }
    return click.ends === undefined ? { starts } : { starts, ends };
  }
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
