import { EventEmitter } from "node:events";
import type net from "node:net";
import { Duplex } from "node:stream";
import tls from "node:tls";
import { certificateDigest } from "./certificate.ts";
import { firstAnswer } from "./first_answer.ts";
import type { Genuine } from "./genuine.ts";
import { OpenSslSocket } from "./openssl_socket.ts";
import type { TlsSession } from "./openssl_tls.ts";
import { openSslSession } from "./tls_openssl.ts";

/** Milliseconds that a silent client is waited for before a handshake that nobody asked for. */
const HESITATION = 4;

/** What the genuine server is asked for. */
export interface GenuineTlsOptions {
  /** Its name; none is sent if absent. */
  readonly serverName?: string;
  /** Application protocols to offer; none if absent. */
  readonly alpn?: readonly string[];
  /**
   * Makes the handshake without being written to: what gives up a silent client speaks to it inside TLS. With the
   * first bytes that are sent if absent.
   */
  readonly unasked?: boolean;
}

/** SHA-256 of the certificate that a TLS server shows; in words what is wrong if it shows none within three seconds. */
export function genuineDigest(
  { host, port }: { readonly host: string; readonly port: number },
  serverName?: string,
): Promise<Uint8Array | string> {
  const socket = tls.connect({
    host,
    port,
    rejectUnauthorized: false,
    ...(serverName === undefined ? {} : { servername: serverName }),
  });
  return firstAnswer<Uint8Array>(socket, "TLS server", (answered) => {
    socket.once(
      "secureConnect",
      () => answered(certificateDigest(socket.getPeerCertificate().raw)),
    );
  });
}

/**
 * The socket under a TLS client, in JavaScript, so that reading can be held back: a TLS socket itself must
 * never be paused.
 */
class Gate extends Duplex {
  readonly #socket: net.Socket;

  constructor(socket: net.Socket) {
    super({ allowHalfOpen: true });
    this.#socket = socket;
    socket.on("data", (bytes) => void this.push(bytes));
    socket.on("end", () => this.finish());
  }

  /** Nothing more will come. */
  finish(): void {
    if (!this.readableEnded) this.push(null);
  }

  override _read(): void {}

  override _write(bytes: Uint8Array, _encoding: string, done: (error?: Error | null) => void) {
    this.#socket.write(bytes, done);
  }

  override _final(done: () => void): void {
    this.#socket.end(done);
  }
}

/** A client of OpenSSL's that keeps what is said to it until its handshake is over. */
class OpenSslTalk {
  readonly socket: OpenSslSocket;
  readonly #raw: net.Socket;
  #kept: Uint8Array[] | undefined = [];
  #keptBytes = 0;
  #ended = false;

