import type { CaptureSummary } from "./capture_summary.ts";
import type { Packet } from "./packet.ts";
import { type CaptureSource, readCapture } from "./read_capture.ts";

/** Bytes read of each file at once: bounds how many packets wait for those of the other files. */
const CHUNK = 1 << 14;

/** Options of {@linkcode mergeCaptures}. */
export interface MergeCapturesOptions {
  /** Accept files that end in the middle of a packet. Default false. */
  readonly allowTruncated?: boolean;
  /** Called after each chunk with the source's name and the bytes read of it. */
  readonly onProgress?: (name: string, done: number) => void;
}

/** One capture being read no further than the merge needs. */
class Lane {
  readonly queue: Packet[] = [];
  /** Packets of `queue` already handed on. */
  at = 0;
  ended = false;
  readonly summary: Promise<CaptureSummary>;

  readonly #name: string;
  readonly #source: CaptureSource;
  #file: Deno.FsFile | undefined;
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  #stopped = false;
  #done = 0;
  /** Resolves the wait of the stream for being read on. */
  #resume: (() => void) | undefined;
  /** Resolves the merge's wait for packets. */
  #filled: (() => void) | undefined;

  constructor(source: CaptureSource, options: MergeCapturesOptions) {
    this.#source = source;
    this.#name = typeof source === "string" ? source : source.name;
    const stream = new ReadableStream<Uint8Array>(
      { pull: (controller) => this.#pull(controller, options) },
      { highWaterMark: 0 },
    );
    this.summary = readCapture(
      { name: this.#name, stream },
      (packet) => this.queue.push(copy(packet)),
      { allowTruncated: options.allowTruncated },
    ).finally(() => {
      this.ended = true;
      this.#file?.close();
      this.#file = undefined;
      this.#filled?.();
    });
    // The merge awaits it later; until then a failure must not count as unhandled.
    this.summary.catch(() => {});
  }

  /** The next packet, or undefined at the end. Rejects as {@linkcode readCapture} does. */
  async peek(): Promise<Packet | undefined> {
    while (this.at === this.queue.length) {
      if (this.ended) {
        await this.summary;
        return undefined;
      }
      this.queue.length = 0;
      this.at = 0;
      await new Promise<void>((resolve) => {
        this.#filled = resolve;
        this.#resume?.();
      });
    }
    return this.queue[this.at];
  }

  /** Ends the reading early. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#resume?.();
    await this.summary.catch(() => {});
  }

  /** Called when all bytes so far have become packets and more are wanted. */
  async #pull(
    controller: ReadableStreamDefaultController<Uint8Array>,
    options: MergeCapturesOptions,
  ): Promise<void> {
    if (this.at < this.queue.length && !this.#stopped) {
      const resumed = new Promise<void>((resolve) => {
        this.#resume = resolve;
      });
      this.#filled?.();
      await resumed;
      this.#resume = undefined;
    }
    const chunk = this.#stopped ? undefined : await this.#read();
    if (chunk === undefined) {
      if (this.#stopped) await this.#reader?.cancel();
      controller.close();
      return;
    }
    this.#done += chunk.length;
    options.onProgress?.(this.#name, this.#done);
    controller.enqueue(chunk);
  }

  async #read(): Promise<Uint8Array | undefined> {
    if (typeof this.#source === "string" && this.#source !== "-") {
      this.#file ??= await Deno.open(this.#source);
      const buffer = new Uint8Array(CHUNK);
      const read = await this.#file.read(buffer);
      return read === null ? undefined : buffer.subarray(0, read);
    }
    const stream = typeof this.#source === "string" ? Deno.stdin.readable : this.#source.stream;
    this.#reader ??= stream.getReader();
    const { done, value } = await this.#reader.read();
    return done ? undefined : value;
  }
}

/**
 * Reads several captures as one trace in order of time, such as one that was recorded with each direction
 * in a file of its own. Within a file the order stays as it is; `packet.index` counts over the merged trace.
 *
 * Streams: of each file no more is read ahead than the packets of 16 KiB (or, where a source is handed in
 * as a stream, of its chunks). The packets that wait are copied, so this is slower than
 * {@linkcode readCapture}. Clocks are taken as they are: where two recorders disagree by more than a round
 * trip, answers come before their requests, and no reading of the trace can be right.
 *
 * Returns the summaries in the order of `sources`; throws as {@linkcode readCapture} does, at the first
 * source that fails, after handing over the packets before the place.
 *
 * @example
 * ```ts
 * import { mergeCaptures } from "./stream_merge.ts";
 * const summaries = await mergeCaptures([], () => {});
 * if (summaries.length !== 0) throw new Error("captures from nowhere");
 * ```
 */
export async function mergeCaptures(
  sources: readonly CaptureSource[],
  onPacket: (packet: Packet) => void,
  options: MergeCapturesOptions = {},
): Promise<CaptureSummary[]> {
  const lanes = sources.map((source) => new Lane(source, options));
  let index = 0;
  try {
    const heads: (Packet | undefined)[] = [];
    for (const lane of lanes) heads.push(await lane.peek());
    for (;;) {
      let first = -1;
      for (let i = 0; i < heads.length; i++) {
        const head = heads[i];
        if (head !== undefined && (first < 0 || head.time < heads[first]!.time)) first = i;
      }
      if (first < 0) break;
      const lane = lanes[first]!;
      const packet = heads[first]!;
      packet.index = index++;
      onPacket(packet);
      lane.at++;
      heads[first] = lane.at < lane.queue.length ? lane.queue[lane.at] : await lane.peek();
    }
    return await Promise.all(lanes.map((lane) => lane.summary));
  } finally {
    await Promise.all(lanes.map((lane) => lane.stop()));
  }
}

function copy(packet: Packet): Packet {
  const { payloadStart, payloadCaptured } = packet;
  return {
    ...packet,
    addresses: packet.addresses.slice(),
    data: packet.data.slice(payloadStart, payloadStart + payloadCaptured),
    payloadStart: 0,
  };
}
