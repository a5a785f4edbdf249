import type { Clock, Timer } from "./clock.ts";

/** One connection's part in a shared end. */
export interface Farewell {
  /**
   * The connection has had nothing more to say since `through` and would close at `due` by itself. `close` is called,
   * with the time planned, when all close.
   */
  ready(through: number, due: number, close: (planned: number) => void): void;
  /** The connection is gone. */
  leave(): void;
}

interface Ready {
  readonly through: number;
  readonly due: number;
  readonly close: (planned: number) => void;
}

interface Group {
  /** Connections that are open. */
  open: number;
  /** Those of them that have nothing more to say. */
  readonly ready: Map<Farewell, Ready>;
  timer: Timer | undefined;
}

/**
 * Lets connections that share an end close at once, as those of a window do: when all of them that are open have
 * nothing more to say, at the mean of the times at which they would have closed by themselves. So they last as long as
 * by themselves on average. It is decided at the end that closes, by nothing but when its connections opened, were
 * through, and would have closed: the other end needs to know nothing.
 *
 * @example
 * ```ts
 * import { SharedEnds } from "./shared_ends.ts";
 * import { VirtualClock } from "./virtual_clock.ts";
 * const clock = new VirtualClock();
 * const ends = new SharedEnds(clock);
 * const [one, other] = [ends.join(0, 7), ends.join(0, 7)];
 * const closed: number[] = [];
 * one.ready(0, 500, (at) => closed.push(at));
 * clock.run(1000);
 * other.ready(1000, 2500, (at) => closed.push(at));
 * clock.run(2000);
 * if (closed.join() !== "1500,1500") throw new Error(closed.join());
 * ```
 */
export class SharedEnds {
  readonly #clock: Clock;
  readonly #groups = new Map<string, Group>();

  /** Nothing shares an end yet. */
  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A connection of `session` has opened that shares the end of this number. */
  join(session: number, end: number): Farewell {
    const name = `${session}/${end}`;
    const group: Group = this.#groups.get(name) ?? { open: 0, ready: new Map(), timer: undefined };
    this.#groups.set(name, group);
    group.open++;
    this.#look(name, group);
    let gone = false;
    const farewell: Farewell = {
      ready: (through, due, close) => {
        if (gone) return;
        group.ready.set(farewell, { through, due, close });
        this.#look(name, group);
      },
      leave: () => {
        if (gone) return;
        gone = true;
        group.open--;
        group.ready.delete(farewell);
        this.#look(name, group);
      },
    };
    return farewell;
  }

  /** Plans the end of a group anew, as far as it can be known. */
  #look(name: string, group: Group): void {
    if (group.timer !== undefined) this.#clock.cancel(group.timer);
    group.timer = undefined;
    const forget = () => {
      if (this.#groups.get(name) === group) this.#groups.delete(name);
    };
    if (group.open === 0) return forget();
    if (group.ready.size < group.open) return;
    let latest = 0;
    let sum = 0;
    for (const { due, through } of group.ready.values()) {
      latest = Math.max(latest, through);
      sum += due;
    }
    const planned = Math.max(latest, sum / group.ready.size);
    group.timer = this.#clock.at(planned, () => {
      group.timer = undefined;
      // Whoever opens after this has nobody to wait for.
      forget();
      const closing = [...group.ready.values()];
      group.ready.clear();
      for (const { close } of closing) close(planned);
    });
  }
}
