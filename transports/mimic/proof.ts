/**
 * How the two ends prove to each other that they hold the same secret, in the first bytes of each
 * direction inside the carrier. Everything is bound to the certificate *as each end sees it*, so that a
 * man in the middle, who shows another one, proves nothing.
 *
 * | bytes | who | when |
 * |---|---|---|
 * | key id (4), nonce (16), MAC (16) | tm-client | first connection of a tunnel: a hello |
 * | token (16) | tm-client | every later connection: single use, names (session, serial) |
 * | answer (16) | tm-server | first bytes of each connection's other direction |
 *
 * A hello or token lies whole in the client's first record, so the server never waits for more of it:
 * what does not start with one belongs to the decoy at once, and no number of bytes makes it hesitate.
 *
 * The key of the tokens is derived by HKDF from the secret and the hello's nonce. The nonce is random
 * and travels inside the carrier, so another holder of the same secret (all users of a Tor bridge share
 * one) cannot compute it, and no connection has to wait for a key to be issued.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createHmac, hkdfSync, randomBytes, timingSafeEqual } from "node:crypto";
import { UserError } from "../../base/mod.ts";

/** Bytes of a secret. */
export const SECRET_LENGTH = 32;
/** Bytes of a hello: the least payload of the first record of a tunnel's first connection. */
export const HELLO_LENGTH = 36;
/** Bytes of a token: the least payload of the first record of every later connection. */
export const TOKEN_LENGTH = 16;
/** Bytes of the server's answer. */
export const ANSWER_LENGTH = 16;

const KEY_ID_LENGTH = 4;
const NONCE_LENGTH = 16;
const VERSION = "TrafficMimic 1";

/** A secret in a line or a file that is not one. */
export class SecretError extends UserError {
  /** `where` names the option or file. */
  constructor(readonly where: string) {
    super(`${where}: a secret is 32 bytes in base64url (43 characters): make one with keygen`);
  }
}

/** A new secret: 32 random bytes. */
export function newSecret(): Uint8Array {
  return new Uint8Array(randomBytes(SECRET_LENGTH));
}

/**
 * A secret from its base64url text.
 *
 * @throws {SecretError} naming `where` it stood.
 */
export function parseSecret(text: string, where: string): Uint8Array {
  if (!/^[A-Za-z0-9_-]{43}$/.test(text)) throw new SecretError(where);
  return new Uint8Array(Buffer.from(text, "base64url"));
}

/** The base64url text of a secret. */
export function formatSecret(secret: Uint8Array): string {
  return Buffer.from(secret).toString("base64url");
}

function mac(key: Uint8Array, label: string, ...parts: Uint8Array[]): Uint8Array {
  const hmac = createHmac("sha256", key).update(`${VERSION} ${label}\0`);
  for (const part of parts) hmac.update(part);
  return new Uint8Array(hmac.digest()).subarray(0, 16);
}

/** The four bytes that tell the server which secret a hello is made with; they reveal nothing of it. */
export function keyId(secret: Uint8Array): Uint8Array {
  return mac(secret, "key id").subarray(0, KEY_ID_LENGTH);
}

/** What both ends derive for a new tunnel from the secret and the hello's nonce. */
export interface TunnelKeys {
  /** Names the tunnel, as 32 hex digits. */
  readonly tunnelId: string;
  /** The key of its tokens. */
  readonly resumeKey: Uint8Array;
}

/** Derives a tunnel's name and key (HKDF-SHA256, RFC 5869). */
export function tunnelKeys(secret: Uint8Array, nonce: Uint8Array): TunnelKeys {
  const bytes = new Uint8Array(hkdfSync("sha256", secret, nonce, `${VERSION} tunnel`, 48));
  return {
    tunnelId: Buffer.from(bytes.subarray(0, 16)).toString("hex"),
    resumeKey: bytes.slice(16),
  };
}

/** The two halves of one connection's proof, as the client makes them. */
export interface ClientProof {
  /** What the client's first record starts with. */
  readonly first: Uint8Array;
  /** What the server's first bytes must be. */
  readonly answer: Uint8Array;
}

/**
 * The proof of a tunnel's first connection.
 *
 * @example
 * ```ts
 * import { helloProof, judgeHello, newSecret, tunnelKeys } from "./proof.ts";
 * const [secret, certificate, nonce] = [newSecret(), new Uint8Array(32), new Uint8Array(16)];
 * const client = helloProof(secret, certificate, nonce);
 * const server = judgeHello(client.first, certificate, [secret]);
 * if (server === undefined) throw new Error("the same secret is recognised");
 * if (judgeHello(client.first, certificate, [newSecret()]) !== undefined) throw new Error("another");
 * if (tunnelKeys(secret, nonce).tunnelId !== tunnelKeys(secret, server.nonce).tunnelId) throw new Error();
 * ```
 */
