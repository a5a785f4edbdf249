import { Schedule, type ScheduleOptions } from "./schedule.ts";

/** The slots of a tunnel: each plays one simulated user after another, by a schedule of its own. */
export class Slots {
  /** How many there are to be: from a session to the next of its slot. */
  stride = 1;
  readonly #options: Omit<ScheduleOptions, "first" | "stride">;
  readonly #slots: Schedule[] = [];

  /** Slots that all open connections by these options; none is there yet. */
  constructor(options: Omit<ScheduleOptions, "first" | "stride">) {
    this.#options = options;
  }

  /** Begins those that are not there yet. */
  start(): void {
    for (let first = this.#slots.length; first < this.stride; first++) {
      const slot = new Schedule({ ...this.#options, first, stride: () => this.stride });
      this.#slots.push(slot);
      slot.start();
    }
  }

  /** The slot of a session, by its number. */
  of(session: number): number {
    return session % this.stride;
  }

  /** Whether a connection is still to come. */
  awaits(session: number, serial: number): boolean {
    const next = this.#slots[this.of(session)]?.next;
    return next === undefined || session > next.session ||
      (session === next.session && serial >= next.serial);
  }

  /** Looks again whether openings are known by now. */
  poke(): void {
    for (const slot of this.#slots) slot.poke();
  }

  /**
   * Users want something from now on: the slot that would go on first does so as if they had wanted it all along, the
   * others count their pauses from now.
   */
  hurry(): void {
    let first: Schedule | undefined;
    for (const slot of this.#slots) {
      const until = slot.pausedUntil ?? Infinity;
      if (first === undefined || until < (first.pausedUntil ?? Infinity)) first = slot;
    }
    for (const slot of this.#slots) slot.hurry(slot !== first);
  }

  /** Opens nothing any more. */
  stop(): void {
    for (const slot of this.#slots) slot.stop();
  }
}
