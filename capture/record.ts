import { UserError } from "../base/errors.ts";
import { type LiveCaptureOptions, type RecorderReport, recordLive } from "./live.ts";

/** A recording that cannot be written. */
export class RecordingError extends UserError {}

/** Options of {@linkcode recordToFile}. */
export interface RecordOptions extends LiveCaptureOptions {
  /** Begin a new file before this many bytes would be exceeded; the files are numbered. Default one file. */
  readonly rotate?: number;
  /** Called after each piece with the packets and bytes recorded so far. */
  readonly onProgress?: (packets: number, bytes: number) => void;
  /** Called with the name of each file when it is complete. */
  readonly onFile?: (path: string) => void;
}

/** What was recorded. */
export interface Recording extends RecorderReport {
  /** The files, in order. */
  readonly files: readonly string[];
  /** Packets in them. */
  readonly packets: number;
  /** Bytes of the files together. */
  readonly bytes: number;
}

/** Bytes of a pcap file's header, and of a record's. */
const FILE_HEADER = 24;
const RECORD_HEADER = 16;

/**
 * Records an interface to a pcap file until `signal` is aborted; with `rotate` to numbered files
 * (`name-00001.pcap`, ...). Each file gets its name when it is complete, ends with a whole packet, and can be
 * read alone.
 *
 * Throws {@linkcode LiveCaptureError} and {@linkcode RecordingError}; what was recorded before is kept.
 */
export async function recordToFile(
  device: string,
  path: string,
  options: RecordOptions = {},
): Promise<Recording> {
  const writer = new PcapFiles(path, options.rotate ?? Infinity, options.onFile);
  try {
    const report = await recordLive(device, async (stream) => {
      for await (const piece of stream) {
        writer.push(piece);
        options.onProgress?.(writer.packets, writer.bytes);
      }
    }, options);
    return { ...report, files: writer.files, packets: writer.packets, bytes: writer.bytes };
  } finally {
    writer.close();
  }
}

/**
 * Cuts the bytes of a pcap file, given in pieces of any size, into files of whole packets.
 *
 * @example
 * ```ts
 * import { PcapFiles } from "./record.ts";
 * const bytes = new Uint8Array(24 + 2 * 20);
 * const view = new DataView(bytes.buffer);
 * view.setUint32(0, 0xa1b2c3d4, true);
 * for (const at of [24, 44]) view.setUint32(at + 8, 4, true); // two packets of 4 bytes
 * const folder = await Deno.makeTempDir();
 * const files = new PcapFiles(`${folder}/r.pcap`, 50);
 * files.push(bytes);
 * files.close();
 * if (files.files.join() !== `${folder}/r-00001.pcap,${folder}/r-00002.pcap`) throw new Error();
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export class PcapFiles {
  /** Files that are complete. */
  readonly files: string[] = [];
  /** Packets written. */
  packets = 0;
  /** Bytes written, over all files. */
  bytes = 0;
  readonly #path: string;
  readonly #limit: number;
  readonly #onFile: ((path: string) => void) | undefined;
  readonly #header = new Uint8Array(FILE_HEADER);
  #headerBytes = 0;
  #little = true;
  #file: Deno.FsFile | undefined;
  #temporary = "";
  #size = 0;
  /** An incomplete record. */
  #rest: Uint8Array = new Uint8Array(0);

  /** Files of at most `limit` bytes each, but of one packet at least; one file where it is infinite. */
  constructor(path: string, limit: number, onFile?: (path: string) => void) {
    this.#path = path;
    this.#limit = limit;
    this.#onFile = onFile;
  }

  /** Takes the next bytes. */
  push(piece: Uint8Array): void {
    const missing = FILE_HEADER - this.#headerBytes;
    if (missing > 0) {
      this.#header.set(piece.subarray(0, missing), this.#headerBytes);
      this.#headerBytes += Math.min(missing, piece.length);
      if (this.#headerBytes < FILE_HEADER) return;
      const magic = new DataView(this.#header.buffer).getUint32(0, true);
      this.#little = magic === 0xa1b2c3d4 || magic === 0xa1b23c4d;
      this.#open();
      piece = piece.subarray(missing);
    }
    let bytes = piece;
    if (this.#rest.length > 0) {
      bytes = new Uint8Array(this.#rest.length + piece.length);
      bytes.set(this.#rest);
      bytes.set(piece, this.#rest.length);
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let from = 0;
    let at = 0;
    while (at + RECORD_HEADER <= bytes.length) {
      const next = at + RECORD_HEADER + view.getUint32(at + 8, this.#little);
      if (next > bytes.length) break;
      if (this.#size + (next - from) > this.#limit && this.#size + (at - from) > FILE_HEADER) {
        this.#write(bytes.subarray(from, at));
        from = at;
        this.#finish();
        this.#open();
      }
      this.packets++;
      at = next;
    }
    this.#write(bytes.subarray(from, at));
    this.#rest = bytes.slice(at);
  }

  /** Ends the last file. */
  close(): void {
    if (this.#file !== undefined) this.#finish();
  }

  #open(): void {
    this.#temporary = `${this.#path}.${crypto.randomUUID()}.tmp`;
    this.#attempt(() => {
      this.#file = Deno.openSync(this.#temporary, { write: true, createNew: true });
    });
    this.#size = 0;
    this.#write(this.#header);
  }

  #write(bytes: Uint8Array): void {
    const file = this.#file!;
    this.#attempt(() => {
      for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
    });
    this.#size += bytes.length;
    this.bytes += bytes.length;
  }

  #finish(): void {
    this.#file!.close();
    this.#file = undefined;
    const path = this.#limit === Infinity
      ? this.#path
      : numbered(this.#path, this.files.length + 1);
    this.#attempt(() => Deno.renameSync(this.#temporary, path));
    this.files.push(path);
    this.#onFile?.(path);
  }

  #attempt(write: () => void): void {
    try {
      write();
    } catch (error) {
      if (error instanceof Deno.errors.NotCapable) throw error;
      throw new RecordingError(
        error instanceof Deno.errors.NotFound
          ? `${this.#path}: its folder does not exist: make it, or name another file`
          : `${this.#path}: cannot be written (${error instanceof Error ? error.message : error})`,
        { cause: error },
      );
    }
  }
}

/** `name.pcap` as `name-00001.pcap`. */
function numbered(path: string, number: number): string {
  const dot = path.lastIndexOf(".");
  const end = dot > path.lastIndexOf("/") + 1 ? dot : path.length;
  return `${path.slice(0, end)}-${String(number).padStart(5, "0")}${path.slice(end)}`;
}
