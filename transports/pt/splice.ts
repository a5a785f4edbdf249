import type { Duplex } from "node:stream";
import { PtError } from "./errors.ts";

/** Changes bytes on their way; may keep state, may return none. */
export type BytesMap = (bytes: Uint8Array) => Uint8Array;

const same: BytesMap = (bytes) => bytes;

/**
 * Copies both ways between two sockets, each direction to its own end and no faster than its receiver takes it;
 * resolves when both have ended. When one breaks, the other is destroyed.
 *
 * @throws the error of the socket that broke.
 * @example
 * ```ts
 * import { Duplex, PassThrough } from "node:stream";
 * import { splice } from "./splice.ts";
 * const [a, b] = [new PassThrough(), new PassThrough()];
 * const [inside, outside] = [new PassThrough(), new PassThrough()];
 * outside.end("hi");
 * inside.end("you");
 * await splice(
 *   Duplex.from({ readable: outside, writable: a }),
 *   Duplex.from({ readable: inside, writable: b }),
 *   (bytes) => bytes.map((byte) => byte ^ 32),
 * );
 * if (`${b.read()}` !== "HI" || `${a.read()}` !== "you") throw new Error();
 * ```
 */
export async function splice(
  a: Duplex,
  b: Duplex,
  toB: BytesMap = same,
  toA: BytesMap = same,
): Promise<void> {
  try {
    await Promise.all([copy(a, b, toB), copy(b, a, toA)]);
  } catch (error) {
    a.destroy();
    b.destroy();
    throw error;
  }
}

function copy(from: Duplex, to: Duplex, map: BytesMap): Promise<void> {
  return new Promise((resolve, reject) => {
    const closed = () => {
      if (!from.readableEnded) reject(new PtError("the connection closed before its end"));
    };
    from.on("data", (bytes: Uint8Array) => {
      try {
        const mapped = map(bytes);
        if (mapped.length > 0 && !to.write(mapped)) from.pause();
      } catch (error) {
        reject(error);
      }
    });
    to.on("drain", () => from.resume());
    to.once("close", () => {
      if (!to.writableFinished) reject(new PtError("the receiver closed before the end"));
    });
    from.once("end", () => to.end(resolve));
    from.once("error", reject);
    to.once("error", reject);
    from.once("close", closed);
    if (from.destroyed) closed();
    from.resume();
  });
}
