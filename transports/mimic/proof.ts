/**
 * How the two ends prove to each other that they hold the same secret, in the first bytes of each
 * direction inside the carrier. Everything is bound to the certificate *as each end sees it*, so that a
 * man in the middle, who shows another one, proves nothing.
 *
 * | bytes | who | when |
 * |---|---|---|
 * | key id (4), nonce (16), MAC (16) | tm-client | first connection of a tunnel: a hello |
 * | token (16) | tm-client | every later connection: single use |
 * | answer (16) | tm-server | first bytes of each connection's other direction |
 *
 * Both are made over the connection's session and serial number, which they name without carrying them:
 * the server tries the few that a tunnel can begin with, and expects the tokens of those that can follow.
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
import { createCipheriv, createHmac, hkdfSync, randomBytes, timingSafeEqual } from "node:crypto";
import { UserError } from "../../base/mod.ts";

/** Bytes of a secret. */
export const SECRET_LENGTH = 32;
/** Bytes of a hello: the least payload of the first record of a tunnel's first connection. */
export const HELLO_LENGTH = 36;
/** Bytes of a token: the least payload of the first record of every later connection. */
export const TOKEN_LENGTH = 16;
/** Bytes of the server's answer. */
export const ANSWER_LENGTH = 16;

/** Sessions that one tunnel may play at once. */
export const MAX_SESSIONS = 16;
/**
 * How far a session's serial numbers may run ahead of the highest that was redeemed. Not only few: browsers
 * open connections ahead of need, and while such a one keeps silent for seconds dozens may overtake it.
 */
export const TOKEN_WINDOW = 128;
/** How far behind the highest that was redeemed a token is still expected. */
export const TOKEN_BEHIND = 256;

/** How many connections of a session that has not begun are expected. */
const FIRST_WINDOW = 8;
/** Sessions of one tunnel whose tokens are kept; those not heard of for longest go first. */
const MAX_SHELF = 64;
const KEY_ID_LENGTH = 4;
const NONCE_LENGTH = 16;
const MAC_AT = KEY_ID_LENGTH + NONCE_LENGTH;
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

/** The key of a new tunnel's tokens and seals: HKDF-SHA256 (RFC 5869) of the secret and the hello's nonce. */
export function tunnelKey(secret: Uint8Array, nonce: Uint8Array): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", secret, nonce, `${VERSION} tunnel`, 32));
}

/** The two halves of one connection's proof, as the client makes them. */
export interface ClientProof {
  /** What the client's first record starts with. */
  readonly first: Uint8Array;
  /** What the server's first bytes must be. */
  readonly answer: Uint8Array;
}

/**
 * The proof of a tunnel's first connection, which is `serial` of `session`.
 *
 * @example
 * ```ts
 * import { helloProof, judgeHello, newSecret, tunnelKey } from "./proof.ts";
 * const [secret, certificate] = [newSecret(), new Uint8Array(32)];
 * const client = helloProof(secret, certificate, 0, 0);
 * const server = judgeHello(client.first, certificate, [secret]);
 * if (server === undefined) throw new Error("the same secret is recognised");
 * if (judgeHello(client.first, certificate, [newSecret()]) !== undefined) throw new Error("another");
 * const keys = [client, server].map(({ nonce }) => `${tunnelKey(secret, nonce)}`);
 * if (keys[0] !== keys[1]) throw new Error("both ends derive the same tunnel");
 * ```
 */
export function helloProof(
  secret: Uint8Array,
  certificateDigest: Uint8Array,
  session: number,
  serial: number,
  nonce: Uint8Array = randomBytes(NONCE_LENGTH),
): ClientProof & { readonly nonce: Uint8Array } {
  if (nonce.length !== NONCE_LENGTH) throw new RangeError(`a nonce has ${NONCE_LENGTH} bytes`);
  const name = connectionName(session, serial);
  const first = new Uint8Array(HELLO_LENGTH);
  first.set(keyId(secret));
  first.set(nonce, KEY_ID_LENGTH);
  first.set(mac(secret, "client hello", certificateDigest, nonce, name), MAC_AT);
  return { first, nonce, answer: mac(secret, "server hello", certificateDigest, nonce, name) };
}

function connectionName(session: number, serial: number): Uint8Array {
  const name = new Uint8Array(8);
  const view = new DataView(name.buffer);
  view.setUint32(0, session);
  view.setUint32(4, serial);
  return name;
}

