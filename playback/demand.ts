import type { Clock, Timer } from "./clock.ts";
import type { Volume } from "./kinds.ts";
import type { TunnelPort } from "./reliable_tunnel.ts";

/**
 * What users want of a tunnel: whether bytes of theirs wait at either end, or streams are open.
 *
 * @example
 * ```ts
 * import { Demand } from "./demand.ts";
 * import { ReliableTunnel } from "./tunnel.ts";
 * import { VirtualClock } from "./virtual_clock.ts";
 * const clock = new VirtualClock();
 * let told = 0;
 * const demand = new Demand(clock, new ReliableTunnel({ end: "client", clock }), () => told++);
 * demand.heard(100);
 * demand.heard(200);
 * clock.run();
 * if (told !== 1 || !demand.wanted || demand.waiting.server !== 200) throw new Error("once");
 * ```
 */
export class Demand {
  readonly #clock: Clock;
  readonly #tunnel: TunnelPort;
  readonly #rose: (() => void) | undefined;
  #timer: Timer | undefined;
  #peerBacklog = 0;
  #stopped = false;

  /** `rose`, if anybody is to be told, is called when users have begun to want something, after the call that brought it. */
  constructor(clock: Clock, tunnel: TunnelPort, rose: (() => void) | undefined) {
    this.#clock = clock;
    this.#tunnel = tunnel;
    this.#rose = rose;
    tunnel.onDemand = () => this.#rise();
  }

  /** Whether users want anything. */
  get wanted(): boolean {
    const { client, server } = this.waiting;
    return this.#tunnel.streams > 0 || client > 0 || server > 0;
  }

  /** Bytes that wait at each end, the other end's as far as it has told. */
  get waiting(): Volume {
    return { client: this.#tunnel.backlog, server: this.#peerBacklog };
  }

  /** The other end has told how many bytes wait there. */
  heard(bytes: number): void {
    const rose = this.#peerBacklog === 0 && bytes > 0;
    this.#peerBacklog = bytes;
    if (rose) this.#rise();
  }

  /** Tells of nothing any more. */
  stop(): void {
    this.#stopped = true;
    if (this.#timer !== undefined) this.#clock.cancel(this.#timer);
    this.#tunnel.onDemand = undefined;
  }

  #rise(): void {
    const rose = this.#rose;
    if (rose === undefined || this.#timer !== undefined || this.#stopped) return;
    this.#timer = this.#clock.at(this.#clock.now(), () => {
      this.#timer = undefined;
      if (this.wanted) rose();
    });
  }
}