export function helloProof(
  secret: Uint8Array,
  certificateDigest: Uint8Array,
  nonce: Uint8Array = randomBytes(NONCE_LENGTH),
): ClientProof & { readonly nonce: Uint8Array } {
  if (nonce.length !== NONCE_LENGTH) throw new RangeError(`a nonce has ${NONCE_LENGTH} bytes`);
  const first = new Uint8Array(HELLO_LENGTH);
  first.set(keyId(secret));
  first.set(nonce, KEY_ID_LENGTH);
  first.set(mac(secret, "client hello", certificateDigest, nonce), KEY_ID_LENGTH + NONCE_LENGTH);
  return { first, nonce, answer: mac(secret, "server hello", certificateDigest, nonce) };
}

/** The proof of a later connection of a tunnel. */
export function tokenProof(
  resumeKey: Uint8Array,
  certificateDigest: Uint8Array,
  session: number,
  serial: number,
): ClientProof {
  const name = new Uint8Array(8);
  const view = new DataView(name.buffer);
  view.setUint32(0, session);
  view.setUint32(4, serial);
  return {
    first: mac(resumeKey, "client token", certificateDigest, name),
    answer: mac(resumeKey, "server token", certificateDigest, name),
  };
}

/** A hello that one of the secrets made. */
export interface JudgedHello {
  /** Index of the secret. */
  readonly user: number;
  /** The hello's nonce. */
  readonly nonce: Uint8Array;
  /** What the server answers. */
  readonly answer: Uint8Array;
}

/**
 * Whether `bytes` start with a hello made with one of `secrets` for this certificate. Every secret is
 * tried, each compared in constant time. Replays are the caller's to refuse ({@linkcode ReplayCache}).
 */
export function judgeHello(
  bytes: Uint8Array,
  certificateDigest: Uint8Array,
  secrets: readonly Uint8Array[],
): JudgedHello | undefined {
  if (bytes.length < HELLO_LENGTH) return undefined;
  const nonce = bytes.slice(KEY_ID_LENGTH, KEY_ID_LENGTH + NONCE_LENGTH);
  let judged: JudgedHello | undefined;
  for (const [user, secret] of secrets.entries()) {
    const expected = helloProof(secret, certificateDigest, nonce);
    if (timingSafeEqual(bytes.subarray(0, HELLO_LENGTH), expected.first)) {
      judged = { user, nonce, answer: expected.answer };
    }
  }
  return judged;
}

/** Remembers the nonces of the last `limit` hellos: one that comes again is a replay. */
export class ReplayCache {
  readonly #seen = new Set<string>();
  readonly #limit: number;

  /** Keeps `limit` nonces; 65,536 if absent. */
  constructor(limit = 65_536) {
    this.#limit = limit;
  }

  /** Nonces that are remembered. */
  get size(): number {
    return this.#seen.size;
  }

  /** Whether `nonce` is new; it is remembered, in place of the oldest where there are too many. */
  admit(nonce: Uint8Array): boolean {
    const name = Buffer.from(nonce).toString("latin1");
    if (this.#seen.has(name)) return false;
    this.#seen.add(name);
    if (this.#seen.size > this.#limit) {
      for (const oldest of this.#seen) {
        this.#seen.delete(oldest);
        break;
      }
    }
    return true;
  }
}

/** Sessions that one tunnel may play at once: the tokens of each are expected from the start. */
export const MAX_SESSIONS = 16;
/** How far a session's serial numbers may run ahead of the highest that was redeemed. */
export const TOKEN_WINDOW = 32;

/** A token that was expected. */
export interface RedeemedToken<Tunnel> {
  /** The tunnel that it belongs to. */
  readonly tunnel: Tunnel;
  /** The session of the connection. */
  readonly session: number;
  /** The serial number of the connection in its session. */
  readonly serial: number;
  /** What the server answers. */
  readonly answer: Uint8Array;
}

interface Expected<Tunnel> extends RedeemedToken<Tunnel> {
  readonly token: Uint8Array;
}

interface Shelf {
  readonly resumeKey: Uint8Array;
  readonly certificateDigest: Uint8Array;
  /** Of each session, the first serial number whose token has not been made yet. */
  readonly made: number[];
  /** Names of the tokens that are out, oldest first, by session. */
  readonly out: Map<number, string>[];
}

/**
 * The tokens that a server expects next, of all its tunnels: {@linkcode TOKEN_WINDOW} for each session.
 * Each is redeemed once. They are found by their first half, then compared whole in constant time.
 */
export class TokenBook<Tunnel extends object> {
  readonly #expected = new Map<string, Expected<Tunnel>>();
  readonly #shelves = new Map<Tunnel, Shelf>();

