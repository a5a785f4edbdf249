import type { End } from "../../models/mod.ts";
import type { LatenessSummary, WireEvent } from "../../playback/mod.ts";
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
    event === undefined ? undefined : event.time - event.planned;
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

/** What the recording shows of one connection's lateness at one end beyond what that end says, one by one. */
export function beyond({ late, which }: Compared, end: End, stated: Stated): number[] {
  const side = end === "client" ? 0 : 1;
  return late[side].flatMap((ms, row) => {
    const said = stated[which[side][row]!];
    return said === undefined ? [] : [ms - said];
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

/** How late one end was. */
export interface EndLateness {
  /** As its own recording has it. */
  readonly wire: Summary;
  /** As it says itself. */
  readonly stated: LatenessSummary;
  /** Message by message, the first less the second. */
  readonly beyond: Summary;
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
