import { OPENSSL_PATHS, openSslFunctions } from "../../transports/carriers/openssl_library.ts";
import { TlsContext } from "../../transports/carriers/openssl_tls.ts";

const SSL_CTRL_SET_GROUPS_LIST = 92n;

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
  if (lib!.SSL_CTX_ctrl(context.pointer, Number(SSL_CTRL_SET_GROUPS_LIST), 0n, list) !== 1n) {
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

  /** Goes on with what has come; returns what is to be sent, and whether the handshake is over. */
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