/** Letters by which a connection names itself where a carrier's own opening has room for no more. */
const NAME_LETTERS = 9;

/** The name of a later connection: the first 54 bits of its token, in base64url. */
export function tokenName(token: Uint8Array): string {
  return Buffer.from(token.buffer, token.byteOffset, 7).toString("base64url").slice(
    0,
    NAME_LETTERS,
  );
}

/** The proof of a later connection of a tunnel. */
export function tokenProof(
  resumeKey: Uint8Array,
  certificateDigest: Uint8Array,
  session: number,
  serial: number,
): ClientProof {
  const name = connectionName(session, serial);
  return {
    first: mac(resumeKey, "client token", certificateDigest, name),
    answer: mac(resumeKey, "server token", certificateDigest, name),
  };
}

/**
 * The cipher of the tm-client's side of the tunnel on one connection, for either end: AES-256-CTR under a
 * key that needs the tunnel's, so whoever can read it could prove itself as well. With it, user data need
 * not wait for the server's answer: should the proof not be accepted, the decoy gets noise. Its key is
 * bound to the certificate as the proof is, and used once, since a connection's name is.
 *
 * @example
 * ```ts
 * import { clientSeal } from "./proof.ts";
 * const [key, certificate] = [new Uint8Array(32), new Uint8Array(32)];
 * const seal = clientSeal(key, certificate, 0, 3);
 * const unseal = clientSeal(key, certificate, 0, 3);
 * const sealed = [seal(Uint8Array.of(1, 2)), seal(Uint8Array.of(3))];
 * if (sealed.flatMap((bytes) => [...unseal(bytes)]).join() !== "1,2,3") throw new Error("garbled");
 * ```
 */
export function clientSeal(
  resumeKey: Uint8Array,
  certificateDigest: Uint8Array,
  session: number,
  serial: number,
): (bytes: Uint8Array) => Uint8Array {
  const key = createHmac("sha256", resumeKey).update(`${VERSION} client seal\0`)
    .update(certificateDigest).update(connectionName(session, serial)).digest();
  const cipher = createCipheriv("aes-256-ctr", key, new Uint8Array(16));
  return (bytes) => cipher.update(bytes);
}

/** A hello that one of the secrets made. */
export interface JudgedHello {
  /** Index of the secret. */
  readonly user: number;
  /** The hello's nonce. */
  readonly nonce: Uint8Array;
  /** The session of the connection. */
  readonly session: number;
  /** The serial number of the connection in its session. */
  readonly serial: number;
  /** What the server answers. */
  readonly answer: Uint8Array;
}

/** The highest serial number that a tunnel can begin with: those before it were lost. */
const LAST_FIRST_SERIAL = 31;

/** Places of the secrets by their key ids, for each list of secrets that is in use. */
const PLACES = new WeakMap<readonly Uint8Array[], ReadonlyMap<number, readonly number[]>>();

/** A key id as a number. */
function numberOf(keyId: Uint8Array): number {
  return new DataView(keyId.buffer, keyId.byteOffset, KEY_ID_LENGTH).getUint32(0);
}

/**
 * Computes the key ids of a list of secrets, which must not be changed afterwards: done before strangers come, none
 * of them waits for it.
 */
export function knowUsers(secrets: readonly Uint8Array[]): ReadonlyMap<number, readonly number[]> {
  const known = PLACES.get(secrets);
  if (known !== undefined) return known;
  const places = new Map<number, number[]>();
  for (const [user, secret] of secrets.entries()) {
    const id = numberOf(keyId(secret));
    places.set(id, [...places.get(id) ?? [], user]);
  }
  PLACES.set(secrets, places);
  return places;
}

/**
 * Whether `bytes` start with a hello made with one of `secrets` for this certificate. Comparison is in
 * constant time. Replays are the caller's to refuse ({@linkcode ReplayCache}).
 *
 * A stranger's bytes cost the same for one user as for thousands: key ids are computed once for a list of secrets
 * ({@linkcode knowUsers}). Otherwise he could count a server's users by how late its decoy answers.
 */
