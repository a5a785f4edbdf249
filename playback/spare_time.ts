import type { Clock, Timer } from "./clock.ts";

/** Milliseconds between two tasks: sockets get their turns. */
const PAUSE = 1;

/** Does what need not be done now a little later, one task at a time: what would else hold up an answer. */
export class SpareTime {
  readonly #clock: Clock;
  readonly #tasks: (() => void)[] = [];
  #timer: Timer | undefined;

  /** By the time of `clock`. */
  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Does `task` in a while, after those asked for before. */
  add(task: () => void): void {
    this.#tasks.push(task);
    this.#arm();
  }

  /** Forgets all tasks. */
  stop(): void {
    this.#tasks.length = 0;
    if (this.#timer !== undefined) this.#clock.cancel(this.#timer);
    this.#timer = undefined;
  }

  #arm(): void {
    if (this.#timer !== undefined || this.#tasks.length === 0) return;
    this.#timer = this.#clock.at(this.#clock.now() + PAUSE, () => {
      this.#timer = undefined;
      this.#tasks.shift()!();
      this.#arm();
    }, true);
  }
}
