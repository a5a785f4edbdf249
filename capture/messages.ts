import type { Connection, SegmentTable } from "./connection.ts";
import type { Message } from "./message.ts";
import { peerOf, type Side, SIDES } from "./side.ts";
import { applicationPart, type HandshakeOption } from "./stream_application.ts";

/** The least idle gap that ends a message, in milliseconds. */
export const IDLE_GAP = 500;

/** Options of {@linkcode messagesOf}. */
export interface MessageOptions extends HandshakeOption {
  /** Milliseconds of silence that end a message. Default: the greater of 500 and two round trips. */
  readonly idleGap?: number;
  /**
   * `split` also ends a message at shorter pauses that the network did not make: longer than half a round
   * trip (and 10 ms), while the sender had put fewer bytes on the wire than a first window holds. A write
   * that Nagle's algorithm held back shows so, and an application that said one thing, and then another.
   * `kept` unless told.
   */
  readonly pauses?: "kept" | "split";
  /** Milliseconds of silence that `split` takes for such a pause, where the link is known to make none. */
  readonly pause?: number;
}

/** Segments that every sender may have under way (RFC 6928): until then nothing but itself holds it up. */
const FIRST_WINDOW = 10;

/** Milliseconds below which a pause is the machine's, not the application's. */
const LEAST_PAUSE = 10;

/** When a message ends although the peer has not answered. */
interface Silence {
  /** Milliseconds after which it ends in any case. */
  readonly idleGap: number;
  /** Milliseconds after which it ends while it is smaller than `window`. */
  readonly pause: number;
}

/** One side's rows in the order of its stream. */
interface Lane {
  /** Row numbers in the segment table, by offset. */
  readonly rows: Uint32Array;
  /** What the sender had acknowledged when it first sent the byte or a later one. */
  readonly acked: Float64Array;
  /** The row in which the byte or a later one was first seen. */
  readonly first: Uint32Array;
  /** When the byte and all before it had been seen. */
  readonly complete: Float64Array;
}

/** A message while it is being put together. */
interface Draft {
  readonly side: Side;
  readonly time: number;
  /** Row of its first segment. */
  readonly row: number;
  readonly acked: number;
  end: number;
  size: number;
  segments: number;
  readonly records: number[];
}

/** A piece of a segment that lies in one record. */
interface Piece {
  offset: number;
  size: number;
  /** It begins inside a record whose head came earlier. */
  inside: boolean;
}

/**
 * The messages of a connection, both sides, in order of their first segment.
 *
 * A segment continues its sender's message unless the sender has acknowledged new data of the peer since,
 * or was silent for longer than the idle gap: what was in flight when the peer spoke stays with the message
 * before. Bytes that the capture shows late (a retransmission) belong where their stream puts them.
 *
 * Where TLS records were seen, a record belongs wholly to the message in which it starts, and a message
 * lists its record sizes. By default messages start after the handshake (tickets are part of it) and a
 * closing alert is left out; where {@linkcode Handshake.end} is `unknown` for a carrier that was not
 * recognised, they start with the first byte: look before you learn.
 *
 * @example
 * ```ts
 * import { messagesOf } from "./messages.ts";
 * import type { Connection } from "./connection.ts";
 * const sizes = (c: Connection) => messagesOf(c).map((m) => m.side === 0 ? m.size : -m.size);
 * if (typeof sizes !== "function") throw new Error("unreachable");
 * ```
 */
export function messagesOf(connection: Connection, options: MessageOptions = {}): Message[] {
  const { segments, rtt } = connection;
  const roundTrip = (rtt.client ?? 0) + (rtt.server ?? 0);
  const idleGap = options.idleGap ?? Math.max(IDLE_GAP, 2 * roundTrip);
  const silence: Silence = {
    idleGap,
    pause: options.pauses === "split"
      ? options.pause ?? Math.max(LEAST_PAUSE, roundTrip / 2)
      : idleGap,
  };
  const part = applicationPart(connection, options);
  const lanes = [laneOf(segments, 0), laneOf(segments, 1)] as const;
  const drafts: Draft[] = [];
  for (const side of SIDES) {
    const heard = part.from[peerOf(side)];
    collect(connection, side, lanes[side], part.from[side], part.to[side], heard, silence, drafts);
  }
  drafts.sort((a, b) => a.row - b.row);
  return finish(connection, drafts, lanes, part.from, part.to);
}

function laneOf(segments: SegmentTable, side: Side): Lane {
  let count = 0;
  for (let row = 0; row < segments.length; row++) if (segments.side[row] === side) count++;
  const rows = new Uint32Array(count);
  let sorted = true;
  let at = 0;
  for (let row = 0; row < segments.length; row++) {
    if (segments.side[row] !== side) continue;
    if (at > 0 && segments.offset[row]! < segments.offset[rows[at - 1]!]!) sorted = false;
    rows[at++] = row;
  }
  if (!sorted) rows.sort((a, b) => segments.offset[a]! - segments.offset[b]!);
  const acked = new Float64Array(count);
  const first = new Uint32Array(count);
  const complete = new Float64Array(count);
  let leastAcked = Infinity;
  let leastRow = segments.length;
  for (let i = count - 1; i >= 0; i--) {
    leastAcked = acked[i] = Math.min(leastAcked, segments.acked[rows[i]!]!);
    leastRow = first[i] = Math.min(leastRow, rows[i]!);
  }
  let latest = -Infinity;
  for (let i = 0; i < count; i++) {
    latest = complete[i] = Math.max(latest, segments.time[rows[i]!]!);
  }
  return { rows, acked, first, complete };
}

