import { createHash } from "node:crypto";

/** What one transfer through a tunnel showed. */
export interface Transfer {
  /** User bytes carried. */
  readonly bytes: number;
  /** Milliseconds from the first byte offered at one end to the last one delivered at the other. */
  readonly duration: number;
  /** Whether the bytes that arrived have the SHA-256 of those that were sent. */
  readonly sha256Match: boolean;
}

const UPLOAD = 0x55;
const DOWNLOAD = 0x44;

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

async function writeAll(connection: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += await connection.write(bytes.subarray(done));
}

/** Reads to the end of the stream; returns the digest, the count and when the last byte came. */
async function drain(
  connection: Deno.Conn,
): Promise<{ digest: string; bytes: number; at: number }> {
  const hash = createHash("sha256");
  const buffer = new Uint8Array(65536);
  let bytes = 0;
  let at = performance.now();
  for (;;) {
    const count = await connection.read(buffer);
    if (count === null) return { digest: hash.digest("hex"), bytes, at };
    hash.update(buffer.subarray(0, count));
    bytes += count;
    at = performance.now();
  }
}

/**
 * A service on loopback that a tunnel's far end connects to: it swallows uploads and serves one download,
 * and keeps what it saw, so that both directions of a transfer are measured and compared end to end.
 */
export class Destination implements AsyncDisposable {
  readonly #listener: Deno.TcpListener;
  readonly #payload: Uint8Array;
  readonly #uploads: ((result: { digest: string; at: number }) => void)[] = [];
  readonly #serving: Promise<void>;
  #downloadStart = 0;

  /** Listens on a free loopback port and serves `payload` to whoever asks. */
  constructor(payload: Uint8Array) {
    this.#payload = payload;
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.#serving = this.#serve();
  }

  /** The port to forward to. */
  get port(): number {
    return this.#listener.addr.port;
  }

  async #serve(): Promise<void> {
    for await (const connection of this.#listener) {
      this.#handle(connection).catch(() => {}).finally(() => connection.close());
    }
  }

  async #handle(connection: Deno.Conn): Promise<void> {
    const first = new Uint8Array(1);
    if (await connection.read(first) === null) return;
    if (first[0] === DOWNLOAD) {
      this.#downloadStart = performance.now();
      await writeAll(connection, this.#payload);
      await connection.closeWrite();
      await drain(connection);
      return;
    }
    const { digest, at } = await drain(connection);
    this.#uploads.shift()?.({ digest, at });
  }

  /** Sends the payload through the door at `port` of the tm-client, and times its arrival here. */
  async upload(port: number): Promise<Transfer> {
    const arrived = new Promise<{ digest: string; at: number }>((resolve) => {
      this.#uploads.push(resolve);
    });
    using connection = await Deno.connect({ hostname: "127.0.0.1", port });
    const start = performance.now();
    await writeAll(connection, new Uint8Array([UPLOAD]));
    await writeAll(connection, this.#payload);
    await connection.closeWrite();
    const { digest, at } = await arrived;
    return {
      bytes: this.#payload.length,
      duration: at - start,
      sha256Match: digest === sha256(this.#payload),
    };
  }

  /** Fetches the payload through the door at `port`; timed from the service's first byte offered. */
  async download(port: number): Promise<Transfer> {
    using connection = await Deno.connect({ hostname: "127.0.0.1", port });
    await writeAll(connection, new Uint8Array([DOWNLOAD]));
    const { digest, bytes, at } = await drain(connection);
    return {
      bytes,
      duration: at - this.#downloadStart,
      sha256Match: digest === sha256(this.#payload),
    };
  }

  /** Stops listening. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#serving;
  }
}
