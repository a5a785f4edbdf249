import { setImmediate } from "node:timers";

/** Passes in one turn of the event loop, however short it is. */
const LEAST = 2;
/** One pass more for so many milliseconds that the turn before took: what passes gets about half of the time. */
const EACH = 2;
/** Passes in one turn, however long it is. */
const MOST = 16;

/**
 * The part of an address that one peer cannot choose freely: of an IPv6 address the first 64 bits.
 *
 * @example
 * ```ts
 * import { sourceOf } from "./turnstile.ts";
 * if (sourceOf("::ffff:192.0.2.1") !== sourceOf("192.0.2.1")) throw new Error("the same peer");
 * if (sourceOf("2001:db8::1") !== sourceOf("2001:db8:0:0:9::")) throw new Error("the same network");
 * ```
 */
export function sourceOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (!address.includes(":")) return address;
  const [front = "", back] = address.split("::");
  const head = front === "" ? [] : front.split(":");
  const tail = back === undefined || back === "" ? [] : back.split(":");
  const middle = Array<string>(back === undefined ? 0 : Math.max(0, 8 - head.length - tail.length))
    .fill("0");
  return [...head, ...middle, ...tail].slice(0, 4).join(":");
}

/**
 * Lets through a few at a time what costs processor time and anybody can cause, such as handshakes: cover timers and
 * users' bytes have their turns in between, however many peers come at once. Sources take turns, so that
 * who comes alone waits for one of each other source, and not for all that these have brought.
 *
 * @example
 * ```ts
 * import { Turnstile } from "./turnstile.ts";
 * const turnstile = new Turnstile();
 * const passed: string[] = [];
 * for (const name of ["flood 1", "flood 2", "flood 3", "flood 4"]) {
 *   turnstile.pass("198.51.100.7", () => passed.push(name));
 * }
 * await new Promise<void>((resolve) =>
 *   turnstile.pass("192.0.2.1", () => {
 *     passed.push("user");
 *     resolve();
 *   })
 * );
 * if (passed.join() !== "flood 1,flood 2,flood 3,user") throw new Error("one of each source");
 * ```
 */
export class Turnstile {
  /** What waits, by source; whose turn it is comes first. */
  readonly #waiting = new Map<string, (() => void)[]>();
  #left = LEAST;
  #refillDue = false;
  readonly #now: () => number;

  /** `now` tells the time in milliseconds; `performance.now()` if absent. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Sources of which something waits. */
  get sources(): number {
    return this.#waiting.size;
  }

  /** Calls `run` in this turn if there is room in it, or in a later one. */
  pass(address: string, run: () => void): void {
    if (this.#left > 0 && this.#waiting.size === 0) {
      this.#left--;
      this.#refill();
      return run();
    }
    const source = sourceOf(address);
    const others = this.#waiting.get(source);
    if (others === undefined) this.#waiting.set(source, [run]);
    else others.push(run);
    this.#refill();
  }

  #refill(): void {
    if (this.#refillDue) return;
    this.#refillDue = true;
    const begun = this.#now();
    setImmediate(() => {
      this.#refillDue = false;
      const room = Math.floor((this.#now() - begun) / EACH);
      const passes = Math.max(LEAST, Math.min(MOST, room));
      for (this.#left = passes; this.#left > 0 && this.#waiting.size > 0; this.#left--) {
        const [source, queue] = this.#waiting.entries().next().value!;
        this.#waiting.delete(source);
        const run = queue.shift()!;
        if (queue.length > 0) this.#waiting.set(source, queue);
        run();
      }
      if (this.#left < passes) this.#refill();
    });
  }
}
