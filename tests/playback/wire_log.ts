import type { WireEvent } from "../../playback/wire_log.ts";

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
