import type { CloseReason, CoverConnection } from "../../playback/cover_connection.ts";

/** Listens to a cover connection and keeps what it reports. */
export class Collector {
  readonly #chunks: Uint8Array[] = [];
  #length = 0;
  #waiting: { length: number; resolve: (bytes: Uint8Array) => void }[] = [];
  readonly #closed = Promise.withResolvers<CloseReason>();
  /** How the connection ended. */
  readonly closed = this.#closed.promise;

  constructor(connection: CoverConnection) {
    connection.listener = {
      onData: (bytes) => {
        this.#chunks.push(bytes.slice());
        this.#length += bytes.length;
        this.#waiting = this.#waiting.filter(({ length, resolve }) => {
          if (this.#length < length) return true;
          resolve(this.bytes());
          return false;
        });
      },
      onClose: (reason) => this.#closed.resolve(reason),
    };
  }

  bytes(): Uint8Array {
    const all = new Uint8Array(this.#length);
    let at = 0;
    for (const chunk of this.#chunks) {
      all.set(chunk, at);
      at += chunk.length;
    }
    return all;
  }

  waitFor(length: number): Promise<Uint8Array> {
    if (this.#length >= length) return Promise.resolve(this.bytes());
    return new Promise((resolve) => this.#waiting.push({ length, resolve }));
  }
}
