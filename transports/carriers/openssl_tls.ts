/**
 * TLS by the system's OpenSSL, in memory: ciphertext in, plaintext out and the other way round. OpenSSL makes the
 * handshakes of nginx, Postfix, curl and swaks, so ours look like theirs.
 *
 * All pointers stay in this file. A context is freed when nobody refers to it any more, a session by
 * {@linkcode TlsSession.free}, or as contexts are if nobody calls that, and once; OpenSSL keeps a context as long as it
 * has sessions. Nothing is called back but the choice of a name and a protocol, so that whoever uses a session may
 * free it at any time.
 *
 * @module
 */
import { mayCallBack, type OpenSslFunctions, openSslFunctions } from "./openssl_library.ts";

/** From OpenSSL's headers, which promise that they stay (ssl.h, tls1.h). */
const SSL_CTRL_MODE = 33;
const SSL_CTRL_SET_SESS_CACHE_MODE = 44;
const SSL_CTRL_SET_TLSEXT_SERVERNAME_CB = 53;
const SSL_CTRL_SET_TLSEXT_HOSTNAME = 55;
const SSL_CTRL_SET_TLSEXT_TICKET_KEYS = 59;
const SSL_CTRL_CHAIN_CERT = 89;
const SSL_CTRL_CLEAR_MODE = 78;
const SSL_CTRL_SET_GROUPS_LIST = 92;
const SSL_CTRL_SET_MIN_PROTO_VERSION = 123;
const TLS1_VERSION = 0x0301;
const TLS1_3_VERSION = 0x0304;
const SSL_MODE_AUTO_RETRY = 0x4;
const SSL_MODE_NO_AUTO_CHAIN = 0x8;
const SSL_MODE_RELEASE_BUFFERS = 0x10;
const SSL_SESS_CACHE_OFF = 0;
const SSL_OP_ALL = (1n << 4n) | (1n << 6n) | (1n << 11n) | (1n << 31n);
const SSL_OP_NO_TICKET = 1n << 14n;
const SSL_OP_NO_COMPRESSION = 1n << 17n;
const SSL_OP_NO_RENEGOTIATION = 1n << 30n;
const SSL_VERIFY_NONE = 0;
const SSL_VERIFY_PEER = 1;
const SSL_ERROR_WANT_READ = 2;
const SSL_ERROR_ZERO_RETURN = 6;
const SSL_TLSEXT_ERR_OK = 0;
const SSL_TLSEXT_ERR_ALERT_FATAL = 2;

/** What {@linkcode TlsSession.read} says when nothing is left, and when nothing will follow. */
export const NOTHING = 0, CLOSED = -1;

/** Longest plaintext of a record, in bytes. */
export const LONGEST_PLAINTEXT = 16_384;

/** OpenSSL has refused something. */
export class OpenSslError extends Error {
  /** `reason` in OpenSSL's words. */
  constructor(reason: string) {
    super(reason);
    this.name = "OpenSslError";
  }
}

const PROBLEMS = new Map([
  [9, "it is not valid yet"],
  [10, "it has expired"],
  [18, "it is self-signed"],
  [19, "its root is not known"],
  [20, "its issuer is not known"],
  [62, "it is for another name"],
  [64, "it is for another address"],
]);

/** Without it OpenSSL would ask at the terminal for what opens an encrypted key, and wait. */
const NO_PASSPHRASE = new Uint8Array(1);

/** Groups that everybody may ask for: without those that cost much (ffdhe8192: 120 milliseconds). */
const CHEAP_GROUPS = "X25519:P-256:X448:P-521:P-384";
/** OpenSSL 3.5 has left them out by itself, and has others. */
const FIRST_WITHOUT = 5;

const bytesOf = (text: string) => new TextEncoder().encode(text);

/** A string as C has it. */
function cString(text: string): Uint8Array<ArrayBuffer> {
  if (text.includes("\0")) throw new OpenSslError("a name holds no zero byte");
  return bytesOf(`${text}\0`);
}

