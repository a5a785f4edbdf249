import type { Clock, Timer } from "./clock.ts";
import type { Opening, OpeningSource } from "./openings.ts";

/** A connection that is to open now. */
export interface OpenRequest {
  /** Its session. */
  readonly session: number;
  /** Its serial number in the session. */
  readonly serial: number;
  /** Its kind, chosen for its whole episode; 0 is the model's own mixture. */
  readonly kind: number;
  /** When it was planned to open. */
  readonly planned: number;
  /** The end that it shares with others of its session, if it does. */
  readonly end?: number;
  /** To be called when it is being opened. */
  readonly started: (time: number) => void;
  /** To be called when an end has begun to close it: from then on it leaves room for another. */
  readonly closing: () => void;
  /** To be called when it has closed. */
  readonly closed: () => void;
}

/** What one slot's schedule needs. */
export interface ScheduleOptions {
  /** The time. */
  readonly clock: Clock;
  /**
   * Whether an episode begins as soon as its first connection has room, so that others of it may have to wait; never
   * in `strict` and `demand`.
   */
  readonly hasty: () => boolean;
  /** When connections open: asked for the next one, until that is known. */
  readonly openings: OpeningSource;
  /** The same as far as it is known, to look ahead. */
  readonly known: OpeningSource;
  /** The slot's first session. */
  readonly first: number;
  /** From one session of the slot to its next: how many slots there are. */
  readonly stride: () => number;
  /** Whether users want anything, so that pauses before episodes are to be short; never in `strict`. */
  readonly wanted: () => boolean;
  /**
   * Connections of the slot that are open at once, at most. An episode waits until others have closed so that all of
   * its connections have room, as far as they are known: one that waited alone would start apart from the rest.
   */
  readonly mostOpen: number;
  /**
   * When somebody who goes on would open a connection that begins an episode, of whom the model says `opening`: the
   * same whenever it is asked for. It is opened then, or when the model says, whichever comes first.
   */
  readonly goesOn: (session: number, serial: number, opening: Opening) => GoesOn;
  /** The kind of an episode that begins. */
  readonly kind: () => number;
  /** Opens a connection, now or, behind a limit, later. */
  readonly open: (request: OpenRequest) => void;
}

/** After what, and how many milliseconds after it, somebody who goes on does the next thing. */
export type GoesOn = Pick<Opening, "after" | "time">;

/** Openings later than this move what follows them; smaller lateness does not add up. */
const FORGIVEN = 20;

/** The connection opened last, as far as what follows it needs to know. */
interface Before {
  /** When it was planned to open, or was opened if that was much later. */
  readonly planned: number;
  started: number | undefined;
  closed: number | undefined;
}

/**
 * Opens the connections of one simulated user when their {@linkcode Opening}s say, wherever those come from: the
 * model drawn here, the peer's model drawn here, or what the peer has sent. In `strict` scheduling it
 * follows them alone. Otherwise, while users want something, an episode begins when somebody who goes on would begin
 * it, if that is sooner: at a pause that is drawn as well. When users begin to want something after that, it begins
 * at once. What an episode plays stays the model's, and when its connections open after the first.
 */
export class Schedule {
  readonly #options: ScheduleOptions;
  #session: number;
  #serial = 0;
  #kind = 0;
  #live = 0;
  /** Those of them that no end has begun to close. */
  #open = 0;
  #quietSince = 0;
  /** The next opening waits until others have closed. */
  #crowded = false;
  /** When a connection last closed while the next opening waited for it. */
  #freed = -Infinity;
  #before: Before | undefined;
  #pause: { opening: Opening; due: number; timer: Timer } | undefined;
  /** The next opening, if what it counts from has not happened yet. */
  #awaiting: Opening | undefined;
  /** The next opening was not known when it was asked for. */
  #missed = false;
  #running = false;
  /** A connection is being handed over: what follows it waits until that is done. */
  #opening = false;

  /** Prepares a slot. */
  constructor(options: ScheduleOptions) {
    this.#options = options;
    this.#session = options.first;
  }

  /** Begins: the time of the slot's first opening counts from now. */
  start(): void {
    this.#running = true;
    this.#quietSince = this.#options.clock.now();
    this.#arm();
  }