  /** Tokens that are out. */
  get size(): number {
    return this.#expected.size;
  }

  /** Expects the tokens of a tunnel from now on. */
  add(tunnel: Tunnel, resumeKey: Uint8Array, certificateDigest: Uint8Array): void {
    const shelf: Shelf = {
      resumeKey,
      certificateDigest,
      made: new Array<number>(MAX_SESSIONS).fill(0),
      out: Array.from({ length: MAX_SESSIONS }, () => new Map<number, string>()),
    };
    this.#shelves.set(tunnel, shelf);
    for (let session = 0; session < MAX_SESSIONS; session++) {
      this.#make(tunnel, shelf, session, TOKEN_WINDOW);
    }
  }

  /** Forgets a tunnel and its tokens. */
  remove(tunnel: Tunnel): void {
    const shelf = this.#shelves.get(tunnel);
    if (shelf === undefined) return;
    for (const out of shelf.out) for (const name of out.values()) this.#expected.delete(name);
    this.#shelves.delete(tunnel);
  }

  /** The connection that `bytes` start with the token of, if that was expected; it is then used up. */
  redeem(bytes: Uint8Array): RedeemedToken<Tunnel> | undefined {
    if (bytes.length < TOKEN_LENGTH) return undefined;
    const name = nameOf(bytes);
    const expected = this.#expected.get(name);
    if (expected === undefined) return undefined;
    if (!timingSafeEqual(bytes.subarray(0, TOKEN_LENGTH), expected.token)) return undefined;
    this.#use(expected.tunnel, expected.session, expected.serial);
    return expected;
  }

  /** Marks a connection's token as used: the one of a tunnel's first connection, which came by hello. */
  use(tunnel: Tunnel, session: number, serial: number): void {
    this.#use(tunnel, session, serial);
  }

  #use(tunnel: Tunnel, session: number, serial: number): void {
    const shelf = this.#shelves.get(tunnel);
    const out = shelf?.out[session];
    if (shelf === undefined || out === undefined) return;
    const name = out.get(serial);
    if (name !== undefined) this.#expected.delete(name);
    out.delete(serial);
    this.#make(tunnel, shelf, session, serial + 1 + TOKEN_WINDOW);
    // A connection that died on its way leaves its token behind: forget those far behind.
    for (const [old, oldName] of out) {
      if (old >= serial - TOKEN_WINDOW) break;
      out.delete(old);
      this.#expected.delete(oldName);
    }
  }

  #make(tunnel: Tunnel, shelf: Shelf, session: number, end: number): void {
    for (let serial = shelf.made[session]!; serial < end; serial++) {
      const { first, answer } = tokenProof(
        shelf.resumeKey,
        shelf.certificateDigest,
        session,
        serial,
      );
      const name = nameOf(first);
      this.#expected.set(name, { tunnel, session, serial, answer, token: first });
      shelf.out[session]!.set(serial, name);
    }
    shelf.made[session] = Math.max(shelf.made[session]!, end);
  }
}

function nameOf(token: Uint8Array): string {
  return Buffer.from(token.buffer, token.byteOffset, 8).toString("latin1");
}

/** Compares the server's answer with what it must be, as its bytes come in. */
export class AnswerReader {
  readonly #expected: Uint8Array;
  readonly #seen = new Uint8Array(ANSWER_LENGTH);
  #length = 0;

  /** Expects `answer`. */
  constructor(answer: Uint8Array) {
    this.#expected = answer;
  }

  /**
   * Takes bytes from the server. Returns what follows the answer once it has come and is right, `more`
   * until then, `wrong` if it is not the one expected.
   */
  take(bytes: Uint8Array): Uint8Array | "more" | "wrong" {
    const part = bytes.subarray(0, ANSWER_LENGTH - this.#length);
    this.#seen.set(part, this.#length);
    this.#length += part.length;
    if (this.#length < ANSWER_LENGTH) return "more";
    if (!timingSafeEqual(this.#seen, this.#expected)) return "wrong";
    return bytes.subarray(part.length);
  }
}
