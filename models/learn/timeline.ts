import { type Layers, MOST_CLICK } from "../layers.ts";
import { linearTable, MOST_KNOTS, roundTime, stepTable } from "../quantile_table.ts";
import type { ObservedConnection, ObservedLayers } from "./observation.ts";

/**
 * Swing's RREtimeout: a connection that starts within this many milliseconds of the start of the one
 * before it, by the same client, belongs to the same episode. (The paper does not say what the 30 s
 * are measured from; its interConn is a gap between starts, so is this.)
 */
export const EPISODE_TIMEOUT = 30_000;

/** Swing's SESStimeout: an episode that starts within 5 minutes of the end of the one before it. */
export const SESSION_TIMEOUT = 300_000;

/**
 * A connection that starts within this many milliseconds of the start of the one before it, by the same client, was
 * opened for the same thing that the person did.
 */
export const CLICK_TIMEOUT = 1_000;

/**
 * What a client closes within this many milliseconds of one another it closed at once: with a window, a browser closes
 * its connections within six or seven.
 */
export const SHARED_END = 10;

/** Ends that fewer of all connections share are shared by chance. Of mail that is 6 %. */
const LEAST_SHARED = 0.1;

/** What may be known of a connection besides its start and end. */
export interface About {
  /** When an end closed it; its last packet comes a round trip later. */
  readonly over?: number | undefined;
  /** The same where its client closed it, by FIN. */
  readonly closed?: number | undefined;
  /** By what number its observation goes. */
  readonly number?: number;
}

/** A connection as the timeline keeps it. */
interface Seen extends About {
  readonly client: number;
  readonly start: number;
  readonly end: number;
}

/** A layer that rests on fewer completed observations than this is absent. */
export const LEAST_OBSERVATIONS = 5;

/** Most connections whose starts are kept; those after are left out of the layers. */
const MOST_STARTS = 1_000_000;

/**
 * Finds episodes and sessions in the starts and ends of connections, capture by capture, by Swing's
 * rules (SIGCOMM 2006, Section 4). Gaps between captures never count; what a capture's end cut off is
 * not completed and not counted.
 *
 * @example
 * ```ts
 * import { Timeline } from "./timeline.ts";
 * const timeline = new Timeline();
 * for (const start of [0, 200, 90_000]) timeline.add("client", start, start + 100);
 * timeline.endCapture(1_000_000);
 * const { episodeConnections, pauses } = timeline.observed();
 * if (episodeConnections.join() !== "2,1" || pauses.join() !== "89700") throw new Error("wrong");
 * ```
 */
export class Timeline {
  readonly #clients = new Map<string, number>();
  #connections: Seen[] = [];
  #count = 0;
  readonly #connectionGaps: number[] = [];
  readonly #clicks: number[][] = [];
  readonly #clickEnds: (number | null)[][] = [];
  readonly #clickMembers: (number | undefined)[][] = [];
  readonly #clickPauses: number[] = [];
  readonly #episodeClicks: number[] = [];
  readonly #episodeConnections: number[] = [];
  readonly #episodeGaps: number[] = [];
  readonly #sessionEpisodes: number[] = [];
  readonly #pauses: number[] = [];
  #mostOpen = 0;

  /** Connections that came after the limit and were left out. */
  leftOut = 0;

  /** A connection of `client` (forgotten at the capture's end), in milliseconds of any one clock. */
  add(client: string, start: number, end: number, about: About = {}): void {
    if (this.#count >= MOST_STARTS) {
      this.leftOut++;
      return;
    }
    this.#count++;
    let number = this.#clients.get(client);
    if (number === undefined) this.#clients.set(client, number = this.#clients.size);
    this.#connections.push({ ...about, client: number, start, end });
  }

  /** The capture has ended; its last packet had this time. */
  endCapture(end: number): void {
    const all = this.#connections.sort((a, b) => a.client - b.client || a.start - b.start);
    for (let from = 0; from < all.length;) {
      let to = from + 1;
      while (to < all.length && all[to]!.client === all[from]!.client) to++;
      this.#client(all.slice(from, to), end);
      from = to;
    }
    this.#connections = [];
    this.#clients.clear();
  }

  #client(connections: readonly Seen[], captureEnd: number): void {
    this.#mostOpen = Math.max(this.#mostOpen, mostOpen(connections));
    let episodes = 1;
    let inEpisode = 1;
    let clicks = 1;
    let click: number[] = [];
    let members = [connections[0]!];
    let gaps: number[] = [];
    let episodeEnd = connections[0]!.end;
    let before = connections[0]!.start;
    const endClick = () => {
      this.#clicks.push(click.slice(0, MOST_CLICK));
      members = members.slice(0, MOST_CLICK + 1);
      this.#clickEnds.push(sharedEnds(members));
      this.#clickMembers.push(members.map((one) => one.number));
      click = [];
      members = [];
    };
    const endEpisode = () => {
      endClick();
      this.#episodeClicks.push(clicks);
      clicks = 1;
      this.#episodeConnections.push(inEpisode);
      for (const gap of gaps) this.#episodeGaps.push(gap);
      inEpisode = 1;
      gaps = [];
    };
    for (const one of connections.slice(1)) {
      const { end, start } = one;
      const gap = start - before;
      before = start;
      if (gap <= EPISODE_TIMEOUT) {
        this.#connectionGaps.push(gap);
        gaps.push(gap);
        inEpisode++;
        if (gap <= CLICK_TIMEOUT) click.push(roundTime(gap));
        else {
          endClick();
          clicks++;
          this.#clickPauses.push(gap);
        }
        members.push(one);
        episodeEnd = Math.max(episodeEnd, end);
        continue;
      }
      endEpisode();
      members.push(one);
      if (start - episodeEnd <= SESSION_TIMEOUT) {
        this.#connectionGaps.push(gap);
        this.#pauses.push(Math.max(0, start - episodeEnd));
        episodes++;
      } else {
        this.#sessionEpisodes.push(episodes);
        episodes = 1;
      }
      episodeEnd = end;
    }
    if (captureEnd - before > EPISODE_TIMEOUT) endEpisode();
    else if (captureEnd - before > CLICK_TIMEOUT) endClick();
    if (captureEnd - episodeEnd > SESSION_TIMEOUT) this.#sessionEpisodes.push(episodes);
  }

  /** All observations so far. */
  observed(): ObservedLayers {
    return {
      mostOpen: this.#mostOpen,
      connectionGaps: this.#connectionGaps,
      clicks: this.#clicks,
      clickEnds: this.#clickEnds,
      clickMembers: this.#clickMembers,
      clickPauses: this.#clickPauses,
      episodeClicks: this.#episodeClicks,
      episodeConnections: this.#episodeConnections,
      episodeGaps: this.#episodeGaps,
      sessionEpisodes: this.#sessionEpisodes,
      pauses: this.#pauses,
    };
  }
}

