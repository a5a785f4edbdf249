import { TruncatedCaptureError, UnreadableCaptureError } from "./capture_error.ts";
import { CaptureParser } from "./capture_parser.ts";
import type { CaptureSummary } from "./capture_summary.ts";
import { gunzip, isGzip } from "./gunzip.ts";
import type { Packet } from "./packet.ts";

/** Bytes read from a file at once. */
const CHUNK = 1 << 18;

/** Chunks of a file that are read in one turn of the event loop. */
const TURN = 128;

/** Where a capture comes from: a path, `"-"` for standard input, or a named stream of bytes. */
export type CaptureSource = string | {
  /** Name for messages and for grouping. */
  readonly name: string;
  /** The file's bytes, as they are or gzipped. */
  readonly stream: ReadableStream<Uint8Array>;
};

/** Options of {@linkcode readCapture}. */
export interface ReadCaptureOptions {
  /** Accept a file that ends in the middle of a packet: `summary.truncatedAt` tells. Default false. */
  readonly allowTruncated?: boolean;
  /** Fill `packet.comment`. Default false. */
  readonly comments?: boolean;
  /** Called after each chunk with the bytes read of the file, and its size where that is known. */
  readonly onProgress?: (done: number, total: number | undefined) => void;
}

/**
 * Reads a capture to its end and hands over packet after packet, always in the same object. Streams: a
 * file larger than memory is read in a few hundred kilobytes. Gzip is recognised by its first bytes.
 *
 * Throws {@linkcode CaptureError}s of one line: the file cannot be opened, is no capture, is damaged, or
 * is cut short (unless `allowTruncated`). In each case the packets before the place were delivered.
 * What `onPacket` throws comes through as it is.
 *
 * @example
 * ```ts
 * import { readCapture } from "./read_capture.ts";
 * import { NotACaptureError } from "./capture_error.ts";
 * const stream = new Blob(["no capture"]).stream();
 * try {
 *   await readCapture({ name: "notes.txt", stream }, () => {});
 *   throw new Error("read a text");
 * } catch (error) {
 *   if (!(error instanceof NotACaptureError)) throw error;
 * }
 * ```
 */
export async function readCapture(
  source: CaptureSource,
  onPacket: (packet: Packet) => void,
  options: ReadCaptureOptions = {},
): Promise<CaptureSummary> {
  const name = typeof source === "string" ? source : source.name;
  const parser = new CaptureParser(name, onPacket, options);
  try {
    for await (const chunk of plain(name, raw(source, options.onProgress))) parser.push(chunk);
    return parser.finish();
  } catch (error) {
    if (options.allowTruncated !== true || !(error instanceof TruncatedCaptureError)) throw error;
    const summary = parser.summary();
    // Cut inside the file's own header there is nothing to go on with.
    if (summary.format !== "pcapng" && summary.interfaces.length === 0) throw error;
    return { ...summary, truncatedAt: summary.truncatedAt ?? summary.bytes };
  }
}

/** The bytes with gzip undone. */
async function* plain(
  name: string,
  chunks: AsyncGenerator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  let head = new Uint8Array(0);
  while (head.length < 2) {
    const { done, value } = await chunks.next();
    if (done) break;
    const joined = new Uint8Array(head.length + value.length);
    joined.set(head);
    joined.set(value, head.length);
    head = joined;
  }
  const whole = async function* () {
    yield head;
    yield* chunks;
  };
  yield* isGzip(head) ? gunzip(name, whole()) : whole();
}

/** The bytes of the source as they are. */
async function* raw(
  source: CaptureSource,
  onProgress: ReadCaptureOptions["onProgress"],
): AsyncGenerator<Uint8Array> {
  let done = 0;
  if (typeof source === "string" && source !== "-") {
    using file = await openCapture(source);
    const { size, isFile } = await file.stat();
    const buffer = new Uint8Array(CHUNK);
    for (let chunk = 1;; chunk++) {
      // A pipe may keep one waiting; a file's bytes come faster without a turn of the event loop for each
      // chunk. Some turns there must be, for timers and signals.
      const read = isFile && chunk % TURN !== 0
        ? attemptNow(source, () => file.readSync(buffer))
        : await attempt(source, () => file.read(buffer));
      if (read === null) return;
      yield buffer.subarray(0, read);
      onProgress?.(done += read, size);
    }
  }
  const [name, stream] = typeof source === "string"
    ? [source, Deno.stdin.readable]
    : [source.name, source.stream];
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done: ended, value } = await attempt(name, () => reader.read());
      if (ended) return;
      yield value;
      onProgress?.(done += value.length, undefined);
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

const FOLDER = "is a folder, not a capture: give the files in it";

async function openCapture(path: string): Promise<Deno.FsFile> {
  const file = await attempt(path, () => Deno.open(path));
  const { isDirectory } = await file.stat();
  if (!isDirectory) return file;
  file.close();
  throw new UnreadableCaptureError(path, FOLDER);
}

async function attempt<T>(name: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    throw unreadable(name, error);
  }
}

function attemptNow<T>(name: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw unreadable(name, error);
  }
}

function unreadable(name: string, error: unknown): unknown {
  if (error instanceof Deno.errors.NotCapable) return error;
  const why = error instanceof Deno.errors.NotFound
    ? "no such file"
    : error instanceof Deno.errors.PermissionDenied
    ? "no permission to read it"
    : error instanceof Deno.errors.IsADirectory
    ? FOLDER
    : `cannot be read: ${error instanceof Error ? error.message : String(error)}`;
  return new UnreadableCaptureError(name, why, undefined, { cause: error });
}
