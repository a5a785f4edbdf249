import type { ConnectionView, HandshakeEnd } from "./handshake_recogniser.ts";
import { firstFlights } from "./handshake_flights.ts";

/** Finished of TLS 1.3 by SHA-256 and SHA-384, without and with the ChangeCipherSpec before it. */
const FINISHED_13: readonly number[] = [58, 74, 64, 80];

/** ClientKeyExchange on curve25519, P-256, P-384 and P-521, and with RSA of 2048 bits. */
const KEY_EXCHANGES: readonly number[] = [42, 75, 107, 143, 267];

/** ChangeCipherSpec on its own. */
const CHANGE_CIPHER_SPEC = 6;

function isShortFinish(size: number): boolean {
  // ChangeCipherSpec (6) and Finished: 37 to 85 bytes over all cipher suites of TLS 1.2 and before.
  return size >= 43 && size <= 91;
}

/** Bytes of the first segments of a flight that end with a Finished, if each message has its own segment. */
function finishOf(sizes: readonly number[]): number {
  let sum = sizes[0] ?? 0;
  for (let i = 1; i < sizes.length; i++) {
    const last = sizes[i - 1]!;
    const next = sizes[i]!;
    const continues = last === CHANGE_CIPHER_SPEC || next === CHANGE_CIPHER_SPEC ||
      (i === 1 && KEY_EXCHANGES.includes(last) && isShortFinish(next));
    if (!continues) break;
    sum += next;
  }
  return sum;
}

/**
 * Infers the end of a TLS handshake from sizes, for traces without payload. The rules, in order, on the
 * flights C1 S1 C2 S2 (client and server in turn; C1 is the ClientHello, S1 starts with the ServerHello):
 *
 * 1. C2 begins with a segment of 58, 64, 74 or 80 bytes after an S1 of more than 260: TLS 1.3. The segment is
 *    the client's Finished. Server segments sent before any later client byte was acknowledged are tickets.
 * 2. S1 has at most 260 bytes and C2 begins with 43 to 91: an abbreviated handshake of TLS 1.2 or before; S1
 *    and these bytes end it.
 * 3. C2 begins with 85 to 450 bytes (key exchange, ChangeCipherSpec, Finished) and S2 with 43 to 91, or with
 *    150 to 450 (with a ticket): a full handshake of TLS 1.2 or before.
 * 4. Anything else: not estimated.
 *
 * In 2 and 3 "begins with" means the first segment, and those after it where ChangeCipherSpec (6 bytes) or
 * Finished have segments of their own.
 *
 * Client certificates and a Finished that shares its segment with the first request fall under 4.
 */
export function estimateTlsHandshake(view: ConnectionView): HandshakeEnd | undefined {
  const [c1, s1, c2, s2] = firstFlights(view.segments, 4);
  if (c1 === undefined || s1 === undefined || c2 === undefined) return undefined;
  if (c1.side !== 0 || c1.start !== 0 || s1.start !== 0) return undefined;
  const hello = c1.end;
  if (hello < 44 || hello > 4096 || s1.end < 79) return undefined;
  const first = c2.sizes[0]!;
  if (s1.end > 260 && FINISHED_13.includes(first)) {
    const clientEnd = c2.start + first;
    let serverEnd = s1.end;
    const { segments } = view;
    for (let row = 0; row < segments.length; row++) {
      if (segments.side[row] !== 1 || segments.offset[row]! < serverEnd) continue;
      if (segments.offset[row]! > serverEnd || segments.acked[row]! > clientEnd) break;
      serverEnd += segments.size[row]!;
    }
    return { bytes: [clientEnd, serverEnd], blocking: [clientEnd, s1.end], version: "1.3" };
  }
  const finish = finishOf(c2.sizes);
  if (s1.end <= 260 && isShortFinish(finish)) return { bytes: [c2.start + finish, s1.end] };
  const answer = s2 === undefined ? 0 : finishOf(s2.sizes);
  if (finish >= 85 && finish <= 450) {
    if (isShortFinish(answer) || (answer >= 150 && answer <= 450)) {
      return { bytes: [c2.start + finish, s2!.start + answer] };
    }
  }
  return undefined;
}
