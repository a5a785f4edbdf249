import { peerOf, type Side } from "../../capture/side.ts";
import type { Clock } from "../../playback/mod.ts";

/** A connection of an application, bytes both ways, in virtual time. */
export interface Pipe {
  /** A side's application writes so many bytes. */
  send(from: Side, bytes: number): void;
  /** Calls `then` once `at` has got `total` bytes in all, at once if it has; totals may not fall from call to call. */
  received(at: Side, total: number, then: () => void): void;
  /** The client closes, and the server after it. */
  close(): void;
  /** Both forget it at once; nobody is called any more. */
  abort(): void;
}

/** What carries an application's connections: a bare link, a tunnel, a relay. */
export interface Network {
  /** The time. */
  readonly clock: Clock;
  /** Opens a connection; the client may write at once. */
  connect(): Pipe;
}

/** What a process waits for: calls `resume` when it may go on. */
export type Step = (resume: () => void) => void;

/** Something that goes on in virtual time, both ends of it told by one text: it waits by `yield`. */
export type Process = Generator<Step, void, void>;

/** A connection together with what was sent on it. */
export class Talk {
  readonly #sent: [number, number] = [0, 0];

  /** Both ends of `pipe`. */
  constructor(readonly pipe: Pipe) {}

  /** `from` writes. */
  send(from: Side, bytes: number): void {
    this.#sent[from] += bytes;
    this.pipe.send(from, bytes);
  }

  /** Waits until all that was sent to `at` so far is there. */
  arrived(at: Side): Step {
    const total = this.#sent[peerOf(at)];
    return (resume) => this.pipe.received(at, total, resume);
  }
}

/**
 * Where processes run, with a network between the two ends of what they do. All of them end with the stage.
 *
 * @example
 * ```ts
 * import { BareNetwork } from "./networks.ts";
 * import { Stage } from "./stage.ts";
 * import { LAB_LINK } from "../../lab/link_profile.ts";
 * const network = new BareNetwork(LAB_LINK);
 * const stage = new Stage(network);
 * let answered = 0;
 * stage.run((function* () {
 *   const talk = stage.connect();
 *   talk.send(0, 300);
 *   yield talk.arrived(1);
 *   yield stage.pause(10);
 *   talk.send(1, 5000);
 *   yield talk.arrived(0);
 *   answered = network.clock.now();
 * })());
 * network.clock.run(1000);
 * // A handshake, a round trip, and ten milliseconds.
 * if (Math.floor(answered) < 90 || answered > 100) throw new Error(String(answered));
 * ```
 */
export class Stage {
  #ended = false;
  readonly #pipes: Pipe[] = [];

  /** A stage in front of a network. */
  constructor(readonly network: Network) {}

  /** The time. */
  get now(): number {
    return this.network.clock.now();
  }

  /** Opens a connection. */
  connect(): Talk {
    const pipe = this.network.connect();
    this.#pipes.push(pipe);
    return new Talk(pipe);
  }

  /** Starts a process; `then` is called at its end. */
  run(process: Process, then: () => void = () => {}): void {
    const go = () => {
      for (;;) {
        if (this.#ended) return;
        const { done, value } = process.next();
        if (done) return then();
        let inside = true;
        let resumed = false;
        value(() => {
          if (inside) resumed = true;
          else go();
        });
        inside = false;
        if (!resumed) return;
      }
    };
    go();
  }

  /** Waits so many milliseconds. */
  pause(milliseconds: number): Step {
    const { clock } = this.network;
    return (resume) => void clock.at(clock.now() + milliseconds, resume);
  }

  /** Runs processes side by side and waits for the last. */
  all(processes: readonly Process[]): Step {
    return (resume) => {
      let left = processes.length;
      if (left === 0) resume();
      for (const process of processes) {
        this.run(process, () => {
          if (--left === 0) resume();
        });
      }
    };
  }

  /** Ends every process and connection. */
  end(): void {
    this.#ended = true;
    for (const pipe of this.#pipes) pipe.abort();
  }
}