  constructor(raw: net.Socket, session: TlsSession) {
    this.#raw = raw;
    this.socket = new OpenSslSocket(raw, session, () => {
      const kept = this.#kept!;
      this.#kept = undefined;
      this.#keptBytes = 0;
      for (const bytes of kept) this.write(bytes);
      if (this.#ended) this.socket.end();
    }, true);
  }

  /** Whether the peer has ended without a close_notify. */
  get quiet(): boolean {
    return !this.socket.goodbye;
  }

  get writableLength(): number {
    return this.#keptBytes;
  }

  write(bytes: Uint8Array): boolean {
    if (this.#kept === undefined) this.socket.write(bytes, () => {});
    else {
      this.#kept.push(bytes);
      this.#keptBytes += bytes.length;
    }
    return !this.#raw.writableNeedDrain;
  }

  end(): void {
    this.#ended = true;
    if (this.#kept === undefined) this.socket.end();
  }

  destroy(): void {
    this.socket.destroy();
  }
}

/**
 * A genuine TLS server behind a connection of ours. The connection stands from the beginning, so that the
 * server's own patience with a silent peer counts from there; the handshake begins with the first byte that
 * a stranger sends: our own users, who never send any, cost no handshake. Where the server is to speak to the silent,
 * it begins by itself after some milliseconds: most of our own users have proved themselves by then, and
 * the handshake would hold up the answer to them.
 */
export class GenuineTls extends EventEmitter implements Genuine {
  readonly #raw: net.Socket;
  readonly #options: GenuineTlsOptions;
  #socket: tls.TLSSocket | OpenSslTalk | undefined;
  #gate: Gate | undefined;
  #broken: Error | undefined;
  #ended = false;
  #hesitation: ReturnType<typeof setTimeout> | undefined;

  /** `raw` is connected, or will be; nothing was read from it or written to it. */
  constructor(raw: net.Socket, options: GenuineTlsOptions) {
    super();
    this.#raw = raw;
    this.#options = options;
    raw.on("connect", () => this.emit("connect"));
    raw.on("error", (error) => {
      if (this.#socket === undefined) this.emit("error", error);
      else this.#broken = error;
    });
    raw.on("close", () => {
      if (this.#socket === undefined) this.emit("close");
      else this.#gate?.finish();
    });
    raw.on("end", () => {
      if (this.#socket === undefined) this.emit("end");
    });
    raw.resume();
    if (options.unasked && !raw.destroyed) {
      this.#hesitation = setTimeout(() => {
        if (!raw.destroyed) this.#socket ??= this.#begin();
      }, HESITATION);
    }
    if (!raw.connecting && !raw.destroyed) queueMicrotask(() => this.emit("connect"));
    if (raw.destroyed) {
      queueMicrotask(() => {
        this.emit("error", new Error("the genuine server is gone"));
        this.emit("close");
      });
    }
  }

  /** Whether the connection does not stand yet. */
  get pending(): boolean {
    return this.#raw.pending;
  }

  /** Whether it has ended without a close_notify: before a handshake, if we ended first. */
  get quiet(): boolean {
    if (this.#socket === undefined) return this.#ended;
    return this.#socket instanceof OpenSslTalk && this.#socket.quiet;
  }

  /** Bytes that the genuine server has not taken. */
  get writableLength(): number {
    return (this.#socket?.writableLength ?? 0) + this.#raw.writableLength;
  }

  /** Sends, after the handshake if it is the first. */
  write(bytes: Uint8Array): boolean {
    this.#socket ??= this.#begin();
    return this.#socket.write(bytes);
  }

  /** Ends our direction after what was written. */
  end(): this {
    this.#ended = true;
    if (this.#socket === undefined) this.#raw.end();
    else this.#socket.end();
    return this;
  }

  /** Drops the connection. */
  destroy(): this {
    clearTimeout(this.#hesitation);
    this.#socket?.destroy();
    this.#raw.destroy();
    return this;
  }

  /** The same by a reset. */
  resetAndDestroy(): this {
    clearTimeout(this.#hesitation);
    this.#raw.resetAndDestroy();
    this.#socket?.destroy();
    return this;
  }

  /** Reads no further. */
  pause(): this {
    if (this.#socket instanceof OpenSslTalk) this.#socket.socket.pause();
    else this.#raw.pause();
    return this;
  }

  /** Reads on. */
  resume(): this {
    if (this.#socket instanceof OpenSslTalk) this.#socket.socket.resume();
    else this.#raw.resume();
    return this;
  }

  #begin(): tls.TLSSocket | OpenSslTalk {
    clearTimeout(this.#hesitation);
    const { alpn, serverName } = this.#options;
    const session = openSslSession(this.#options);
    if (session !== undefined) {
      const talk = new OpenSslTalk(this.#raw, session);
      talk.socket.on("error", (error) => this.emit("error", error));
      talk.socket.on("data", (bytes) => this.emit("data", bytes));
      talk.socket.on("end", () => this.emit("end"));
      talk.socket.on("close", () => this.emit("close"));
      if (this.#ended) talk.end();
      return talk;
    }
    this.#gate = new Gate(this.#raw);
    const socket = tls.connect({
      socket: this.#gate,
      rejectUnauthorized: false,
      allowHalfOpen: true,
      ...(serverName === undefined ? {} : { servername: serverName }),
      ...(alpn === undefined ? {} : { ALPNProtocols: [...alpn] }),
    } as tls.ConnectionOptions);
    socket.on("error", (error) => this.emit("error", error));
    socket.on("data", (bytes) => this.emit("data", bytes));
    // An answer that came before a reset is reported before it, too.
    socket.on("end", () => {
      if (this.#broken === undefined) this.emit("end");
      else this.emit("error", this.#broken);
    });
    socket.on("close", () => this.emit("close"));
    if (this.#ended) socket.end();
    return socket;
  }
}
