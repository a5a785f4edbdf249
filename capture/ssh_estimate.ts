import type { ConnectionView, HandshakeEnd } from "./handshake_recogniser.ts";

/** A NEWKEYS packet before encryption: length 4, padding length 1, type 1, padding 10. */
const NEWKEYS_SIZE = 16;

/** The least that a client sends before NEWKEYS: its version and a KEXINIT. */
const MIN_BEFORE = 200;

/** The key exchange is over within so many client segments. */
const MAX_SEGMENTS = 12;

/**
 * Infers the end of an SSH handshake from sizes, for traces without payload: the client's NEWKEYS is its
 * first segment of exactly 16 bytes after a version (at most 255 bytes) and a key exchange (at least 200
 * bytes) on both sides. What the server had sent by then, its own NEWKEYS behind its key exchange reply
 * included, belongs to the handshake. A client that joins NEWKEYS with its next packet is not estimated.
 */
export function estimateSshHandshake(view: ConnectionView): HandshakeEnd | undefined {
  const { segments } = view;
  let clientSegments = 0;
  let server = 0;
  for (let row = 0; row < segments.length; row++) {
    const offset = segments.offset[row]!;
    const size = segments.size[row]!;
    if (segments.side[row] === 1) {
      if (server === 0 && (offset !== 0 || size > 255)) return undefined;
      server = Math.max(server, offset + size);
      continue;
    }
    if (clientSegments === 0 && (offset !== 0 || size > 255)) return undefined;
    if (++clientSegments > MAX_SEGMENTS) return undefined;
    if (size === NEWKEYS_SIZE && offset >= MIN_BEFORE && server >= MIN_BEFORE) {
      return { bytes: [offset + size, server], version: "2.0" };
    }
  }
  return undefined;
}
