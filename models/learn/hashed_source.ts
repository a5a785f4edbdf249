import { createHash } from "node:crypto";
import type { CaptureSource } from "../../capture/read_capture.ts";

const CHUNK = 1 << 18;

/**
 * A capture file, or standard input for `-`, that is hashed while it is read: once it has been read to
 * its end, `sha256()` is the digest of its bytes as they are (compressed ones, for a `.gz`).
 */
export function hashedSource(path: string): { source: CaptureSource; sha256: () => string } {
  const hash = createHash("sha256");
  if (path === "-") {
    const stream = Deno.stdin.readable.pipeThrough(
      new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
        transform(chunk, controller) {
          hash.update(chunk);
          controller.enqueue(chunk);
        },
      }),
    );
    return { source: { name: path, stream }, sha256: () => hash.digest("hex") };
  }
  let file: Deno.FsFile | undefined;
  const stream = new ReadableStream<Uint8Array<ArrayBuffer>>({
    // Opened at the first read, so that the reader names the file in its errors.
    async pull(controller) {
      try {
        file ??= await Deno.open(path);
        const chunk = new Uint8Array(CHUNK);
        const read = await file.read(chunk);
        if (read === null) {
          file.close();
          controller.close();
          return;
        }
        const bytes = chunk.subarray(0, read);
        hash.update(bytes);
        controller.enqueue(bytes);
      } catch (error) {
        file?.close();
        throw error;
      }
    },
    cancel() {
      file?.close();
    },
  }, { highWaterMark: 0 });
  return { source: { name: path, stream }, sha256: () => hash.digest("hex") };
}
