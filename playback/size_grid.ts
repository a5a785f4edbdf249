import type { ConnectionPlan } from "../models/cover_model.ts";
import type { SizeGrid } from "./cover_connection.ts";

/** The smallest record of a grid, in bytes on the wire. */
export function smallestRecord(grid: SizeGrid): number {
  return grid.smallest ?? grid.overhead + 1;
}

/** Bytes on the wire of a record that holds `payload` bytes. */
export function wireSize(payload: number, grid: SizeGrid): number {
  const smallest = smallestRecord(grid);
  const step = grid.step ?? 1;
  return smallest + step * Math.max(0, Math.ceil((payload + grid.overhead - smallest) / step));
}

/** The most payload of a record that has `wire` bytes on the wire: a size that exists on the grid. */
export function payloadSize(wire: number, grid: SizeGrid): number {
  return Math.min(grid.maxPayload, wire - grid.overhead);
}

/**
 * The records of `size` bytes on the wire, as few as possible. A sum that no records have is rounded up to the
 * next that some have. Of more than two records one that is there for the
 * sum alone goes first.
 *
 * @example
 * ```ts
 * import { splitSize } from "./size_grid.ts";
 * const ssh = { overhead: 34, maxPayload: 16384, smallest: 36, step: 8 };
 * // 112 bytes are no packet of SSH: they are two.
 * if (splitSize(112, ssh).join() !== "76,36") throw new Error("two packets");
 * ```
 */
export function splitSize(size: number, grid: SizeGrid): number[] {
  const smallest = smallestRecord(grid);
  const step = grid.step ?? 1;
  const largest = wireSize(grid.maxPayload, grid);
  const total = Math.max(smallest, Math.round(size));
  const least = Math.ceil(total / largest);
  let count = least;
  let sum = Infinity;
  // One record more changes the sum modulo the step: after `step` of them nothing new comes.
  for (let tried = least; tried < least + step && sum > total; tried++) {
    const above = Math.max(0, Math.ceil((total - tried * smallest) / step));
    const reached = tried * smallest + above * step;
    if (reached < sum && reached <= tried * largest) {
      count = tried;
      sum = reached;
    }
  }
  const records: number[] = [];
  for (let left = count; left > 0; left--) {
    const piece = Math.min(largest, sum - smallest * (left - 1));
    records.push(piece);
    sum -= piece;
  }
  // A program that reads late, for the network or the machine is busy, makes one record of two that do not fill one.
  const odd = least > 1 && count > least ? records.pop() : undefined;
  return odd === undefined ? records : [odd, ...records];
}

/**
 * What is left of a learned connection's plan where the carrier's own program plays its beginning
 * ({@linkcode SizeGrid.opening}); `learnedFor` is the carrier of the model. A plan that ends there keeps its last exchange.
 * `command`: the connection opens as a command does.
 */
export function withoutOpening(
  plan: ConnectionPlan,
  learnedFor: string,
  { opening }: SizeGrid,
  command = false,
): ConnectionPlan {
  if (opening === undefined || learnedFor !== opening.carrier) return plan;
  const played = command ? opening.command!.exchanges : opening.exchanges;
  const exchanges = Math.min(played, plan.exchanges.length - 1);
  return exchanges <= 0 ? plan : { ...plan, exchanges: plan.exchanges.slice(exchanges) };
}
