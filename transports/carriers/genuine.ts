import { EventEmitter } from "node:events";
import type { Socket } from "node:net";

/** What the guard needs of the genuine server's side: a `Socket` is one, and so is a {@linkcode LaterSocket}. */
export interface Genuine {
  /** Whether the connection does not stand yet. */
  readonly pending: boolean;
  /** Bytes that the genuine server has not taken. */
  readonly writableLength: number;
  /** Whether it has ended by FIN alone, without what TLS says first; not so if absent. */
  readonly quiet?: boolean;
  /** Reports as a `Socket` does. */
  on(event: "data", listener: (bytes: Uint8Array) => void): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
  on(event: "close" | "connect" | "drain" | "end", listener: () => void): unknown;
  /** Sends, now or as soon as the connection stands. */
  write(bytes: Uint8Array): boolean;
  /** Ends our direction after what was written. */
  end(): unknown;
  /** Drops the connection. */
  destroy(): unknown;
  /** The same by a reset, where the connection stands. */
  resetAndDestroy(): unknown;
  /** Reports no bytes for a while, where that is possible. */
  pause(): unknown;
  /** Goes on after a pause. */
  resume(): unknown;
}

/**
 * A connection to the genuine server that is still being made, perhaps through a dialogue and a handshake of
 * its own. What is written meanwhile is kept. It is never paused: a TLS socket that ever was does not report
 * its end.
 */
export class LaterSocket extends EventEmitter implements Genuine {
  #socket: Socket | undefined;
  #kept: Uint8Array[] = [];
  #keptBytes = 0;
  #ended = false;
  #destroyed = false;

  /** `opening` resolves with a socket of which nothing has been read. */
  constructor(opening: Promise<Socket>) {
    super();
    opening.then((socket) => this.#opened(socket), (error) => {
      if (this.#destroyed) return;
      this.emit("error", error);
      this.emit("close");
    });
  }

  /** Whether the connection does not stand yet. */
  get pending(): boolean {
    return this.#socket === undefined;
  }

  /** A mail server whose client has ended says nothing more. */
  get quiet(): boolean {
    return this.#ended;
  }

  /** Bytes that the genuine server has not taken. */
  get writableLength(): number {
    return this.#keptBytes + (this.#socket?.writableLength ?? 0);
  }

  /** Sends, now or as soon as the connection stands. */
  write(bytes: Uint8Array): boolean {
    if (this.#socket !== undefined) return this.#socket.write(bytes);
    this.#kept.push(bytes);
    this.#keptBytes += bytes.length;
    return true;
  }

  /** Ends our direction after what was written. */
  end(): this {
    this.#ended = true;
    this.#socket?.end();
    return this;
  }

  /** Drops the connection. */
  destroy(): this {
    this.#destroyed = true;
    this.#socket?.destroy();
    return this;
  }

  /** The same by a reset, where the connection stands. */
  resetAndDestroy(): this {
    this.#destroyed = true;
    this.#socket?.resetAndDestroy();
    return this;
  }

  /** Does nothing: see the class. */
  pause(): this {
    return this;
  }

  /** Does nothing: see the class. */
  resume(): this {
    return this;
  }

  #opened(socket: Socket): void {
    socket.on("error", (error) => this.emit("error", error));
    if (this.#destroyed) return void socket.destroy();
    this.#socket = socket;
    socket.on("data", (bytes) => this.emit("data", bytes));
    socket.on("end", () => this.emit("end"));
    socket.on("close", () => this.emit("close"));
    this.emit("connect");
    for (const bytes of this.#kept) socket.write(bytes);
    this.#kept = [];
    this.#keptBytes = 0;
    if (this.#ended) socket.end();
  }
}
