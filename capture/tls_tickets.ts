import type { RecordTable, SegmentTable } from "./connection.ts";
import type { ConnectionView } from "./handshake_recogniser.ts";

const APPLICATION_DATA = 23;
/** Sizes on the wire between which a record of tickets is expected. */
const MIN_TICKET = 76;
const MAX_TICKET = 2048;
/** Tickets of one server differ at most by a cipher block. */
const ALIKE = 16;
const MAX_TICKETS = 8;

/** Implicit TLS for protocols whose server greets: SMTP, FTP, IMAP, POP3. */
const SERVER_FIRST_PORTS: ReadonlySet<number> = new Set([465, 990, 993, 995]);

/**
 * Bytes of the session tickets that a TLS 1.3 server sends after the client's Finished; they look like
 * application data, and are told apart by the first rule that applies to the server's first records after
 * `handshake`:
 *
 * 1. Two or more records in a row of 76 to 2048 bytes whose sizes differ by 16 at most: OpenSSL sends two.
 * 2. A first record of 76 to 2048 bytes, sent before the server had acknowledged any client byte after the
 *    Finished: nothing had been asked yet. Not on ports where the server speaks first inside TLS.
 * 3. A first record of 184 bytes, or of 376 to 632 in steps of 32, from a server whose encrypted flight was
 *    a single record: rustls sends two equal tickets in one record, padded to cipher blocks.
 * 4. A first record of 191 to 607 bytes in steps of 16, from a server whose encrypted flight was several
 *    records, the last a Finished by its size (58 or 74): OpenSSL sends one ticket when it resumes a session
 *    or is told to (Postfix), padded to cipher blocks.
 * 5. HTTP/2: the client's first record has 46 to 130 bytes (preface and SETTINGS), and the server's first of
 *    150 to 1400 shares its segment with the next, of at most 100 (SETTINGS).
 *
 * Another single ticket that comes together with the answer to a request cannot be told from data, and
 * counts as data.
 */
export function ticketBytes(
  view: ConnectionView,
  records: RecordTable,
  handshake: readonly [number, number],
): number {
  const [clientStart, start] = handshake;
  const ends: number[] = [];
  const sizes: number[] = [];
  let flight = 0;
  let lastOfFlight = 0;
  let asked = 0;
  for (let row = 0; row < records.length && sizes.length <= MAX_TICKETS; row++) {
    if (records.type[row] !== APPLICATION_DATA) continue;
    const offset = records.offset[row]!;
    const size = records.size[row]!;
    if (records.side[row] === 0) {
      if (offset >= clientStart && asked === 0) asked = size;
    } else if (offset < start) {
      flight++;
      lastOfFlight = size;
    } else {
      sizes.push(size);
      ends.push(offset + size);
    }
  }
  const first = sizes[0];
  if (first === undefined || first < MIN_TICKET || first > MAX_TICKET) return 0;

  let alike = 1;
  while (alike < sizes.length && Math.abs(sizes[alike]! - first) <= ALIKE) alike++;
  if (alike >= 2 && alike <= MAX_TICKETS) return ends[alike - 1]! - start;

  const serverFirst = SERVER_FIRST_PORTS.has(view.serverPort);
  if (!serverFirst && ackedAt(view.segments, ends[0]! - 1) <= clientStart) return first;
  if (flight === 1 && isRustls(first)) return first;
  if (flight > 1 && (lastOfFlight === 58 || lastOfFlight === 74) && isOpenSsl(first)) return first;
  const second = sizes[1];
  if (
    second !== undefined && second <= 100 && first >= 150 && first <= 1400 && asked >= 46 &&
    asked <= 130 && rowOf(view.segments, start) === rowOf(view.segments, ends[1]! - 1)
  ) return first;
  return 0;
}

function isRustls(size: number): boolean {
  return size === 184 || (size >= 376 && size <= 632 && (size - 376) % 32 === 0);
}

/** Headers of 47 bytes, key name and initialisation vector of 32, ciphertext in blocks of 16, a MAC of 32. */
function isOpenSsl(size: number): boolean {
  return size >= 191 && size <= 607 && (size - 191) % 16 === 0;
}

/** The row that holds the server's byte at `offset`; -1 if none does. */
function rowOf(segments: SegmentTable, offset: number): number {
  for (let row = 0; row < segments.length; row++) {
    if (segments.side[row] !== 1) continue;
    const start = segments.offset[row]!;
    if (offset >= start && offset < start + segments.size[row]!) return row;
  }
  return -1;
}

/** What the server had acknowledged when it sent the byte at `offset`. */
function ackedAt(segments: SegmentTable, offset: number): number {
  const row = rowOf(segments, offset);
  return row < 0 ? Infinity : segments.acked[row]!;
}