function collect(
  connection: Connection,
  side: Side,
  lane: Lane,
  from: number,
  to: number,
  heard: number,
  { idleGap, pause }: Silence,
  drafts: Draft[],
): void {
  const { segments } = connection;
  let window = 0;
  for (const row of lane.rows) window = Math.max(window, FIRST_WINDOW * segments.size[row]!);
  const records = new RecordCursor(connection, side, from, to);
  const piece: Piece = { offset: 0, size: 0, inside: false };
  let draft: Draft | undefined;
  let acked = 0;
  let time = 0;
  for (let i = 0; i < lane.rows.length; i++) {
    const row = lane.rows[i]!;
    const stop = Math.min(to, segments.offset[row]! + segments.size[row]!);
    let offset = Math.max(from, segments.offset[row]!);
    if (offset >= stop) continue;
    // Acknowledging the peer's handshake answers nothing.
    const rowAcked = Math.max(heard, lane.acked[i]!);
    const first = lane.first[i]!;
    const rowTime = segments.time[first]!;
    while (offset < stop) {
      records.piece(offset, stop, piece);
      const fresh = draft === undefined || (!piece.inside &&
        (rowAcked > acked || rowTime - time > (draft.size < window ? pause : idleGap)));
      if (fresh) {
        draft = {
          side,
          time: rowTime,
          row: first,
          acked: rowAcked,
          end: rowTime,
          size: 0,
          segments: 0,
          records: [],
        };
        drafts.push(draft);
      }
      const into = draft!;
      into.size += piece.size;
      into.end = Math.max(into.end, segments.time[row]!);
      records.starting(offset, offset + piece.size, into.records);
      offset += piece.size;
      if (!piece.inside) acked = rowAcked;
      time = rowTime;
      if (fresh || offset >= stop) into.segments++;
    }
  }
}

/** Walks along the records of one side. */
class RecordCursor {
  readonly #starts: number[] = [];
  readonly #sizes: number[] = [];
  /** First record that has not started yet. */
  #next = 0;
  #end: number;

  constructor(connection: Connection, side: Side, from: number, to: number) {
    const { records } = connection;
    this.#end = from;
    for (let row = 0; row < records.length; row++) {
      const offset = records.offset[row]!;
      if (records.side[row] !== side || offset < from || offset >= to) continue;
      this.#starts.push(offset);
      this.#sizes.push(records.size[row]!);
    }
  }

  /** The piece of `[offset, stop)` that either continues a record or starts with new ones. */
  piece(offset: number, stop: number, into: Piece): void {
    into.offset = offset;
    into.inside = offset < this.#end;
    into.size = (into.inside ? Math.min(stop, this.#end) : stop) - offset;
  }

  /** Adds the sizes of the records that start in `[offset, stop)`. */
  starting(offset: number, stop: number, sizes: number[]): void {
    while (this.#next < this.#starts.length && this.#starts[this.#next]! < stop) {
      const start = this.#starts[this.#next]!;
      const size = this.#sizes[this.#next]!;
      if (start >= offset) sizes.push(size);
      this.#end = start + size;
      this.#next++;
    }
  }
}

/** Adds to each message what it was triggered by. */
function finish(
  connection: Connection,
  drafts: readonly Draft[],
  lanes: readonly [Lane, Lane],
  from: readonly [number, number],
  to: readonly [number, number],
): Message[] {
  const { segments, rtt } = connection;
  const sent = [from[0], from[1]];
  const established = (rtt.server ?? 0) + (rtt.client ?? 0);
  const ownEnd = [established, established + (rtt.server ?? 0)];
  for (const side of SIDES) {
    ownEnd[side] = Math.max(ownEnd[side]!, seenBefore(segments, lanes[side], from[side]));
  }
  let row = 0;
  return drafts.map((draft) => {
    for (; row < draft.row; row++) {
      const side = segments.side[row]!;
      const end = Math.min(to[side]!, segments.offset[row]! + segments.size[row]!);
      if (end > sent[side]!) sent[side] = end;
    }
    const { side } = draft;
    const peer = peerOf(side);
    const trip = (side === 0 ? rtt.client : rtt.server) ?? 0;
    // Nobody waits for the tickets that follow a handshake, though they are part of it.
    const heardAt = draft.acked > from[peer]!
      ? seenBefore(segments, lanes[peer], draft.acked) + trip
      : from[peer] === 0
      ? -Infinity
      : connection.handshake.duration;
    const trigger = Math.max(heardAt, ownEnd[side]!);
    ownEnd[side] = Math.max(ownEnd[side]!, draft.end);
    const framed = draft.records.reduce((sum, size) => sum + size, 0);
    return {
      side,
      time: draft.time,
      end: draft.end,
      size: draft.size,
      segments: draft.segments,
      // Bytes missing from the capture leave records longer than what was seen of them.
      records: framed === draft.size ? draft.records : [],
      lead: Math.max(0, sent[peer]! - draft.acked),
      think: Math.max(0, draft.time - trigger),
    };
  });
}

/** When the bytes before `offset` had all been seen; minus infinity if there are none. */
function seenBefore(segments: SegmentTable, lane: Lane, offset: number): number {
  let low = 0;
  let high = lane.rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (segments.offset[lane.rows[middle]!]! < offset) low = middle + 1;
    else high = middle;
  }
  return low === 0 ? -Infinity : lane.complete[low - 1]!;
}
