import type { ConnectionPlan } from "../models/cover_model.ts";
import type { SizeGrid } from "./cover_connection.ts";

/**
 * A connection that opens as one that runs a command does: the client's request for it has room for a name that the
 * server knows, so that nobody need prove himself later.
 */
export interface CommandOpening {
  /** Exchanges that the carrier's own program plays. */
  readonly exchanges: number;
  /** Bytes on the wire of the request for the shortest command. */
  readonly smallest: number;
  /** Bytes on the wire of the request for the longest command. */
  readonly largest: number;
  /** Bytes from one size of a request to the next. */
  readonly step: number;
  /** Bytes on the wire of the server's answer. */
  readonly answer: number;
  /** Bytes on the wire of what a client says next who began the usual session and no command. */
  readonly usual: number;
}

/**
 * Bytes on the wire of the request for a command that a learned connection's plan opens with, as far as the carrier's
 * own program can play it; undefined if the connection opens otherwise. `learnedFor` is the carrier of the model.
 *
 * @example
 * ```ts
 * import { commandOf } from "./commands.ts";
 * const command = { exchanges: 1, smallest: 52, largest: 300, step: 8, answer: 72, usual: 44 };
 * const grid = { overhead: 34, maxPayload: 32768, opening: { carrier: "ssh", exchanges: 2, command } };
 * const data = (size: number) => ({ type: "data" as const, size, time: 0 });
 * const exchanges = [
 *   { request: data(68), response: [data(72)] },
 *   { request: data(36), response: [data(292)] },
 * ];
 * const plan = { exchanges, close: { by: "client" as const, how: "fin" as const, time: 0 } };
 * if (commandOf(plan, "ssh", grid) !== 68) throw new Error("a command");
 * ```
 */
export function commandOf(
  plan: ConnectionPlan,
  learnedFor: string,
  { opening }: SizeGrid,
): number | undefined {
  const command = opening?.command;
  if (command === undefined || learnedFor !== opening?.carrier || plan.free) return undefined;
  const asked = plan.exchanges[command.exchanges - 1];
  const next = plan.exchanges[command.exchanges];
  if (asked === undefined || next === undefined) return undefined;
  const { request, response } = asked;
  const { size } = request;
  const one = (request.records?.length ?? 1) === 1 && response.length === 1;
  const exists = size >= command.smallest && size <= command.largest &&
    (size - command.smallest) % command.step === 0;
  const usual = size === command.smallest && next.request.size === command.usual;
  return one && exists && !usual && response[0]!.size === command.answer ? size : undefined;
}
