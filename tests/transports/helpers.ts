import type { CloseReason, CoverConnection } from "../../playback/cover_connection.ts";
import type { TunnelStream } from "../../playback/stream.ts";

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

/** One end of a pair of streams in memory, each direction holding at most `capacity` bytes. */
export class PairedStream implements TunnelStream {
  readonly id = 0;
  onReadable: (() => void) | undefined;
  onWritable: (() => void) | undefined;
  peer!: PairedStream;
  #inbox: Uint8Array[] = [];
  #held = 0;
  #ended = false;
  #peerEnded = false;
  #endRead = false;
  #error: Error | undefined;
  readonly #opened = Promise.withResolvers<void>();
  readonly #closed = Promise.withResolvers<void>();
  readonly opened = this.#opened.promise;
  readonly closed = this.#closed.promise;

  constructor(readonly destination: { host: string; port: number }, readonly capacity: number) {
    this.opened.catch(() => {});
    this.closed.catch(() => {});
  }

  static pair(
    destination: { host: string; port: number },
    capacity = 1000,
  ): [PairedStream, PairedStream] {
    const [a, b] = [
      new PairedStream(destination, capacity),
      new PairedStream(destination, capacity),
    ];
    a.peer = b;
    b.peer = a;
    return [a, b];
  }

  get readable(): ReadableStream<Uint8Array> {
    throw new Error("not used");
  }

  get writable(): WritableStream<Uint8Array> {
    throw new Error("not used");
  }

  accept(): void {
    this.#opened.resolve();
    this.peer.#opened.resolve();
  }

  refuse(code: number): void {
    this.fail(Object.assign(new Error("refused"), { code }));
    this.peer.fail(Object.assign(new Error("refused"), { code }));
  }

  read(): Uint8Array | null | undefined {
    if (this.#error !== undefined) throw this.#error;
    const bytes = this.#inbox.shift();
    if (bytes === undefined) {
      if (!this.#peerEnded) return undefined;
      this.#endRead = true;
      this.#settle();
      this.peer.#settle();
      return null;
    }
    this.#held -= bytes.length;
    queueMicrotask(() => this.peer.onWritable?.());
    return bytes;
  }

  write(bytes: Uint8Array): number {
    if (this.#error !== undefined) throw this.#error;
    const taken = Math.min(bytes.length, this.capacity - this.peer.#held);
    if (taken > 0) {
      this.peer.#inbox.push(bytes.slice(0, taken));
      this.peer.#held += taken;
      queueMicrotask(() => this.peer.onReadable?.());
    }
    return taken;
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.peer.#peerEnded = true;
    queueMicrotask(() => this.peer.onReadable?.());
  }

  reset(code = 33): void {
    if (this.#error !== undefined || (this.#endRead && this.peer.#endRead)) return;
    const error = Object.assign(new Error("reset"), { code });
    this.fail(error);
    this.peer.fail(error);
  }

  fail(error: Error): void {
    if (this.#error !== undefined) return;
    this.#error = error;
    this.#opened.reject(error);
    this.#closed.reject(error);
    this.onReadable?.();
    this.onWritable?.();
  }

  #settle(): void {
    if (this.#endRead && this.peer.#endRead) this.#closed.resolve();
  }
}
