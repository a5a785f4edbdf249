import type { End } from "../../models/mod.ts";
import type { WireEvent } from "../../playback/mod.ts";
import type { Compared } from "./wire_compare.ts";
import type { PlannedConnection } from "./wire_plan.ts";

/** How late an end says that each of its messages was, in the plan's order, and then its closing: milliseconds. */
export type Stated = readonly (number | undefined)[];

/** What a wire log says of a connection's messages. */
export function statedByLog(
  events: readonly WireEvent[],
  { close, messages, serial, session }: PlannedConnection,
  end: End,
): Stated {
  const own = events.filter((event) => event.session === session && event.serial === serial);
  const records = own.filter(({ what }) => what === "record");
  const late = (event: WireEvent | undefined) =>
    event === undefined ? undefined : event.time - event.planned + (event.doubt ?? 0);
  const stated: (number | undefined)[] = [];
  let row = 0;
  for (const message of messages) {
    if (message.end !== end) continue;
    stated.push(late(records[row]));
    row += message.records.length;
  }
  if (close.by === end) stated.push(late(own.find(({ what }) => what === "close")));
  return stated;
}

/** One message's lateness: by the recording at its end, and by that end's own words. */
export interface Pair {
  readonly wire: number;
  readonly stated: number;
}

/** The messages of a compared connection whose lateness an end has stated, one by one. */
export function pairs({ late, which }: Compared, end: End, stated: Stated): Pair[] {
  const side = end === "client" ? 0 : 1;
  return late[side].flatMap((wire, row) => {
    const said = stated[which[side][row]!];
    return said === undefined ? [] : [{ wire, stated: said }];
  });
}

/** Values in brief. */
export interface Summary {
  readonly median: number;
  readonly p99: number;
  readonly max: number;
  readonly min: number;
  readonly count: number;
}

/** Puts values in brief. */
export function summary(values: readonly number[]): Summary {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (q: number) => sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0;
  const [count, min, max] = [sorted.length, sorted[0] ?? 0, sorted.at(-1) ?? 0];
  return { median: at(0.5), p99: at(0.99), max, min, count };
}

/** How late one end was, of the same messages in three ways. */
export interface EndLateness {
  /** As its own recording has it. */
  readonly wire: Summary;
  /** As it says itself; a message before its time counts as in time. */
  readonly stated: Summary;
  /** The first less the second, message by message. */
  readonly beyond: Summary;
}

/** Puts the lateness of one end's messages in brief. */
export function endLateness(of: readonly Pair[]): EndLateness {
  return {
    wire: summary(of.map(({ wire }) => wire)),
    stated: summary(of.map(({ stated }) => Math.max(0, stated))),
    beyond: summary(of.map(({ stated, wire }) => wire - stated)),
  };
}

/**
 * Whether an end was as late as it says: its 99th percentile by the recording is no more than the one it states and
 * the one by which the control's recording goes beyond what the control states, which is what no program here can see.
 */
export function verdict({ stated, wire }: EndLateness, control: EndLateness): string {
  const allowed = Math.max(0, control.beyond.p99);
  if (wire.p99 <= stated.p99) return "yes, alone";
  const over = wire.p99 - stated.p99 - allowed;
  return over <= 0 ? "yes" : `no, by ${over.toFixed(2)}`;
}
