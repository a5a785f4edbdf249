import type { SessionPlan } from "../models/cover_model.ts";
import type { PlanSource } from "../models/plans.ts";
import { BadPlanError } from "./first_message.ts";

/** When a connection opens: the seed's traffic request `open`. */
export interface Opening {
  /**
   * What its time counts from: the `start` of the connection before it in its session, that one's `close` (the
   * seed's `reconnect`, if the time is 0), or the moment since which no connection of its user is open (`quiet`).
   */
  readonly after: "start" | "close" | "quiet";
  /** Milliseconds, in steps of 1/64, so that it can be sent. */
  readonly time: number;
  /** Whether an episode begins with it: demand may then begin it sooner. */
  readonly begins: boolean;
  /** The end that it shares with others of its session, by a number that only they have. */
  readonly end?: number;
}

/** Where a schedule learns when connections open. */
export interface OpeningSource {
  /**
   * When connection `serial` of a session opens; `"end"` if the session has no such connection and the next
   * session follows; undefined if that is not known yet.
   */
  opening(session: number, serial: number): Opening | "end" | undefined;
}

/** A session or a model without end may not turn in circles without time passing: milliseconds. */
const LEAST_TURN = 10;

/** So many episodes in a row without a connection are no model. */
const MOST_EMPTY = 1000;

/** Sessions and openings of each that are remembered: what is forgotten is drawn again. */
const MOST_SESSIONS = 64;
const MOST_OPENINGS = 4096;

/** The longest pause that an opening can have, in milliseconds. */
export const MOST_PAUSE: number = 2 ** 40;

function pauseOf(ms: number | undefined): number {
  return ms !== undefined && ms > 0 ? Math.round(Math.min(ms, MOST_PAUSE) * 64) / 64 : 0;
}

interface Book {
  readonly plan: SessionPlan | undefined;
  /** Serial number of the first opening that is remembered. */
  from: number;
  openings: Opening[];
  episode: number;
  /** No episode layer: from this serial on one connection follows another. */
  endlessFrom: number | undefined;
  ended: boolean;
}

/**
 * The openings that a model draws: sessions of episodes with pauses between, episodes of connections opened
 * together; or, where the model has no such layers, one connection after another. A pure function of the plans.
 */
export class DrawnOpenings implements OpeningSource {
  /** Sessions played at once; those below it begin when the tunnel does. */
  stride = 1;
  readonly #plans: PlanSource;
  readonly #stagger: (session: number) => number;
  readonly #books = new Map<number, Book>();

  /** `stagger` says how many milliseconds after the tunnel's begin each of the first sessions begins. */
  constructor(plans: PlanSource, stagger: (session: number) => number = () => 0) {
    this.#plans = plans;
    this.#stagger = stagger;
  }

  /** When a connection opens. Throws BadPlanError for a model whose episodes hold no connections. */
  opening(session: number, serial: number): Opening | "end" {
    const book = this.#book(session, serial);
    while (!book.ended && serial >= book.from + book.openings.length) {
      if (book.endlessFrom === undefined) this.#drawEpisode(session, book);
      if (book.endlessFrom !== undefined && serial >= book.endlessFrom) {
        return this.#follow(session, serial);
      }
    }
    const opening = book.openings[serial - book.from];
    if (opening === undefined) return "end";
    if (serial > 0 || session >= this.stride) return opening;
    return { ...opening, time: pauseOf(this.#stagger(session)) };
  }

  #book(session: number, serial: number): Book {
    let book = this.#books.get(session);
    if (book !== undefined && serial < book.from) {
      this.#books.delete(session);
      book = undefined;
    }
    if (book === undefined) {
      book = {
        plan: this.#plans.session(session),
        from: 0,
        openings: [],
        episode: 0,
        endlessFrom: undefined,
        ended: false,
      };
      this.#books.set(session, book);
      for (const oldest of this.#books.keys()) {
        if (this.#books.size <= MOST_SESSIONS) break;
        this.#books.delete(oldest);
      }
    }
    return book;
  }

  #drawEpisode(session: number, book: Book): void {
    const pauses = book.plan?.pauses;
    let pause = 0;
    for (let empty = 0; empty < MOST_EMPTY; empty++) {
      const index = book.episode++;
      const next = book.from + book.openings.length;
      if (pauses !== undefined && index > 0 && index >= pauses.length) {
        book.ended = true;
        return;
      }
      const episode = this.#plans.episode(session, next, empty);
      const follows = pauses === undefined && index > 0 && next > 0;
      if (follows && episode?.pause !== undefined) {
        pause += Math.max(LEAST_TURN, pauseOf(episode.pause));
      } else if (follows) {
        // No session layer: nothing is known of pauses between episodes but the connections' own gap.
        const gap = this.#plans.connectionGap(session, next - 1);
        pause += Math.max(LEAST_TURN, gap === "close" ? 0 : pauseOf(gap));
      } else pause += Math.max(LEAST_TURN, pauseOf(pauses?.[index]));
      if (episode === undefined) {
        book.openings.push({ after: "quiet", time: pause, begins: true });
        book.endlessFrom = next + 1;
        return;
      }
      const [first, ...others] = episode.starts;
      const endOf = (index: number) => {
        const end = episode.ends?.[index] ?? null;
        // There are no more ends than connections: those of different episodes stay apart.
        return end === null ? {} : { end: next + Math.min(end, others.length) };
      };
      if (first === undefined) continue;
      if (book.openings.length > MOST_OPENINGS) {
        book.from += book.openings.length;
        book.openings = [];
      }
      book.openings.push({
        // Only a session tells how long people are quiet. What follows at a pause does so while others are open.
        after: follows && episode.pause !== undefined ? "start" : "quiet",
        time: pause + pauseOf(first),
        begins: true,
        ...endOf(0),
      });
      for (const [index, gap] of others.entries()) {
        book.openings.push({
          after: "start",
          time: pauseOf(gap),
          begins: false,
          ...endOf(index + 1),
        });
      }
      return;
    }
    throw new BadPlanError(this.#plans.description.name, "its episodes open no connections");
  }

  /** In an endless episode: after the connection before, by the model's gap. */
  #follow(session: number, serial: number): Opening {
    const gap = this.#plans.connectionGap(session, serial - 1);
    return gap === "close"
      ? { after: "close", time: 0, begins: true }
      : { after: "start", time: pauseOf(gap), begins: true };
  }
}