export function judgeHello(
  bytes: Uint8Array,
  certificateDigest: Uint8Array,
  secrets: readonly Uint8Array[],
): JudgedHello | undefined {
  if (bytes.length < HELLO_LENGTH) return undefined;
  const nonce = bytes.slice(KEY_ID_LENGTH, MAC_AT);
  const seen = bytes.subarray(MAC_AT, HELLO_LENGTH);
  for (const user of knowUsers(secrets).get(numberOf(bytes)) ?? []) {
    const secret = secrets[user]!;
    for (let serial = 0; serial <= LAST_FIRST_SERIAL; serial++) {
      for (let session = 0; session < MAX_SESSIONS; session++) {
        const name = connectionName(session, serial);
        if (timingSafeEqual(seen, mac(secret, "client hello", certificateDigest, nonce, name))) {
          const answer = mac(secret, "server hello", certificateDigest, nonce, name);
          return { user, nonce, session, serial, answer };
        }
      }
    }
  }
  return undefined;
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

interface Expected<Tunnel> extends Omit<RedeemedToken<Tunnel>, "answer"> {
  readonly token: Uint8Array;
}

interface SessionTokens {
  /** The first serial number whose token has not been made yet. */
  made: number;
  /** Names of the tokens that are out, by serial number, oldest first. */
  readonly out: Map<number, string>;
}

interface Shelf {
  readonly resumeKey: Uint8Array;
  certificateDigest: Uint8Array;
  /** The sessions whose tokens are out, those heard of last at the end. */
  readonly sessions: Map<number, SessionTokens>;
}

/**
 * The tokens that a server expects next, of all its tunnels: {@linkcode TOKEN_WINDOW} for each session
 * that has begun, fewer for those that can begin next. Each is redeemed once. They are found by their
 * first six bytes, then compared whole in constant time.
 *
 * A tunnel of N sessions at once begins with sessions 0 to N-1; session s is followed by s+N.
 */
export class TokenBook<Tunnel extends object> {
  readonly #expected = new Map<string, Expected<Tunnel>>();
  readonly #shelves = new Map<Tunnel, Shelf>();
  readonly #sessionsOf: (tunnel: Tunnel) => number | undefined;
  readonly #later: (run: () => void) => void;
  #putOff: (() => void)[] = [];

  /**
   * `sessionsOf` says how many sessions a tunnel plays at once, as soon as that is known. `later` runs what need not
   * be done before an answer (tokens are made of those that can follow), at once if absent; what needs it before
   * does it.
   */
  constructor(
    sessionsOf: (tunnel: Tunnel) => number | undefined = () => undefined,
    later: (run: () => void) => void = (run) => run(),
  ) {
    this.#sessionsOf = sessionsOf;
    this.#later = later;
  }

  /** Tokens that are out. */
  get size(): number {
    return this.#expected.size;
  }

  /** Expects the tokens of a tunnel whose first connection came by hello. */
  add(
    tunnel: Tunnel,
    resumeKey: Uint8Array,
    certificateDigest: Uint8Array,
    { session, serial }: { readonly session: number; readonly serial: number },
  ): void {
    const shelf: Shelf = { resumeKey, certificateDigest, sessions: new Map() };
    this.#shelves.set(tunnel, shelf);
    this.#afterwards(tunnel, shelf, () => {
      for (let other = 0; other < MAX_SESSIONS; other++) {
        this.#expect(tunnel, shelf, other, FIRST_WINDOW);
      }
      this.#used(tunnel, shelf, session, serial);
    });
  }

  #afterwards(tunnel: Tunnel, shelf: Shelf, run: () => void): void {
    this.#putOff.push(() => {
      if (this.#shelves.get(tunnel) === shelf) run();
    });
    this.#later(() => this.#putOff.shift()?.());
  }

  /** Does at once what was put off. */
  #settle(): void {
    for (const run of this.#putOff.splice(0)) run();
  }

  /** Expects the same connections under another certificate: the server's was renewed. */
  rebind(certificateDigest: Uint8Array): void {
    this.#settle();
    for (const [tunnel, shelf] of this.#shelves) {
      shelf.certificateDigest = certificateDigest;
      for (const [session, tokens] of shelf.sessions) {
        this.#forget(tokens);
        for (const serial of tokens.out.keys()) {
          tokens.out.set(serial, this.#issue(tunnel, shelf, session, serial));
        }
      }
    }
  }

  /** Forgets a tunnel and its tokens. */
  remove(tunnel: Tunnel): void {
    const shelf = this.#shelves.get(tunnel);
    if (shelf === undefined) return;
    for (const tokens of shelf.sessions.values()) this.#forget(tokens);
    this.#shelves.delete(tunnel);
  }

  /** The connection that `bytes` start with the token of, if that was expected; it is then used up. */
  redeem(bytes: Uint8Array): RedeemedToken<Tunnel> | undefined {
    if (bytes.length < TOKEN_LENGTH) return undefined;
    const name = nameOf(bytes);
    if (!this.#expected.has(name)) this.#settle();
    const expected = this.#expected.get(name);
    if (expected === undefined) return undefined;
    if (!timingSafeEqual(bytes.subarray(0, TOKEN_LENGTH), expected.token)) return undefined;
    return this.#redeemed(name, expected);
  }

  /**
   * The same for a connection that comes with its token's name alone ({@linkcode tokenName}): from whom a carrier
   * has let in by a secret, for 54 bits are few against somebody who may try at will.
   */
  redeemNamed(text: string): RedeemedToken<Tunnel> | undefined {
    if (!/^[A-Za-z0-9_-]{9}$/.test(text)) return undefined;
    const name = nameOf(Buffer.from(text, "base64url"));
    if (!this.#expected.has(name)) this.#settle();
    const expected = this.#expected.get(name);
    if (expected === undefined) return undefined;
    const right = Buffer.from(tokenName(expected.token));
    return timingSafeEqual(Buffer.from(text), right) ? this.#redeemed(name, expected) : undefined;
  }

  #redeemed(name: string, expected: Expected<Tunnel>): RedeemedToken<Tunnel> {
    const { tunnel, session, serial } = expected;
    const shelf = this.#shelves.get(tunnel)!;
    this.#expected.delete(name);
    shelf.sessions.get(session)?.out.delete(serial);
    const answer = mac(
      shelf.resumeKey,
      "server token",
      shelf.certificateDigest,
      connectionName(session, serial),
    );
    this.#afterwards(tunnel, shelf, () => this.#used(tunnel, shelf, session, serial));
    return { tunnel, session, serial, answer };
  }

  #used(tunnel: Tunnel, shelf: Shelf, session: number, serial: number): void {
    const tokens = this.#expect(tunnel, shelf, session, serial + 1 + TOKEN_WINDOW);
    // A connection that died on its way leaves its token behind: forget those far behind.
    for (const [old, name] of tokens.out) {
      if (old > serial - TOKEN_BEHIND && old !== serial) {
        if (old > serial) break;
        continue;
      }
      tokens.out.delete(old);
      this.#expected.delete(name);
    }
    const stride = this.#sessionsOf(tunnel);
    if (stride !== undefined) {
      this.#expect(tunnel, shelf, session + stride, FIRST_WINDOW);
      const before = shelf.sessions.get(session - stride);
      if (before !== undefined) this.#forget(before);
      shelf.sessions.delete(session - stride);
    }
    for (const [oldest, left] of shelf.sessions) {
      if (shelf.sessions.size <= MAX_SHELF) break;
      this.#forget(left);
      shelf.sessions.delete(oldest);
    }
  }

  /** Makes a session's tokens below `end` that have not been made, and moves it to the end. */
  #expect(tunnel: Tunnel, shelf: Shelf, session: number, end: number): SessionTokens {
    const tokens = shelf.sessions.get(session) ?? { made: 0, out: new Map() };
    shelf.sessions.delete(session);
    shelf.sessions.set(session, tokens);
    for (let serial = tokens.made; serial < end; serial++) {
      tokens.out.set(serial, this.#issue(tunnel, shelf, session, serial));
    }
    tokens.made = Math.max(tokens.made, end);
    return tokens;
  }

  /** Makes a token and returns its name. */
  #issue(tunnel: Tunnel, shelf: Shelf, session: number, serial: number): string {
    const { resumeKey, certificateDigest } = shelf;
    const token = mac(
      resumeKey,
      "client token",
      certificateDigest,
      connectionName(session, serial),
    );
    const name = nameOf(token);
    this.#expected.set(name, { tunnel, session, serial, token });
    return name;
  }

  #forget(tokens: SessionTokens): void {
    for (const name of tokens.out.values()) this.#expected.delete(name);
  }
}

function nameOf(token: Uint8Array): string {
  return Buffer.from(token.buffer, token.byteOffset, 6).toString("latin1");
}

/** Whether the server's first bytes are the answer expected; compared in constant time. */
export function isAnswer(seen: Uint8Array, expected: Uint8Array): boolean {
  return seen.length === expected.length && timingSafeEqual(seen, expected);
}
