import { createGunzip } from "node:zlib";
import { DamagedCaptureError, TruncatedCaptureError } from "./capture_error.ts";

/** Compressed bytes undone at once: with deflate's limit of 1032 : 1, at most 17 MB come out of it. */
const PIECE = 1 << 14;

/** Tells gzip by its first two bytes. */
export function isGzip(bytes: Uint8Array): boolean {
  return bytes.length >= 2 && bytes[0] === 0x1f && bytes[1] === 0x8b;
}

/**
 * Undoes gzip, of one or several members, in bounded memory. Everything before a damaged or missing
 * part is yielded before {@linkcode DamagedCaptureError} or {@linkcode TruncatedCaptureError} is thrown.
 * The web's `DecompressionStream` does neither: it stops at the second member and drops what it holds.
 */
export async function* gunzip(
  name: string,
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const inflater = createGunzip({ chunkSize: 1 << 16 });
  let ready: Uint8Array[] = [];
  let failure: (Error & { code?: string }) | undefined;
  inflater.on("data", (chunk: Uint8Array) => ready.push(chunk));
  inflater.on("error", (error: Error) => failure = error);
  const take = () => {
    const taken = ready;
    ready = [];
    return taken;
  };
  try {
    for await (const chunk of chunks) {
      for (let at = 0; at < chunk.length; at += PIECE) {
        const piece = chunk.subarray(at, at + PIECE);
        await new Promise<void>((done) => inflater.write(piece, () => done()));
        yield* take();
        if (failure !== undefined) throw damage(name, failure);
      }
    }
    await new Promise<void>((done) => {
      inflater.once("end", done);
      inflater.once("close", done);
      inflater.end();
    });
    yield* take();
    if (failure !== undefined) throw damage(name, failure);
  } finally {
    inflater.destroy();
  }
}

function damage(name: string, cause: Error & { code?: string }): Error {
  return cause.code === "Z_BUF_ERROR"
    ? new TruncatedCaptureError(name, "cut short: the gzip data has no end", undefined, { cause })
    : new DamagedCaptureError(name, `damaged gzip: ${cause.message}`, undefined, { cause });
}
