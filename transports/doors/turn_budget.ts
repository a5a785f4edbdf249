import { setImmediate } from "node:timers";

/**
 * How many bytes the doors may copy in one turn of the event loop. Cover timers share the thread with
 * the copying of user data, and must never wait behind much of it (invariant 1).
 */
export class TurnBudget {
  readonly #bytes: number;
  #left: number;
  #refillDue = false;
  #waiting: (() => void)[] = [];

  /** Allows `bytes` a turn; 262,144 if absent: about 0.2 ms of copying. */
  constructor(bytes = 262_144) {
    this.#bytes = bytes;
    this.#left = bytes;
  }

  /** Whether this turn has anything left. */
  get open(): boolean {
    return this.#left > 0;
  }

  /** Counts bytes that were copied. */
  spend(bytes: number): void {
    this.#left -= bytes;
    this.#refill();
  }

  /** Calls `run` in a later turn that has something left, in order of asking. */
  later(run: () => void): void {
    this.#waiting.push(run);
    this.#refill();
  }

  #refill(): void {
    if (this.#refillDue) return;
    this.#refillDue = true;
    setImmediate(() => {
      this.#refillDue = false;
      this.#left = this.#bytes;
      const waiting = this.#waiting;
      this.#waiting = [];
      for (let i = 0; i < waiting.length; i++) {
        if (!this.open) {
          this.#waiting = [...waiting.slice(i), ...this.#waiting];
          break;
        }
        waiting[i]!();
      }
      if (this.#waiting.length > 0) this.#refill();
    });
  }
}
