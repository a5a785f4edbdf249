import type { Connection } from "./connection.ts";
import { type Side, SIDES } from "./side.ts";

/** Whether the carrier's own handshake counts. */
export interface HandshakeOption {
  /**
   * `excluded` (default): start where the handshake ended and leave out the closing alert of TLS.
   * `included`: every payload byte of the connection.
   */
  readonly handshake?: "excluded" | "included";
}

/** The part of each side's stream that an option selects: offsets `[from, to)`. */
export interface StreamPart {
  /** First offset, `[client, server]`. */
  readonly from: readonly [number, number];
  /** One past the last offset, `[client, server]`. */
  readonly to: readonly [number, number];
}

const ALERT = 21;
const APPLICATION_DATA = 23;
/** A close_notify in TLS 1.3: header 5, alert 2, inner type 1, tag 16. */
const HIDDEN_ALERT = 24;

/**
 * Which bytes of a connection are the application's. Without the handshake this starts after
 * {@linkcode Handshake.bytes} and ends before a side's last TLS record if that is an alert
 * (close_notify): by its type up to TLS 1.2, by its size of 24 bytes in TLS 1.3.
 */
export function applicationPart(
  connection: Connection,
  { handshake = "excluded" }: HandshakeOption = {},
): StreamPart {
  if (handshake === "included") return { from: [0, 0], to: [Infinity, Infinity] };
  const { bytes, version } = connection.handshake;
  const to: [number, number] = [Infinity, Infinity];
  for (const side of SIDES) {
    const start = closingAlert(connection, side, version === "1.3");
    if (start !== undefined && start >= bytes[side]) to[side] = start;
  }
  return { from: bytes, to };
}

/** Where a side's stream ends in alerts, the offset of the first of them. */
function closingAlert(connection: Connection, side: Side, hidden: boolean): number | undefined {
  const { records, segments } = connection;
  let last = -1;
  for (let row = records.length - 1; row >= 0 && last < 0; row--) {
    if (records.side[row] === side) last = row;
  }
  if (last < 0) return undefined;
  const type = records.type[last]!;
  const size = records.size[last]!;
  if (type !== ALERT && !(hidden && type === APPLICATION_DATA && size === HIDDEN_ALERT)) {
    return undefined;
  }
  // It must be the stream's end: records may have stopped early where bytes were missing.
  const end = records.offset[last]! + size;
  for (let row = segments.length - 1; row >= 0; row--) {
    if (segments.side[row] === side && segments.offset[row]! >= end) return undefined;
  }
  return records.offset[last]!;
}
