import type { SegmentTable } from "./connection.ts";
import type { HandshakeEnd } from "./handshake_recogniser.ts";

/** An EXT_INFO names signature algorithms; OpenSSH's have some 200 to 400 bytes. */
const MAX_EXTENSION_INFO = 1024;

/**
 * Adds to an SSH handshake that ends with NEWKEYS what the server sent behind its own before it had heard
 * anything after the client's: its EXT_INFO (RFC 8308), encrypted, which no request asks for.
 */
export function withExtensionInfo(
  segments: SegmentTable,
  bytes: readonly [number, number],
): HandshakeEnd {
  let end = bytes[1];
  for (let row = 0; row < segments.length; row++) {
    const stop = segments.offset[row]! + segments.size[row]!;
    if (segments.side[row] !== 1 || stop <= end) continue;
    if (segments.offset[row]! > end || segments.acked[row]! > bytes[0]) break;
    if (stop - bytes[1] > MAX_EXTENSION_INFO) break;
    end = stop;
  }
  return end === bytes[1] ? { bytes } : { bytes: [bytes[0], end], blocking: bytes };
}