  /** Forgets everything planned; open connections are not touched. */
  stop(): void {
    this.#running = false;
    if (this.#pause !== undefined) this.#options.clock.cancel(this.#pause.timer);
    this.#pause = undefined;
    this.#awaiting = undefined;
  }

  /** The connection that is next: its session and serial number. */
  get next(): { readonly session: number; readonly serial: number } {
    return { session: this.#session, serial: this.#serial };
  }

  /** Looks again whether the next opening is known by now. */
  poke(): void {
    if (this.#missed) this.#arm();
  }

  /** When the next episode begins, as far as that is known; undefined if something has to happen first. */
  get pausedUntil(): number | undefined {
    return this.#pause?.opening.begins ? this.#pause.due : undefined;
  }

  /**
   * Users want something from now on: the next episode begins when somebody who goes on would begin it. `late` counts
   * that pause from now, so that several simulated users do not all act at the same moment.
   */
  hurry(late: boolean): void {
    const { clock } = this.#options;
    if (!this.#running || this.#opening) return;
    const pause = this.#pause;
    const opening = pause?.opening ?? this.#awaiting;
    if (!opening?.begins) return;
    const due = this.#soonest(opening, late ? clock.now() : -Infinity);
    if (due === undefined || due >= (pause?.due ?? Infinity)) return;
    if (pause !== undefined) clock.cancel(pause.timer);
    this.#setPause(opening, due);
  }

  /** When somebody who goes on would begin an episode, counted from `since` at the earliest; undefined if not known. */
  #soonest(opening: Opening, since: number): number | undefined {
    const { clock, goesOn } = this.#options;
    const { after, time } = goesOn(this.#session, this.#serial, opening);
    const from = this.#trigger({ after, time, begins: true });
    return from === undefined
      ? undefined
      : Math.max(clock.now(), Math.max(from, since) + time, this.#freed);
  }

  #setPause(opening: Opening, due: number): void {
    this.#awaiting = undefined;
    const timer = this.#options.clock.at(due, () => {
      this.#pause = undefined;
      this.#fire(opening, due);
      this.#arm();
    });
    this.#pause = { opening, due, timer };
  }

  /** Waits for the next opening's time, if what it counts from has happened. */
  #arm(): void {
    const { clock, openings, stride, wanted } = this.#options;
    while (this.#running && !this.#opening && this.#pause === undefined) {
      this.#awaiting = undefined;
      let opening = openings.opening(this.#session, this.#serial);
      if (opening === "end" && this.#serial > 0) {
        this.#session += stride();
        this.#serial = 0;
        opening = openings.opening(this.#session, 0);
      }
      if (opening === undefined || opening === "end") {
        this.#missed = true;
        return;
      }
      this.#crowded = this.#open + this.#room(opening) > this.#options.mostOpen;
      if (this.#crowded) return;
      const began = this.#trigger(opening);
      if (began === undefined) {
        this.#awaiting = opening;
        if (wanted()) this.hurry(false);
        return;
      }
      const now = clock.now();
      // What is heard of late is not late, nor is what had to wait for another to close.
      const due = Math.max(began + opening.time, this.#missed ? now : 0, this.#freed);
      this.#missed = false;
      if (!opening.begins && due <= now) {
        this.#fire(opening, due);
        continue;
      }
      this.#setPause(opening, due);
      if (opening.begins && wanted()) this.hurry(false);
    }
  }

  /** How many connections an opening needs room for: its own, and those of the episode that it begins. */
  #room({ begins }: Opening): number {
    const { hasty, known, mostOpen } = this.#options;
    if (!begins || mostOpen === Infinity || hasty()) return 1;
    let room = 1;
    for (; room < mostOpen; room++) {
      const next = known.opening(this.#session, this.#serial + room);
      if (next === undefined || next === "end" || next.begins) break;
    }
    return room;
  }

  /** No connection is open any more: what was to begin at somebody's next step may be due sooner. */
  #onQuiet(): void {
    const { clock } = this.#options;
    this.#quietSince = clock.now();
    const pause = this.#pause;
    if (pause?.opening.after !== "quiet") return;
    const due = clock.now() + pause.opening.time;
    if (due >= pause.due) return;
    clock.cancel(pause.timer);
    this.#setPause(pause.opening, due);
  }

  /** When that happened which an opening counts from. */
  #trigger({ after, begins }: Opening): number | undefined {
    const before = this.#before;
    if (before === undefined) return this.#quietSince;
    if (after === "quiet") return this.#live === 0 ? this.#quietSince : undefined;
    if (after === "close") return before.closed;
    return begins ? before.started : before.planned;
  }

  #fire({ begins, end }: Opening, due: number): void {
    const { clock, kind, open } = this.#options;
    const forgiving = (time: number) => time - due < FORGIVEN ? due : time;
    if (begins) this.#kind = kind();
    const before: Before = {
      planned: forgiving(clock.now()),
      started: undefined,
      closed: undefined,
    };
    this.#before = before;
    this.#live++;
    this.#open++;
    let closing = false;
    const close = () => {
      if (closing) return;
      closing = true;
      this.#open--;
      if (this.#crowded) this.#freed = clock.now();
    };
    this.#opening = true;
    open({
      session: this.#session,
      serial: this.#serial++,
      kind: this.#kind,
      planned: due,
      ...(end === undefined ? {} : { end }),
      started: (time) => {
        before.started = forgiving(time);
        this.#arm();
      },
      closing: () => {
        close();
        if (this.#crowded) this.#arm();
      },
      closed: () => {
        close();
        before.closed = clock.now();
        if (--this.#live === 0) this.#onQuiet();
        this.#arm();
      },
    });
    this.#opening = false;
  }
}
