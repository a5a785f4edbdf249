import type { Random } from "../../lab/random.ts";

/** Bytes that a record of TLS 1.3 adds: header, content type, tag. */
const RECORD_OVERHEAD = 22;
/** Most bytes of content in a record. */
const RECORD = 16_384;

/** Sizes of a TLS 1.3 handshake on the wire. */
export interface HandshakeSizes {
  /** The client's hello. */
  readonly hello: number;
  /** The server's hello up to its Finished. */
  readonly flight: number;
  /** The client's Finished, change of cipher included. */
  readonly finished: number;
  /** The server's tickets. */
  readonly tickets: number;
}

/** A handshake of Chromium with nginx, as `samples/https` has them, from the middle of their range. */
export const FULL_HANDSHAKE: HandshakeSizes = {
  hello: 1955,
  flight: 799,
  finished: 64,
  tickets: 574,
};

/** Bytes on the wire of so many bytes of content in as few records as can be. */
export function recordBytes(content: number): number {
  return content + RECORD_OVERHEAD * Math.max(1, Math.ceil(content / RECORD));
}

/**
 * A handshake with the sizes that Chromium and nginx have in `samples/https`: hellos grow in steps of 32 bytes with
 * what is in them (names, GREASE, padding), certificates by a byte or two with their signatures; a resumed handshake
 * has a longer hello and no certificate.
 */
export function drawHandshake(random: Random, resumed: boolean): HandshakeSizes {
  const step = 32 * random.integer(4);
  return resumed
    ? { hello: 2_210 + step, flight: 244, finished: 64, tickets: 287 }
    : { hello: 1_923 + step, flight: 798 + random.integer(3), finished: 64, tickets: 574 };
}
