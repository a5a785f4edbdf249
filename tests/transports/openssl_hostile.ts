import { Buffer } from "node:buffer";
import {
  createCipheriv,
  createHash,
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  randomBytes,
} from "node:crypto";
import { OPENSSL_PATHS, openSslFunctions } from "../../transports/carriers/openssl_library.ts";
import { TlsContext } from "../../transports/carriers/openssl_tls.ts";

const SSL_CTRL_SET_GROUPS_LIST = 92;

function load() {
  for (const path of OPENSSL_PATHS) {
    try {
      return Deno.dlopen(path, {
        BIO_s_mem: { parameters: [], result: "pointer" },
        BIO_new: { parameters: ["pointer"], result: "pointer" },
        BIO_write: { parameters: ["pointer", "buffer", "i32"], result: "i32" },
        BIO_read: { parameters: ["pointer", "buffer", "i32"], result: "i32" },
        BIO_ctrl_pending: { parameters: ["pointer"], result: "usize" },
        ERR_clear_error: { parameters: [], result: "void" },
        SSL_CTX_ctrl: { parameters: ["pointer", "i32", "i64", "buffer"], result: "i64" },
        SSL_new: { parameters: ["pointer"], result: "pointer" },
        SSL_free: { parameters: ["pointer"], result: "void" },
        SSL_set_bio: { parameters: ["pointer", "pointer", "pointer"], result: "void" },
        SSL_set_connect_state: { parameters: ["pointer"], result: "void" },
        SSL_do_handshake: { parameters: ["pointer"], result: "i32" },
        SSL_write: { parameters: ["pointer", "buffer", "i32"], result: "i32" },
        SSL_read: { parameters: ["pointer", "buffer", "i32"], result: "i32" },
        SSL_key_update: { parameters: ["pointer", "i32"], result: "i32" },
      }).symbols;
    } catch {
      // The next one.
    }
  }
  throw new Error("no OpenSSL");
}

const lib = openSslFunctions() === undefined ? undefined : load();

/** A client's context that offers `groups` only. */
export function contextWith(groups: string): TlsContext {
  const context = TlsContext.client("curl");
  const list = new TextEncoder().encode(`${groups}\0`);
  if (lib!.SSL_CTX_ctrl(context.pointer, SSL_CTRL_SET_GROUPS_LIST, 0n, list) !== 1n) {
    throw new Error(`groups: ${groups}`);
  }
  return context;
}

/** A client in memory that can do what ours never do. */
export class HostileClient {
  readonly #ssl: Deno.PointerValue;
  readonly #in: Deno.PointerValue;
  readonly #out: Deno.PointerValue;