/** Application protocols as they are offered: each after its length. */
function protocolList(protocols: readonly string[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(protocols.flatMap((name) => {
    const bytes = bytesOf(name);
    if (bytes.length === 0 || bytes.length > 255) throw new OpenSslError(`no protocol: ${name}`);
    return [bytes.length, ...bytes];
  }));
}

/** Empties the queue of errors, and returns the first one's reason. */
function reasonOf(lib: OpenSslFunctions): string | undefined {
  const code = lib.ERR_get_error();
  lib.ERR_clear_error();
  if (code === 0n) return undefined;
  const text = new Uint8Array(256);
  lib.ERR_error_string_n(code, text, 256n);
  // error:0A000086:SSL routines::certificate verify failed
  return new TextDecoder().decode(text.subarray(0, text.indexOf(0))).split(":").at(-1);
}

/** Throws OpenSSL's reason if `value` stands for a failure. */
function must<T>(lib: OpenSslFunctions, value: T): NonNullable<T> {
  if (value === null || value === undefined || value === 0 || value === 0n) {
    throw new OpenSslError(reasonOf(lib) ?? "OpenSSL failed");
  }
  return value;
}

function library(): OpenSslFunctions {
  const lib = openSslFunctions();
  if (lib === undefined) throw new OpenSslError("OpenSSL is not there or not allowed");
  return lib;
}

function memoryBio(lib: OpenSslFunctions): NonNullable<Deno.PointerValue> {
  return must(lib, lib.BIO_new(lib.BIO_s_mem()));
}

/** A memory BIO that holds `bytes`, for as long as `use` runs. */
function withBio<T>(
  lib: OpenSslFunctions,
  bytes: Uint8Array<ArrayBuffer> | undefined,
  use: (bio: NonNullable<Deno.PointerValue>) => T,
): T {
  const bio = memoryBio(lib);
  try {
    if (bytes !== undefined && bytes.length > 0) lib.BIO_write(bio, bytes, bytes.length);
    return use(bio);
  } finally {
    lib.BIO_free(bio);
  }
}

/** All that a BIO holds, in `room` if that has been given and is large enough. */
function takeFrom(
  lib: OpenSslFunctions,
  bio: Deno.PointerValue,
  room?: Uint8Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer> | undefined {
  const pending = Number(lib.BIO_ctrl_pending(bio));
  if (pending === 0) return undefined;
  const bytes = room !== undefined && room.buffer.byteLength >= pending
    ? new Uint8Array(room.buffer, 0, pending)
    : new Uint8Array(pending);
  lib.BIO_read(bio, bytes, pending);
  return bytes;
}

const abandoned = new FinalizationRegistry<{
  readonly pointer: Deno.PointerValue;
  readonly callback: { close(): void } | undefined;
}>(({ pointer, callback }) => {
  openSslFunctions()?.SSL_CTX_free(pointer);
  callback?.close();
});

/** Sessions that nobody has freed, and nobody can any more. */
const forgotten = new FinalizationRegistry<Deno.PointerValue>((session) => {
  openSslFunctions()?.SSL_free(session);
});

/**
 * Of the two servers' tickets: how many there are after a full handshake, how many seconds they last, and what is
 * in them to tell uses apart, which is as long as theirs (a SHA-1, an int).
 */
const NGINX = { tickets: 2n, lifetime: 300n, context: new Uint8Array(20) };
const POSTFIX = {
  tickets: 1n,
  lifetime: 3600n,
  context: new Uint8Array(4),
};

/** What the sessions of one end have in common. Its pointer is for this file. */
export class TlsContext {
  /** An `SSL_CTX`. */
  readonly pointer: NonNullable<Deno.PointerValue>;
  readonly end: "client" | "server";

  /** `callback` is closed with the context. */
  private constructor(
    pointer: NonNullable<Deno.PointerValue>,
    end: "client" | "server",
    callback?: { close(): void },
  ) {
    this.pointer = pointer;
    this.end = end;
    abandoned.register(this, { pointer, callback });
  }

  /**
   * For clients that say hello as `program` does.
   *
   * @throws {OpenSslError} if OpenSSL is not there.
   */
  static client(program: "curl" | "swaks"): TlsContext {
    const lib = library();
    lib.ERR_clear_error();
    const pointer = must(lib, lib.SSL_CTX_new(lib.TLS_method()));
    const context = new TlsContext(pointer, "client");
    // Both offer what nobody takes any more; what was chosen is looked at after the handshake.
    must(
      lib,
      lib.SSL_CTX_ctrl(pointer, SSL_CTRL_SET_MIN_PROTO_VERSION, BigInt(TLS1_VERSION), null),
    );
    lib.SSL_CTX_set_options(pointer, SSL_OP_ALL | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    if (program === "curl") {
      lib.SSL_CTX_set_options(pointer, SSL_OP_NO_TICKET);
      lib.SSL_CTX_set_post_handshake_auth(pointer, 1);
    }
    lib.SSL_CTX_ctrl(pointer, SSL_CTRL_MODE, BigInt(SSL_MODE_RELEASE_BUFFERS), null);
    lib.SSL_CTX_ctrl(pointer, SSL_CTRL_CLEAR_MODE, BigInt(SSL_MODE_AUTO_RETRY), null);
    lib.SSL_CTX_ctrl(pointer, SSL_CTRL_SET_SESS_CACHE_MODE, BigInt(SSL_SESS_CACHE_OFF), null);
    lib.SSL_CTX_set_default_verify_paths(pointer);
    lib.ERR_clear_error();
    return context;
  }

  /**
   * For a server of TLS 1.3 with nginx's settings, or with Postfix's if `alpn` is absent: protocols in the order of
   * preference; who offers none of these is refused, and who offers nothing is not. `ticketKeys`, 80 secret bytes,
   * open the tickets of other contexts that have the same. `exposed`: everybody's hellos come here, so that what costs
   * the server much is left out.
   *
   * @throws {OpenSslError} if certificate (chain) and key, PEM, cannot be used.
   */
  static server({ alpn, certificate, exposed, key, ticketKeys }: {
    readonly certificate: string;
    readonly key: string;
    readonly alpn?: readonly string[];
    readonly ticketKeys?: Uint8Array<ArrayBuffer>;
    readonly exposed?: boolean;
  }): TlsContext {
    const lib = library();
    lib.ERR_clear_error();
    const choice = alpn === undefined ? undefined : choices(alpn.map(bytesOf));
    const pointer = must(lib, lib.SSL_CTX_new(lib.TLS_method()));
    const context = new TlsContext(pointer, "server", choice);
    must(
      lib,
      lib.SSL_CTX_ctrl(pointer, SSL_CTRL_SET_MIN_PROTO_VERSION, BigInt(TLS1_3_VERSION), null),
    );
    lib.SSL_CTX_set_options(pointer, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    const mode = SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN;
    lib.SSL_CTX_ctrl(pointer, SSL_CTRL_MODE, BigInt(mode), null);
    lib.SSL_CTX_ctrl(pointer, SSL_CTRL_CLEAR_MODE, BigInt(SSL_MODE_AUTO_RETRY), null);
    if (exposed && lib.OPENSSL_version_minor() < FIRST_WITHOUT) {
      const groups = cString(CHEAP_GROUPS);
      must(lib, lib.contextControl(pointer, SSL_CTRL_SET_GROUPS_LIST, 0n, groups));
    }
    lib.SSL_CTX_ctrl(pointer, SSL_CTRL_SET_SESS_CACHE_MODE, BigInt(SSL_SESS_CACHE_OFF), null);
    const { context: name, lifetime, tickets } = alpn === undefined ? POSTFIX : NGINX;
    lib.SSL_CTX_set_timeout(pointer, lifetime);
    must(lib, lib.SSL_CTX_set_num_tickets(pointer, tickets));
    must(lib, lib.SSL_CTX_set_session_id_context(pointer, name, name.length));
    if (ticketKeys !== undefined) {
      const size = BigInt(ticketKeys.length);
      must(lib, lib.contextControl(pointer, SSL_CTRL_SET_TLSEXT_TICKET_KEYS, size, ticketKeys));
    }
    withBio(lib, bytesOf(certificate), (bio) => {
      const leaf = must(lib, lib.PEM_read_bio_X509(bio, null, null, NO_PASSPHRASE));
      const used = lib.SSL_CTX_use_certificate(pointer, leaf);
      lib.X509_free(leaf);
      must(lib, used);
      for (;;) {
        const next = lib.PEM_read_bio_X509(bio, null, null, NO_PASSPHRASE);
        if (next === null) break;
        // The context owns it from here on.
        must(lib, lib.SSL_CTX_ctrl(pointer, SSL_CTRL_CHAIN_CERT, 0n, next));
      }
      // The end of the file is an error in the queue.
      lib.ERR_clear_error();
    });
    withBio(lib, bytesOf(key), (bio) => {
      const secret = must(lib, lib.PEM_read_bio_PrivateKey(bio, null, null, NO_PASSPHRASE));
      const used = lib.SSL_CTX_use_PrivateKey(pointer, secret);
      lib.EVP_PKEY_free(secret);
      must(lib, used);
    });
    must(lib, lib.SSL_CTX_check_private_key(pointer));
    if (choice !== undefined) {
      lib.SSL_CTX_callback_ctrl(
        pointer,
        SSL_CTRL_SET_TLSEXT_SERVERNAME_CB,
        choice.name.pointer,
      );
      lib.SSL_CTX_set_alpn_select_cb(pointer, choice.protocol.pointer, null);
    }
    return context;
  }
}

/**
 * What OpenSSL asks during a web server's handshake, in our turn: whether the name is known (nginx says yes to
 * all), and for the first of `protocols` that a client offers.
 */
function choices(protocols: readonly Uint8Array[]) {
  if (!mayCallBack()) {
    throw new OpenSslError("a choice of protocols needs --allow-ffi without a path");
  }
  const name = new Deno.UnsafeCallback(
    { parameters: ["pointer", "pointer", "pointer"], result: "i32" } as const,
    () => SSL_TLSEXT_ERR_OK,
  );
  const definition = {
    parameters: ["pointer", "pointer", "pointer", "pointer", "u32", "pointer"],
    result: "i32",
  } as const;
  const protocol = new Deno.UnsafeCallback(
    definition,
    (_ssl, out, outLength, offered, length) => {
      try {
        const list = new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(offered!, length));
        const at = choose(list, protocols);
        if (at === undefined) return SSL_TLSEXT_ERR_ALERT_FATAL;
        // It points into what the client offered, which lives as long as the handshake.
        const chosen = Deno.UnsafePointer.value(offered) + BigInt(at + 1);
        new BigUint64Array(Deno.UnsafePointerView.getArrayBuffer(out!, 8))[0] = chosen;
        new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(outLength!, 1))[0] = list[at]!;
        return SSL_TLSEXT_ERR_OK;
      } catch {
        // Nothing may be thrown into OpenSSL.
        return SSL_TLSEXT_ERR_ALERT_FATAL;
      }
    },
  );
  return {
    name,
    protocol,
    close: () => {
      name.close();
      protocol.close();
    },
  };
}

/** Where in a list of names, each after its length, the first of `wanted` is that is in it. */
function choose(list: Uint8Array, wanted: readonly Uint8Array[]): number | undefined {
  for (const name of wanted) {
    for (let at = 0; at < list.length; at += 1 + list[at]!) {
      const offered = list.subarray(at + 1, at + 1 + list[at]!);
      if (offered.length === name.length && offered.every((byte, i) => byte === name[i])) return at;
    }
  }
  return undefined;
}

/** What a client's session wants. */
export interface ClientWishes {
  /** The name to ask for (SNI); none is sent if absent. */
  readonly serverName?: string;
  /** Application protocols to offer; none if absent. */
  readonly alpn?: readonly string[];
  /**
   * The host name or IP address for which the certificate must be, under a root that the system knows. Absent:
   * any certificate will do, and the caller looks at it.
   */
  readonly verify?: string;
}

/**
 * One TLS connection without a socket. What comes is given to {@linkcode TlsSession.feed}; what is to be sent is
 * got from {@linkcode TlsSession.take} after every other call, also after one that threw (an alert). A freed session
 * takes nothing and has nothing.
 */
export class TlsSession {
  readonly #lib = library();
  // Keeps the context's callback alive.
  readonly #context: TlsContext;
  readonly #in: Deno.PointerValue;
  readonly #out: Deno.PointerValue;
  #ssl: Deno.PointerValue;

  /** @throws {OpenSslError} if the wishes cannot be granted. */
  constructor(context: TlsContext, wishes: ClientWishes = {}) {
    const lib = this.#lib;
    this.#context = context;
    lib.ERR_clear_error();
    const ssl = must(lib, lib.SSL_new(context.pointer));
    this.#ssl = ssl;
    forgotten.register(this, ssl, this);
    try {
      this.#in = memoryBio(lib);
      try {
        this.#out = memoryBio(lib);
      } catch (error) {
        lib.BIO_free(this.#in);
        throw error;
      }
      // From here on the session owns both.
      lib.SSL_set_bio(ssl, this.#in, this.#out);
      if (context.end === "server") lib.SSL_set_accept_state(ssl);
      else this.#wish(wishes);
    } catch (error) {
      this.free();
      throw error;
    }
  }

  #wish({ alpn, serverName, verify }: ClientWishes): void {
    const lib = this.#lib;
    const ssl = this.#ssl;
    lib.SSL_set_connect_state(ssl);
    if (serverName !== undefined) {
      must(lib, lib.SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, 0n, cString(serverName)));
    }
    if (alpn !== undefined && alpn.length > 0) {
      const list = protocolList(alpn);
      // Alone of all, it returns 0 for success.
      if (lib.SSL_set_alpn_protos(ssl, list, list.length) !== 0) {
        throw new OpenSslError("the protocols cannot be offered");
      }
    }
    lib.SSL_set_verify(ssl, verify === undefined ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, null);
    if (verify === undefined) return;
    // To OpenSSL, no name is any name, and a dot before a name all names below it.
    if (verify === "" || verify.startsWith(".")) throw new OpenSslError("no name to verify");
    const address = /^[\d.]+$|:/.test(verify);
    must(
      lib,
      address
        ? lib.X509_VERIFY_PARAM_set1_ip_asc(lib.SSL_get0_param(ssl), cString(verify))
        : lib.SSL_set1_host(ssl, cString(verify)),
    );
  }

  /** Whether it was freed. */
  get freed(): boolean {
    return this.#ssl === null;
  }

  /** Whether it is a server's. */
  get isServer(): boolean {
    return this.#context.end === "server";
  }

  /** Whether TLS 1.3 was agreed on. */
  get isTls13(): boolean {
    return this.#ssl !== null && this.#lib.SSL_version(this.#ssl) === TLS1_3_VERSION;
  }

  /** The peer's certificate (DER); `undefined` if it has shown none. */
  get peerCertificate(): Uint8Array<ArrayBuffer> | undefined {
    if (this.#ssl === null) return undefined;
    const lib = this.#lib;
    const certificate = lib.SSL_get1_peer_certificate(this.#ssl);
    if (certificate === null) return undefined;
    try {
      return withBio(lib, undefined, (bio) => {
        must(lib, lib.i2d_X509_bio(bio, certificate));
        return takeFrom(lib, bio);
      });
    } finally {
      lib.X509_free(certificate);
    }
  }

  /** Ciphertext that has come. */
  feed(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.#ssl !== null && bytes.length > 0) {
      this.#lib.BIO_write(this.#in, bytes, bytes.length);
    }
  }

  /**
   * Goes on with the handshake. Returns whether it is over: the peer has proved what it has shown.
   *
   * @throws {OpenSslError} if it has failed, or the peer has ended it.
   */
  handshake(): boolean {
    if (this.#ssl === null) return false;
    this.#lib.ERR_clear_error();
    const result = this.#lib.SSL_do_handshake(this.#ssl);
    if (result === 1) return true;
    // Who says goodbye here, perhaps after another one's certificate, has proved nothing.
    if (this.#failure(result) === CLOSED) throw new OpenSslError("it ended during the handshake");
    return false;
  }

  /**
   * Decrypts what has come into `room`, one record at most if there is room for one. Returns how many bytes, or
   * {@linkcode NOTHING}, or {@linkcode CLOSED} after the peer's close_notify.
   *
   * @throws {OpenSslError} if what came is no TLS, or an alert.
   */
  read(room: Uint8Array<ArrayBuffer>): number {
    if (this.#ssl === null || room.length === 0) return NOTHING;
    this.#lib.ERR_clear_error();
    const result = this.#lib.SSL_read(this.#ssl, room, room.length);
    return result > 0 ? result : this.#failure(result);
  }

  /**
   * Whether something has come that {@linkcode TlsSession.read} has not looked at: it says {@linkcode NOTHING} after
   * each message of TLS itself, too.
   */
  get waiting(): boolean {
    return this.#ssl !== null && this.#lib.BIO_ctrl_pending(this.#in) > 0n;
  }

  /**
   * Makes one record, or one for each 16,384 bytes, after the handshake.
   *
   * @throws {OpenSslError} if the session has failed or was closed.
   */
  write(payload: Uint8Array<ArrayBuffer>): void {
    if (this.#ssl === null || payload.length === 0) return;
    this.#lib.ERR_clear_error();
    const result = this.#lib.SSL_write(this.#ssl, payload, payload.length);
    if (result !== payload.length) {
      throw new OpenSslError(reasonOf(this.#lib) ?? "nothing can be written");
    }
  }

  /** Says that nothing of ours will follow (close_notify); once, and only after the handshake. */
  shutdown(): void {
    if (this.#ssl === null) return;
    this.#lib.ERR_clear_error();
    this.#lib.SSL_shutdown(this.#ssl);
    this.#lib.ERR_clear_error();
  }

  /** What is to be sent, in the memory of `room` if that is large enough; `undefined` if there is nothing. */
  take(room?: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> | undefined {
    return this.#ssl === null ? undefined : takeFrom(this.#lib, this.#out, room);
  }

  /** Gives all memory back. */
  free(): void {
    const ssl = this.#ssl;
    if (ssl === null) return;
    this.#ssl = null;
    forgotten.unregister(this);
    this.#lib.SSL_free(ssl);
  }

  #failure(result: number): typeof NOTHING | typeof CLOSED {
    const lib = this.#lib;
    const kind = lib.SSL_get_error(this.#ssl, result);
    if (kind === SSL_ERROR_WANT_READ) return NOTHING;
    if (kind === SSL_ERROR_ZERO_RETURN) return CLOSED;
    const reason = reasonOf(lib) ?? "the connection has broken";
    const problem = this.#context.end === "client"
      ? PROBLEMS.get(Number(lib.SSL_get_verify_result(this.#ssl)))
      : undefined;
    throw new OpenSslError(
      problem !== undefined && reason.includes("verify failed")
        ? `its certificate cannot be trusted: ${problem}`
        : reason,
    );
  }
}
