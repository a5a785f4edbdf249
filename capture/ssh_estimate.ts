import type { ConnectionView, HandshakeEnd } from "./handshake_recogniser.ts";
import { withExtensionInfo } from "./ssh_extension_info.ts";

/** A NEWKEYS packet before encryption: length 4, padding length 1, type 1, padding 10. */
const NEWKEYS_SIZE = 16;

/** The least that a client sends before NEWKEYS: its version and a KEXINIT. */
const MIN_BEFORE = 200;

/** NEWKEYS joined with the first encrypted packet, a service request. */
const JOINED_MIN = 48;
const JOINED_MAX = 100;

/** The key exchange is over within so many client segments. */
const MAX_SEGMENTS = 12;

/**
 * Infers the end of an SSH handshake from sizes, for traces without payload: the client's NEWKEYS is its
 * first segment of exactly 16 bytes after a version (at most 255 bytes) and a key exchange (at least 200
 * bytes) on both sides. Without one, NEWKEYS is taken to be joined with the packet after it, in the client's
 * first segment of 48 to 100 bytes that answers the server and is its fourth or later. What the server had
 * sent by then, its own NEWKEYS behind its key exchange reply included, belongs to the handshake.
 */
export function estimateSshHandshake(view: ConnectionView): HandshakeEnd | undefined {
  const { segments } = view;
  let clientSegments = 0;
  let server = 0;
  let answered = false;
  let joined: HandshakeEnd | undefined;
  for (let row = 0; row < segments.length; row++) {
    const offset = segments.offset[row]!;
    const size = segments.size[row]!;
    if (segments.side[row] === 1) {
      if (server === 0 && (offset !== 0 || size > 255)) return undefined;
      server = Math.max(server, offset + size);
      answered = true;
      continue;
    }
    if (clientSegments === 0 && (offset !== 0 || size > 255)) return undefined;
    if (++clientSegments > MAX_SEGMENTS) break;
    if (offset >= MIN_BEFORE && server >= MIN_BEFORE) {
      if (size === NEWKEYS_SIZE) {
        return { ...withExtensionInfo(segments, [offset + size, server]), version: "2.0" };
      }
      if (answered && clientSegments > 3 && size >= JOINED_MIN && size <= JOINED_MAX) {
        joined ??= { bytes: [offset + NEWKEYS_SIZE, server], version: "2.0" };
      }
    }
    answered = false;
  }
  return joined && { ...withExtensionInfo(segments, joined.bytes), version: joined.version };
}
