/**
 * What users of the soak say: streams of random sizes both ways at once, each compared by SHA-256 at its
 * end. A stream begins with 8 bytes, the bytes up and down that are to come; the far end sends its bytes,
 * and when it has read the near end's to the end, what it read and what it sent: counts and digests.
 *
 * @module
 */
import { createHash, randomFillSync } from "node:crypto";
import { connect, createServer, type Server, type Socket } from "node:net";
import { Buffer } from "node:buffer";

const HEAD = 8;
const DIGEST = 32;
/** Counts and digests at the end of what comes down. */
const TRAILER = 2 * (4 + DIGEST);
const CHUNK = 16_384;

/** How one stream ended. */
export interface StreamResult {
  /** Bytes sent up and received down, head and trailer not counted. */
  readonly up: number;
  readonly down: number;
  /** Nothing where all arrived complete and in order; else what is wrong. */
  readonly fault?: "error" | "short" | "long" | "differs";
  /** In words. */
  readonly detail?: string;
  /** Milliseconds that it took. */
  readonly took: number;
  /** Longest time without a byte of the other end's, in milliseconds, while some were missing. */
  readonly silence: number;
}

/** What a stream is to carry. */
export interface StreamTask {
  /** Bytes up. */
  readonly up: number;
  /** Bytes down. */
  readonly down: number;
  /** Milliseconds to wait before each piece of {@linkcode pieceBytes}; all at once if absent. */
  readonly pause?: () => number;
  /** Bytes of one piece (16,384 if absent). */
  readonly pieceBytes?: number;
}

/** Sends `amount` random bytes; resolves with their digest, when the socket has taken all of them. */
async function sendNoise(
  socket: Socket,
  amount: number,
  pause: (() => number) | undefined,
  piece = CHUNK,
): Promise<Buffer> {
  const hash = createHash("sha256");
  for (let left = amount; left > 0;) {
    if (pause !== undefined) await new Promise((resolve) => setTimeout(resolve, pause()));
    const bytes = Buffer.allocUnsafe(Math.min(left, piece));
    randomFillSync(bytes);
    hash.update(bytes);
    left -= bytes.length;
    if (socket.destroyed) break;
    if (!socket.write(bytes)) {
      await new Promise<void>((resolve) => {
        const go = () => {
          socket.off("drain", go).off("close", go);
          resolve();
        };
        socket.on("drain", go).on("close", go);
      });
    }
  }
  return hash.digest();
}

/** The destination of all streams. */
export function startFarEnd(host: string, port: number): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const hash = createHash("sha256");
    let head = Buffer.alloc(0);
    let read = 0;
    let amount = 0;
    let sending: Promise<Buffer> | undefined;
    socket.on("error", () => socket.destroy());
    socket.on("data", (bytes: Buffer) => {
      if (sending === undefined) {
        head = Buffer.concat([head, bytes]);
        if (head.length < HEAD) return;
        bytes = head.subarray(HEAD);
        amount = head.readUInt32BE(4);
        sending = sendNoise(socket, amount, undefined);
      }
      hash.update(bytes);
      read += bytes.length;
    });
    socket.on("end", async () => {
      if (sending === undefined) {
        socket.destroy();
        return;
      }
      const sent = await sending;
      const trailer = Buffer.alloc(TRAILER);
      trailer.writeUInt32BE(read, 0);
      hash.digest().copy(trailer, 4);
      trailer.writeUInt32BE(amount, 4 + DIGEST);
      sent.copy(trailer, 8 + DIGEST);
      if (!socket.destroyed) socket.end(trailer);
    });
  });
  return new Promise((resolve, reject) => {
    server.on("error", reject);
    server.listen(port, host, () => resolve(server));
  });
}

/** One stream through a door; never rejects. `cut` is called with a way to give it up. */
export function runStream(
  host: string,
  port: number,
  task: StreamTask,
  cut: (giveUp: (why: string) => void) => void = () => {},
): Promise<StreamResult> {
  const start = performance.now();
  const { promise, resolve } = Promise.withResolvers<StreamResult>();
  const socket = connect({ host, port, allowHalfOpen: true });
  const hash = createHash("sha256");
  const tail: Buffer[] = [];
  let got = 0;
  let last = start;
  let silence = 0;
  let sent: Buffer | undefined;
  let over = false;
  const finish = (fault?: StreamResult["fault"], detail?: string) => {
    if (over) return;
    over = true;
    socket.destroy();
    resolve({
      up: task.up,
      down: Math.min(got, task.down),
      ...(fault === undefined ? {} : { fault }),
      ...(detail === undefined ? {} : { detail }),
      took: performance.now() - start,
      silence,
    });
  };
  cut((why) => finish("error", why));
  socket.on("connect", async () => {
    const head = Buffer.alloc(HEAD);
    head.writeUInt32BE(task.up, 0);
    head.writeUInt32BE(task.down, 4);
    socket.write(head);
    sent = await sendNoise(socket, task.up, task.pause, task.pieceBytes);
    socket.end();
  });
  socket.on("data", (bytes: Buffer) => {
    const now = performance.now();
    if (task.pause === undefined) silence = Math.max(silence, now - last);
    last = now;
    const body = Math.max(0, Math.min(bytes.length, task.down - got));
    hash.update(bytes.subarray(0, body));
    if (body < bytes.length) tail.push(Buffer.from(bytes.subarray(body)));
    got += bytes.length;
  });
  socket.on("error", (error) => finish("error", error.message));
  socket.on("end", () => {
    const end = Buffer.concat(tail);
    if (got < task.down + TRAILER) {
      return finish("short", `${got} of ${task.down + TRAILER} bytes came down`);
    }
    if (end.length > TRAILER) return finish("long", `${end.length - TRAILER} bytes too many`);
    const same = end.readUInt32BE(0) === task.up && sent !== undefined &&
      sent.equals(end.subarray(4, 4 + DIGEST)) && end.readUInt32BE(4 + DIGEST) === task.down &&
      hash.digest().equals(end.subarray(8 + DIGEST));
    if (same) finish();
    else finish("differs", `${end.readUInt32BE(0)} of ${task.up} bytes went up, or others`);
  });
  socket.on("close", () => finish("error", "closed without an end"));
  return promise;
}
