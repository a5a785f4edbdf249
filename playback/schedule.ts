import type { SessionPlan } from "../models/cover_model.ts";
import type { PlanSource } from "../models/plans.ts";
import type { Clock, Timer } from "./clock.ts";

/** A connection that is to open now. */
export interface OpenRequest {
  /** Its session. */
  readonly session: number;
  /** Its serial number in the session. */
  readonly serial: number;
  /** When it was planned to open. */
  readonly planned: number;
  /** To be called when it is being opened. */
  readonly started: (time: number) => void;
  /** To be called when it has closed. */
  readonly closed: () => void;
}

/** What one slot's schedule needs. */
export interface ScheduleOptions {
  /** The time. */
  readonly clock: Clock;
  /** Where sessions, episodes and gaps come from. */
  readonly plans: PlanSource;
  /** The slot's first session. */
  readonly first: number;
  /** From one session of the slot to its next: how many slots there are. */
  readonly stride: number;
  /** In `demand` scheduling: whether users want anything, and the longest pause while they do. */
  readonly demand?: { readonly wanted: () => boolean; readonly maximumGap: number };
  /** Opens a connection, now or, behind a limit, later. */
  readonly open: (request: OpenRequest) => void;
}

/** A session or a model without end may not turn in circles without time passing: milliseconds. */
const LEAST_TURN = 10;

/** Openings later than this move what follows them; smaller lateness does not add up. */
const FORGIVEN = 20;

function pauseOf(ms: number | undefined): number {
  return ms !== undefined && ms > 0 ? Math.min(ms, 2 ** 42) : 0;
}

/**
 * Decides when the connections of one simulated user open: sessions of episodes with pauses between,
 * episodes of connections opened together; or, where the model has no such layers, one connection after
 * another. In `strict` scheduling it follows the model alone. In `demand` a pause before an episode (without
 * episodes: before a connection, if none is open) may be cut short; what an episode plays stays the model's.
 */
export class Schedule {
  readonly #options: ScheduleOptions;
  #session: number;
  #plan: SessionPlan | undefined;
  #episode = 0;
  #serial = 0;
  #live = 0;
  #toOpen = 0;
  #firstPause = true;
  #timers = new Set<Timer>();
  #pause: { began: number; due: number; timer: Timer; run: (due: number) => void } | undefined;
  #stopped = false;

  /** Prepares a slot. */
  constructor(options: ScheduleOptions) {
    this.#options = options;
    this.#session = options.first;
  }

  /** Begins the slot's first session after `delay` milliseconds, with its first episode at once. */
  start(delay: number): void {
    this.#timer(this.#options.clock.now() + delay, () => this.#beginSession());
  }

  /** Forgets everything planned; open connections are not touched. */
  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) this.#options.clock.cancel(timer);
    if (this.#pause !== undefined) this.#options.clock.cancel(this.#pause.timer);
    this.#pause = undefined;
  }

  /** When the pause that could be cut short ends; undefined if the slot is not pausing. */
  get pausedUntil(): number | undefined {
    return this.#pause !== undefined && this.#live === 0 ? this.#pause.due : undefined;
  }

  /** Cuts a pause short: to now, or to the longest one while users are active. */
  hurry(now: boolean): void {
    const { clock, demand } = this.#options;
    const pause = this.#pause;
    if (pause === undefined || demand === undefined || this.#live > 0) return;
    const due = now ? clock.now() : Math.max(clock.now(), pause.began + demand.maximumGap);
    if (due >= pause.due) return;
    clock.cancel(pause.timer);
    this.#setPause(pause.began, due, pause.run);
  }

  #timer(time: number, run: () => void): void {
    const timer = this.#options.clock.at(time, () => {
      this.#timers.delete(timer);
      run();
    });
    this.#timers.add(timer);
  }

  #setPause(began: number, due: number, run: (due: number) => void): void {
    const timer = this.#options.clock.at(due, () => {
      this.#pause = undefined;
      run(due);
    });
    this.#pause = { began, due, timer, run };
  }

  /** Pauses from `began`, which may be cut short in demand scheduling. */
  #wait(began: number, ms: number, run: (due: number) => void): void {
    if (this.#stopped) return;
    this.#setPause(began, began + ms, run);
    if (this.#options.demand?.wanted()) this.hurry(false);
  }

  #beginSession(): void {
    const { clock, plans } = this.#options;
    this.#plan = plans.session(this.#session);
    this.#episode = 0;
    this.#serial = 0;
    const [pause] = this.#plan?.pauses ?? [];
    // The slot begins as a user begins: with a click. Later sessions have their pause.
    const ms = this.#firstPause ? 0 : Math.max(LEAST_TURN, pauseOf(pause));
    this.#firstPause = false;
    this.#wait(clock.now(), ms, (due) => this.#beginEpisode(due));
  }

  #beginEpisode(due: number): void {
    const { clock, plans } = this.#options;
    const now = clock.now();
    const start = now - due < FORGIVEN ? due : now;
    const episode = plans.episode(this.#session, this.#episode);
    if (episode === undefined) return this.#openNext(start);
    let at = start;
    this.#toOpen = episode.starts.length;
    if (this.#toOpen === 0) return this.#endEpisode();
    for (const gap of episode.starts) {
      at += pauseOf(gap);
      const planned = at;
      if (planned <= now) this.#openInEpisode(planned);
      else this.#timer(planned, () => this.#openInEpisode(planned));
    }
  }

  #openInEpisode(planned: number): void {
    this.#toOpen--;
    this.#live++;
    this.#options.open({
      session: this.#session,
      serial: this.#serial++,
      planned,
      started: () => {},
      closed: () => {
        this.#live--;
        if (this.#live === 0 && this.#toOpen === 0 && !this.#stopped) this.#endEpisode();
      },
    });
  }

  #endEpisode(): void {
    const { clock, plans, stride } = this.#options;
    this.#episode++;
    const pauses = this.#plan?.pauses;
    if (pauses === undefined) {
      // No session layer: nothing is known of pauses between episodes but the connections' own gap.
      const gap = plans.connectionGap(this.#session, this.#serial - 1);
      const ms = Math.max(LEAST_TURN, gap === "close" ? 0 : pauseOf(gap));
      this.#wait(clock.now(), ms, (due) => this.#beginEpisode(due));
    } else if (this.#episode >= pauses.length) {
      this.#session += stride;
      this.#beginSession();
    } else {
      const ms = Math.max(LEAST_TURN, pauseOf(pauses[this.#episode]));
      this.#wait(clock.now(), ms, (due) => this.#beginEpisode(due));
    }
  }

  /** An endless episode: the next connection by the model's gap. */
  #openNext(planned: number): void {
    const { clock, plans } = this.#options;
    const serial = this.#serial++;
    const gap = plans.connectionGap(this.#session, serial);
    this.#live++;
    this.#options.open({
      session: this.#session,
      serial,
      planned,
      started: (time) => {
        if (gap === "close") return;
        const from = time - planned < FORGIVEN ? planned : time;
        this.#wait(from, pauseOf(gap), (due) => this.#openNext(due));
      },
      closed: () => {
        this.#live--;
        if (this.#stopped) return;
        if (gap === "close") this.#openNext(clock.now());
        else if (this.#options.demand?.wanted()) this.hurry(false);
      },
    });
  }
}
