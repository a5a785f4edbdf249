import type net from "node:net";
import type { SizeGrid } from "../../playback/cover_connection.ts";
import { BufferedConnection } from "./buffered_connection.ts";
import type { CarrierConnection, OpenGenuine } from "./carrier.ts";
import { Outbox } from "./outbox.ts";
import type { SecureSocket, TlsEngine } from "./tls_engine.ts";
import { wasReset } from "./tls_first_flight.ts";

/** A TLS 1.3 record: 5 bytes of header, 1 of inner type, 16 of tag; at most 2^14 bytes of payload. */
export const TLS_GRID: SizeGrid = { overhead: 22, maxPayload: 16384 };

/** A connection after its TLS handshake, at either end: each write is one record. */
export class TlsConnection extends BufferedConnection implements CarrierConnection {
  readonly grid = TLS_GRID;
  readonly reaction: number;
  readonly id: string;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly #raw: net.Socket;
  readonly #socket: SecureSocket;
  readonly #departure: number;
  #quiet = false;
  protected readonly outbox: Outbox;
  readonly #begun: number;

  /** `id` is the client's port, at either end: the one that tells connections apart in a recording. */
  constructor(
    raw: net.Socket,
    socket: SecureSocket,
    engine: TlsEngine,
    end: "client" | "server",
    readonly certificateDigest: Uint8Array,
    readonly genuine?: OpenGenuine,
    begun = performance.now(),
  ) {
    super();
    this.reaction = engine.reaction;
    this.#departure = engine.departure;
    this.#begun = begun;
    this.#raw = raw;
    this.#socket = socket;
    this.localPort = raw.localPort ?? 0;
    this.remoteAddress = raw.remoteAddress ?? "";
    this.remotePort = raw.remotePort ?? 0;
    this.id = String(end === "client" ? this.localPort : this.remotePort);
    this.outbox = new Outbox({
      send: (payload, sent) => void socket.write(payload, sent),
      end: () => void (this.#quiet && socket.leave !== undefined ? socket.leave() : socket.end()),
      reset: () => {
        raw.resetAndDestroy();
        socket.destroy();
      },
      drained: () => this.listener?.onDrain?.(),
    });
    socket.on("data", (bytes: Uint8Array) => this.inbox.received(bytes, socket.came));
    socket.on("end", () => {
      if (this.outbox.closing !== undefined || !wasReset(raw)) return this.inbox.over("fin");
      // Half open, as it would be kept: nobody else lets go of it.
      this.#release();
      this.inbox.over("rst");
    });
    socket.on("error", (error: { code?: string }) => {
      this.#release();
      this.inbox.over(error.code === "ECONNRESET" || error.code === "EPIPE" ? "rst" : "error");
    });
    const closed = () => {
      this.outbox.over();
      this.inbox.over(this.outbox.closing ?? "error");
    };
    socket.on("close", closed);
    raw.on("close", closed);
    raw.on("error", () => {});
  }

  /**
   * Milliseconds since the handshake ended (a client's last word has left when we are told of it), or since bytes
   * came that belong to the carrier.
   */
  get age(): number {
    const { came } = this.inbox;
    return performance.now() -
      (came === undefined ? this.#begun - this.#departure : came - this.reaction);
  }

  get doubt(): number {
    return this.inbox.doubt;
  }

  write(payload: Uint8Array): void {
    if (this.outbox.closing !== undefined || payload.length === 0) return;
    if (payload.length > TLS_GRID.maxPayload) {
      throw new RangeError(`a record holds ${TLS_GRID.maxPayload} bytes, not ${payload.length}`);
    }
    if (this.#socket.writable) this.outbox.put(payload.slice());
  }

  writeFree(payload: Uint8Array): void {
    if (this.outbox.closing !== undefined || payload.length === 0) return;
    if (this.#socket.writable) this.outbox.put(payload);
  }

  closeQuietly(): void {
    this.#quiet = true;
    this.close("fin");
  }

  /** Lets go of a connection that has broken. */
  #release(): void {
    this.outbox.drop();
    this.#raw.destroy();
    this.#socket.destroy();
  }
}
