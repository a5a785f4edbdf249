/**
 * A client and a server program that talk by a script: requests and answers of given sizes after given
 * pauses. Run over two kinds of link they tell whether these behave alike.
 *
 * @module
 */
import { connect, createServer, type Socket } from "node:net";

/** One request and its answer. */
export interface Turn {
  /** Milliseconds that the client waits before it asks. */
  readonly clientPause: number;
  /** Bytes of the request, at least 12. */
  readonly request: number;
  /** Milliseconds that the server waits before it answers. */
  readonly serverPause: number;
  /** Bytes of the answer; 0 for none. */
  readonly answer: number;
}

/** The turns of one connection, and when it opens, in milliseconds after the start. */
export interface Talk {
  /** Milliseconds after the start. */
  readonly opens: number;
  /** What is said. */
  readonly turns: readonly Turn[];
}

const HEADER = 12;

const pause = (milliseconds: number) => new Promise((done) => setTimeout(done, milliseconds));

/** Waits for bytes of a socket in order. */
class Inbox {
  #chunks: Uint8Array[] = [];
  #size = 0;
  #waiting: (() => void) | undefined;
  #ended = false;

  constructor(socket: Socket) {
    socket.on("data", (chunk) => {
      this.#chunks.push(chunk as Uint8Array);
      this.#size += chunk.length;
      this.#waiting?.();
    });
    const over = () => {
      this.#ended = true;
      this.#waiting?.();
    };
    socket.on("end", over);
    socket.on("error", over);
  }

  /** The next `bytes`, or undefined if the stream ends before. */
  async take(bytes: number): Promise<Uint8Array | undefined> {
    while (this.#size < bytes && !this.#ended) {
      await new Promise<void>((done) => this.#waiting = done);
    }
    if (this.#size < bytes) return undefined;
    const all = new Uint8Array(this.#size);
    let at = 0;
    for (const chunk of this.#chunks) {
      all.set(chunk, at);
      at += chunk.length;
    }
    this.#chunks = [all.subarray(bytes)];
    this.#size -= bytes;
    return all.subarray(0, bytes);
  }
}

/** Answers each request as its first bytes ask, until `port` is closed. */
export function answer(port: number, hostname: string): Promise<{ port: number; stop(): void }> {
  const server = createServer({ allowHalfOpen: true }, async (socket) => {
    socket.setNoDelay(true);
    const inbox = new Inbox(socket);
    for (;;) {
      const head = await inbox.take(HEADER);
      if (head === undefined) break;
      const view = new DataView(head.buffer, head.byteOffset);
      await inbox.take(view.getUint32(0) - HEADER);
      await pause(view.getUint32(4));
      if (view.getUint32(8) > 0) socket.write(new Uint8Array(view.getUint32(8)));
    }
    socket.end();
  });
  return new Promise((resolve) => {
    server.listen(port, hostname, () => {
      const { port } = server.address() as { port: number };
      resolve({ port, stop: () => server.close() });
    });
  });
}

/** Plays all talks, each on a connection of its own. */
export async function ask(port: number, hostname: string, talks: readonly Talk[]): Promise<void> {
  await Promise.all(talks.map(async ({ opens, turns }) => {
    await pause(opens);
    const socket = connect({ port, host: hostname, allowHalfOpen: true });
    socket.setNoDelay(true);
    const inbox = new Inbox(socket);
    await new Promise<void>((done) => socket.once("connect", done));
    for (const { clientPause, request, serverPause, answer } of turns) {
      if (clientPause > 0) await pause(clientPause);
      const bytes = new Uint8Array(request);
      const view = new DataView(bytes.buffer);
      view.setUint32(0, request);
      view.setUint32(4, serverPause);
      view.setUint32(8, answer);
      socket.write(bytes);
      await inbox.take(answer);
    }
    socket.end();
    await inbox.take(1);
  }));
}

if (import.meta.main) {
  const [what, hostname, port, talks] = Deno.args;
  if (what === "answer") await answer(Number(port), hostname!);
  else await ask(Number(port), hostname!, JSON.parse(talks!));
}
