import type { SegmentTable } from "./connection.ts";
import type { Side } from "./side.ts";

/** A run of segments in one direction. */
export interface Flight {
  /** Who sent it. */
  readonly side: Side;
  /** Offset of its first byte in the sender's stream. */
  start: number;
  /** One past its last byte. */
  end: number;
  /** Sizes of its first segments. */
  readonly sizes: number[];
  /** Bytes of the peer's stream that its first segment acknowledged. */
  readonly acked: number;
}

/** The first `limit` flights of a connection, with the sizes of at most eight segments each. */
export function firstFlights(segments: SegmentTable, limit: number): Flight[] {
  const flights: Flight[] = [];
  let flight: Flight | undefined;
  for (let row = 0; row < segments.length; row++) {
    const side = segments.side[row] as Side;
    const offset = segments.offset[row]!;
    const size = segments.size[row]!;
    if (flight === undefined || flight.side !== side) {
      if (flights.length === limit) break;
      flight = { side, start: offset, end: offset, sizes: [], acked: segments.acked[row]! };
      flights.push(flight);
    }
    flight.start = Math.min(flight.start, offset);
    flight.end = Math.max(flight.end, offset + size);
    if (flight.sizes.length < 8) flight.sizes.push(size);
  }
  return flights;
}
