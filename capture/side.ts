/**
 * Who sent something on a connection: `0` the client (who opened the connection), `1` the server.
 * Numbers, because packet loops keep sides in typed arrays.
 */
export type Side = 0 | 1;

/** The side that opened the connection. */
export const CLIENT: Side = 0;

/** The side that accepted the connection. */
export const SERVER: Side = 1;

/** The other side. */
export function peerOf(side: Side): Side {
  return side === 0 ? 1 : 0;
}

/** Both sides, the client first. */
export const SIDES: readonly [Side, Side] = [CLIENT, SERVER];