  constructor(context: TlsContext) {
    this.#ssl = lib!.SSL_new(context.pointer);
    this.#in = lib!.BIO_new(lib!.BIO_s_mem());
    this.#out = lib!.BIO_new(lib!.BIO_s_mem());
    lib!.SSL_set_bio(this.#ssl, this.#in, this.#out);
    lib!.SSL_set_connect_state(this.#ssl);
  }

  /** Goes on with the handshake, with `bytes` that have come. Returns whether it is over. */
  handshake(bytes: Uint8Array<ArrayBuffer> = new Uint8Array()): boolean {
    lib!.ERR_clear_error();
    if (bytes.length > 0) lib!.BIO_write(this.#in, bytes, bytes.length);
    return lib!.SSL_do_handshake(this.#ssl) === 1;
  }

  /** `count` changes of keys, for each of which an answer is asked if `ask`. */
  changeKeys(count: number, ask: boolean): void {
    for (let i = 0; i < count; i++) {
      lib!.ERR_clear_error();
      if (lib!.SSL_key_update(this.#ssl, ask ? 1 : 0) !== 1 || !this.handshake()) {
        throw new Error("no change of keys");
      }
    }
  }

  write(payload: Uint8Array<ArrayBuffer>): void {
    lib!.ERR_clear_error();
    lib!.SSL_write(this.#ssl, payload, payload.length);
  }

  /** How many bytes were in the next record, or less than 1 if there is none. */
  read(room: Uint8Array<ArrayBuffer>): number {
    lib!.ERR_clear_error();
    return lib!.SSL_read(this.#ssl, room, room.length);
  }

  /** Ciphertext that has come. */
  feed(bytes: Uint8Array<ArrayBuffer>): void {
    lib!.BIO_write(this.#in, bytes, bytes.length);
  }

  /** All that is to be sent. */
  take(): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(Number(lib!.BIO_ctrl_pending(this.#out)));
    if (bytes.length > 0) lib!.BIO_read(this.#out, bytes, bytes.length);
    return bytes;
  }

  free(): void {
    lib!.SSL_free(this.#ssl);
  }
}

const hmac = (key: Uint8Array, ...parts: Uint8Array[]) => {
  const made = createHmac("sha256", key);
  for (const part of parts) made.update(part);
  return made.digest();
};
const sha256 = (...parts: Uint8Array[]) => {
  const made = createHash("sha256");
  for (const part of parts) made.update(part);
  return made.digest();
};

/** HKDF-Expand-Label of TLS 1.3 (RFC 8446, section 7.1). */
function expandLabel(secret: Uint8Array, label: string, context: Uint8Array, length: number) {
  const name = Buffer.from(`tls13 ${label}`);
  const info = [[0, length, name.length], name, [context.length], context, [1]];
  return hmac(secret, Buffer.concat(info.map((part) => Buffer.from(part)))).subarray(0, length);
}

function vector(size: number, ...parts: Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  const length = Buffer.alloc(size);
  length.writeUIntBE(body.length, 0, size);
  return Buffer.concat([length, body]);
}

/**
 * What somebody in the middle can answer to a client's hello (OpenSSL's, with X25519) who has the server's
 * certificate (DER), as everybody has, but not its key: keys of his own, that certificate, no proof, and then
 * `alert` under the keys agreed on.
 */
export function answerWithoutKey(
  hello: Uint8Array,
  certificate: Uint8Array,
  alert: readonly [number, number],
): Uint8Array<ArrayBuffer> {
  const message = Buffer.from(hello.subarray(5));
  const sessionId = message.subarray(39, 71);
  const share = message.indexOf(Buffer.from([0, 0x1d, 0, 32]));
  const mine = generateKeyPairSync("x25519");
  const spki = (raw: Uint8Array) =>
    Buffer.concat([Buffer.from("302a300506032b656e032100", "hex"), raw]);
  const theirs = createPublicKey({
    key: spki(message.subarray(share + 4, share + 36)),
    format: "der",
    type: "spki",
  });
  const shared = diffieHellman({ privateKey: mine.privateKey, publicKey: theirs });
  const own = mine.publicKey.export({ format: "der", type: "spki" }).subarray(-32);
  const serverHello = Buffer.concat([
    Buffer.from([2]),
    vector(
      3,
      Buffer.from([3, 3]),
      randomBytes(32),
      vector(1, sessionId),
      // TLS_AES_128_GCM_SHA256
      Buffer.from([0x13, 0x01, 0]),
      vector(
        2,
        Buffer.from([0, 43, 0, 2, 3, 4, 0, 51, 0, 36, 0, 0x1d, 0, 32]),
        own,
      ),
    ),
  ]);
  const zeros = new Uint8Array(32);
  const derived = expandLabel(hmac(zeros, zeros), "derived", sha256(), 32);
  const secret = expandLabel(
    hmac(derived, shared),
    "s hs traffic",
    sha256(message, serverHello),
    32,
  );
  const key = expandLabel(secret, "key", new Uint8Array(), 16);
  const iv = expandLabel(secret, "iv", new Uint8Array(), 12);
  let count = 0;
  const sealed = (type: number, content: Uint8Array) => {
    const inner = Buffer.concat([content, Buffer.from([type])]);
    const header = Buffer.from([23, 3, 3, (inner.length + 16) >> 8, (inner.length + 16) & 255]);
    const nonce = Buffer.from(iv);
    nonce[11]! ^= count++;
    const cipher = createCipheriv("aes-128-gcm", key, nonce);
    cipher.setAAD(header);
    const body = Buffer.concat([cipher.update(inner), cipher.final()]);
    return Buffer.concat([header, body, cipher.getAuthTag()]);
  };
  const shown = vector(3, vector(3, certificate), Buffer.alloc(2));
  return new Uint8Array(Buffer.concat([
    Buffer.from([22, 3, 3]),
    vector(2, serverHello),
    sealed(22, Buffer.from([8, 0, 0, 2, 0, 0])),
    sealed(22, Buffer.concat([Buffer.from([11]), vector(3, Buffer.alloc(1), shown)])),
    sealed(21, Buffer.from(alert)),
  ]));
}
