import type { Connection } from "../../capture/mod.ts";
import { VirtualClock } from "../../playback/mod.ts";
import { SharedEnds } from "../../playback/shared_ends.ts";
import type { PlannedConnection } from "./wire_plan.ts";

/** A connection of the client's, for what it has to do with the closing of others. */
export interface Leaving {
  readonly plan: PlannedConnection;
  /** As recorded at the client. */
  readonly connection: Connection;
  /** When nothing more was to be said, and when it would close by itself: Unix time in milliseconds, if it came to that. */
  readonly ready: { readonly through: number; readonly due: number } | undefined;
}

/** Whether a connection closes together with others: when, is not in its own plan alone. */
export function leavesWithOthers(
  { close, sharesEnd }: Pick<PlannedConnection, "close"> & Partial<PlannedConnection>,
): boolean {
  return sharesEnd !== undefined && close.by === "client" && close.how === "fin";
}

/**
 * When each of the connections that close together with others is to close, by the plans and by when the recording has them
 * open, through and gone: Unix time in milliseconds, undefined for those that it does not come to.
 */
export function farewells(all: readonly Leaving[]): (number | undefined)[] {
  const closings: (number | undefined)[] = all.map(() => undefined);
  const clock = new VirtualClock();
  const ends = new SharedEnds(clock);
  const origin = all[0]?.connection.startTime ?? 0;
  for (const [index, { connection, plan, ready }] of all.entries()) {
    if (!leavesWithOthers(plan)) continue;
    const { endTime, handshake, startTime } = connection;
    clock.at(startTime + handshake.duration - origin, () => {
      const farewell = ends.join(plan.session, plan.sharesEnd!);
      clock.at(endTime - origin, () => farewell.leave());
      if (ready === undefined) return;
      const through = ready.through - origin;
      clock.at(through, () =>
        farewell.ready(through, ready.due - origin, (planned) => {
          closings[index] = planned + origin;
        }));
    });
  }
  clock.run();
  return closings;
}
