import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { isTransportName } from "./environment.ts";
import { OrPortError } from "./errors.ts";
import { concat, type Handshake, take } from "./handshake.ts";

/** What a cookie file begins with. */
const COOKIE_HEADER = "! Extended ORPort Auth Cookie !\n";
const COOKIE_BYTES = 32;
const NONCE_BYTES = 32;
const HASH_BYTES = 32;
const SAFE_COOKIE = 1;
/** The specification allows every type from 1 to 255 once. */
const MAX_TYPES = 255;

/** Commands of the Extended ORPort (ext-orport-spec, section 3). */
export const EXT_OR_COMMAND = {
  /** The transport has said all. */
  done: 0x0000,
  /** The client's address. */
  userAddress: 0x0001,
  /** The transport's name. */
  transport: 0x0002,
  /** Tor takes the connection. */
  okay: 0x1000,
  /** Tor does not. */
  deny: 0x1001,
} as const;

/**
 * The secret in the contents of `TOR_PT_AUTH_COOKIE_FILE`: exactly 64 bytes, a header of 32 and the
 * cookie of 32.
 *
 * @throws {OrPortError} on anything else.
 */
export function parseCookie(contents: Uint8Array): Uint8Array {
  const wanted = COOKIE_HEADER.length + COOKIE_BYTES;
  if (contents.length !== wanted) {
    throw new OrPortError(
      `the cookie file has ${contents.length} bytes instead of ${wanted}: is it tor's?`,
    );
  }
  const header = new TextEncoder().encode(COOKIE_HEADER);
  if (!timingSafeEqual(contents.subarray(0, header.length), header)) {
    throw new OrPortError("the cookie file has a wrong header: is it tor's?");
  }
  return contents.slice(header.length);
}

/**
 * The hash that one end proves the cookie with (ext-orport-spec, section 2.1.2).
 */
export function cookieHash(
  cookie: Uint8Array,
  direction: "server-to-client" | "client-to-server",
  clientNonce: Uint8Array,
  serverNonce: Uint8Array,
): Uint8Array {
  return createHmac("sha256", cookie)
    .update(`ExtORPort authentication ${direction} hash`)
    .update(clientNonce)
    .update(serverNonce)
    .digest();
}

/** One message of the Extended ORPort: command and length of 2 bytes each, then the body. */
export function encodeExtOrFrame(command: number, body: string = ""): Uint8Array {
  const bytes = new TextEncoder().encode(body);
  if (bytes.length > 0xffff || bytes.includes(0)) {
    throw new OrPortError("what should be told to the Extended ORPort is too long or has a NUL");
  }
  return concat(
    Uint8Array.of(command >> 8, command & 255, bytes.length >> 8, bytes.length & 255),
    bytes,
  );
}

/** What is told to tor about a connection. */
export interface ExtOrGreeting {
  /** The contents of the cookie file, checked. */
  readonly cookie: Uint8Array;
  /** The transport's name. */
  readonly transport: string;
  /** The client's address, `192.0.2.1:80` or `[2001:db8::1]:80`, if it is known. */
  readonly userAddress?: string;
  /** Our nonce of 32 bytes; random if absent. */
  readonly nonce?: Uint8Array;
}

/**
 * The client's side of the Extended ORPort: authentication by SAFE_COOKIE, in which tor proves itself first,
 * then USERADDR, TRANSPORT, DONE, and the wait for OKAY. Commands that are unknown are skipped. Nothing of
 * the user's may be sent before this returns: tor closes when bytes follow DONE too early.
 *
 * @throws {OrPortError} if either end does not prove the cookie, or tor answers DENY.
 */
export function* extOrHandshake(
  { cookie, transport, userAddress, nonce = randomBytes(NONCE_BYTES) }: ExtOrGreeting,
): Handshake<void> {
  if (!isTransportName(transport)) throw new OrPortError("the transport has no legal name");
  let offered = false;
  for (let types = 0;; types++) {
    const [type] = yield 1;
    if (type === 0) break;
    if (types === MAX_TYPES) throw new OrPortError("too many ways of authentication");
    offered ||= type === SAFE_COOKIE;
  }
  if (!offered) throw new OrPortError("tor does not offer SAFE_COOKIE authentication");
  yield Uint8Array.of(SAFE_COOKIE);
  yield nonce;
  const proof = (yield HASH_BYTES).slice();
  const serverNonce = (yield NONCE_BYTES).slice();
  if (!timingSafeEqual(proof, cookieHash(cookie, "server-to-client", nonce, serverNonce))) {
    throw new OrPortError("tor did not prove the cookie: does the cookie file belong to this tor?");
  }
  yield cookieHash(cookie, "client-to-server", nonce, serverNonce);
  const [status] = yield 1;
  if (status !== 1) throw new OrPortError("tor refused our proof of the cookie");
  yield concat(
    userAddress === undefined
      ? new Uint8Array()
      : encodeExtOrFrame(EXT_OR_COMMAND.userAddress, userAddress),
    encodeExtOrFrame(EXT_OR_COMMAND.transport, transport),
    encodeExtOrFrame(EXT_OR_COMMAND.done),
  );
  for (;;) {
    const [high, low, lengthHigh, lengthLow] = yield 4;
    const command = high! << 8 | low!;
    yield* take(lengthHigh! << 8 | lengthLow!);
    if (command === EXT_OR_COMMAND.okay) return;
    if (command === EXT_OR_COMMAND.deny) throw new OrPortError("tor denied the connection");
  }
}