/**
 * The layers of a model file: those that rest on {@linkcode LEAST_OBSERVATIONS} or more completed
 * observations. Gaps inside a layer are absent where it has a single member. Where connections of a click share ends,
 * it also names those of `connections` that belong to it.
 */
export function layersOf(
  observed: ObservedLayers,
  connections: readonly ObservedConnection[] = [],
): Layers {
  const { connectionGaps, episodeConnections, episodeGaps, sessionEpisodes, pauses } = observed;
  const { clickEnds = [], clickMembers = [], clickPauses, clicks } = observed;
  const { episodeClicks, mostOpen = 0 } = observed;
  const rows = new Map(connections.map(({ number }, row) => [number, row]));
  const members = clickMembers.map((click) =>
    click.map((number) => number === undefined ? null : rows.get(number) ?? null)
  );
  const click = !enough(clicks) || !enough(clickPauses) ? undefined : {
    starts: thinned(clicks),
    ...(isUsual(clickEnds.flat()) ? { ends: thinned(clickEnds) } : {}),
    ...(isUsual(clickEnds.flat()) && isUsual(members.flat()) ? { members: thinned(members) } : {}),
    pause: linearTable(clickPauses),
  };
  const episode = !shown(episodeConnections, episodeGaps) ? undefined : {
    connections: stepTable(episodeConnections),
    ...(click === undefined ? {} : { clicks: stepTable(episodeClicks) }),
    ...(enough(episodeGaps) ? { gap: linearTable(episodeGaps) } : {}),
  };
  const session = episode === undefined || !shown(sessionEpisodes, pauses) ? undefined : {
    episodes: stepTable(sessionEpisodes),
    ...(enough(pauses) ? { pause: linearTable(pauses) } : {}),
  };
  return {
    ...(mostOpen > 0 && enough(connectionGaps) ? { open: mostOpen } : {}),
    ...(enough(connectionGaps) ? { connectionGap: linearTable(connectionGaps) } : {}),
    ...(click === undefined ? {} : { click }),
    ...(episode === undefined ? {} : { episode }),
    ...(session === undefined ? {} : { session }),
  };
}

/** The layers as Swing has them, each variable by itself: without clicks. */
export function swingLayersOf(observed: ObservedLayers): Layers {
  return layersOf({ ...observed, clicks: [], clickPauses: [], episodeClicks: [] });
}

/** How many of some connections were open at the same time, at most: one that is being closed leaves room. */
function mostOpen(connections: readonly Seen[]): number {
  const changes = connections.flatMap(({ end, over = end, start }) =>
    [[start, 1], [over, -1]] as const
  )
    .sort(([a, up], [b, other]) => a - b || up - other);
  let [open, most] = [0, 0];
  for (const [, change] of changes) most = Math.max(most, open += change);
  return most;
}

/** Which of some connections their client closed at once: the number of the end of each, null if it has none with others. */
function sharedEnds(connections: readonly Seen[]): (number | null)[] {
  const closed = connections.filter((one) => one.closed !== undefined)
    .sort((a, b) => a.closed! - b.closed!);
  const together: Seen[][] = [];
  for (const [index, one] of closed.entries()) {
    const before = closed[index - 1];
    if (before !== undefined && one.closed! - before.closed! <= SHARED_END) {
      together.at(-1)!.push(one);
    } else together.push([one]);
  }
  const several = together.filter(({ length }) => length > 1);
  return connections.map((one) => {
    const end = several.findIndex((members) => members.includes(one));
    return end < 0 ? null : end;
  });
}

/** At most {@linkcode MOST_KNOTS} of a list, evenly spaced. */
function thinned<T>(list: readonly T[]): readonly T[] {
  const count = Math.min(list.length, MOST_KNOTS);
  return Array.from({ length: count }, (_, i) => list[Math.floor(i * list.length / count)]!);
}

/** Whether so many connections share ends that it is no chance. */
function isUsual(ends: readonly (number | null)[]): boolean {
  const shared = ends.filter((end) => end !== null);
  return enough(shared) && shared.length >= LEAST_SHARED * ends.length;
}

function enough(list: readonly unknown[]): boolean {
  return list.length >= LEAST_OBSERVATIONS;
}

/** Whether a layer was seen: how many members, and what lies between them where there are several. */
function shown(members: readonly number[], between: readonly number[]): boolean {
  return enough(members) && (enough(between) || members.every((count) => count === 1));
}
