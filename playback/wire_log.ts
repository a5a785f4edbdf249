import type { CloseReason } from "./cover_connection.ts";

/** One thing that a node did on the wire, as its engine knows it: the ground truth of a recording. */
export interface WireEvent {
  /** Milliseconds on the engine's clock. */
  readonly time: number;
  /** Milliseconds on the engine's clock that the plan asked for. */
  readonly planned: number;
  /** Milliseconds by which what it answers may have come sooner than this node was told; none if absent. */
  readonly doubt?: number;
  /** The tunnel's session and the connection's serial number in it. */
  readonly session: number;
  /** Serial number of the connection in its session. */
  readonly serial: number;
  /** The cover connection's `id`, to find it in a recording. */
  readonly connection: string;
  /** What happened. */
  readonly what: "open" | "record" | "close";
  /** Bytes on the wire for a `record`, else 0. */
  readonly size: number;
  /** What a `record` held: payload bytes of each kind (their sum is `size` less the overhead). */
  readonly control: number;
  /** User data bytes. */
  readonly data: number;
  /** Padding bytes. */
  readonly padding: number;
  /** How it closed, for a `close`. */
  readonly how?: CloseReason;
  /** For an `open` at the opener: the kind that `adaptive` chose, if not the model's own mixture. */
  readonly kind?: number;
}

/** A node's wire events, kept in the order in which they happened. */
export class WireLog {
  /** The events. */
  readonly events: WireEvent[] = [];

  /** Adds an event; give it to an engine as `onWire: log.add`. */
  readonly add = (event: WireEvent): void => {
    this.events.push(event);
  };

  /**
   * What an observer of the wire can see, one line an event: everything but the composition of records
   * and the plan. Two logs of one seed, idle and saturated, have equal lines in `strict` scheduling.
   */
  visible(): string[] {
    return this.events.map((event) =>
      `${event.time.toFixed(6)} ${event.session}/${event.serial} ${event.what} ${
        event.what === "close" ? event.how : event.size
      }`
    );
  }
}
