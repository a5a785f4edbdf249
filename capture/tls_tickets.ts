import type { RecordTable, SegmentTable } from "./connection.ts";
import type { ConnectionView } from "./handshake_recogniser.ts";

const APPLICATION_DATA = 23;
/** Sizes on the wire between which a session ticket is expected. */
const MIN_TICKET = 60;
const MAX_TICKET = 2048;
/** Tickets of one server differ at most by a cipher block. */
const ALIKE = 16;
const MAX_TICKETS = 8;

/**
 * Bytes of the session tickets that a TLS 1.3 server sends after the client's Finished; they look like
 * application data, and are told apart by the first rule that applies to the server's first records after
 * `handshake`:
 *
 * 1. Records sent before the server had acknowledged any client byte after the Finished: nothing had been
 *    asked yet. Not on ports where the server speaks first inside TLS.
 * 2. Two or more records in a row of 60 to 2048 bytes whose sizes differ by 16 at most (OpenSSL sends two).
 *
 * A single ticket that comes in one segment with the answer to a request that was sent along with the
 * Finished cannot be told from data, and counts as data.
 */
export function ticketBytes(
  view: ConnectionView,
  records: RecordTable,
  handshake: readonly [number, number],
): number {
  const start = handshake[1];
  const ends: number[] = [];
  const sizes: number[] = [];
  for (let row = 0; row < records.length && sizes.length <= MAX_TICKETS; row++) {
    if (records.side[row] !== 1 || records.offset[row]! < start) continue;
    if (records.type[row] !== APPLICATION_DATA) break;
    sizes.push(records.size[row]!);
    ends.push(records.offset[row]! + records.size[row]!);
  }
  let count = 0;
  if (!SERVER_FIRST_PORTS.has(view.serverPort)) {
    while (count < ends.length && ackedAt(view.segments, ends[count]! - 1) <= handshake[0]) count++;
  }
  if (count === 0) {
    const first = sizes[0] ?? 0;
    let run = 0;
    while (run < sizes.length && Math.abs(sizes[run]! - first) <= ALIKE) run++;
    if (run >= 2 && run <= MAX_TICKETS && first >= MIN_TICKET && first <= MAX_TICKET) count = run;
  }
  return count === 0 ? 0 : ends[count - 1]! - start;
}

/** Implicit TLS for protocols whose server greets: SMTP, FTP, IMAP, POP3. */
const SERVER_FIRST_PORTS: ReadonlySet<number> = new Set([465, 990, 993, 995]);

/** What the server had acknowledged when it sent the byte at `offset`. */
function ackedAt(segments: SegmentTable, offset: number): number {
  for (let row = 0; row < segments.length; row++) {
    if (segments.side[row] !== 1) continue;
    const start = segments.offset[row]!;
    if (offset >= start && offset < start + segments.size[row]!) return segments.acked[row]!;
  }
  return Infinity;
}
