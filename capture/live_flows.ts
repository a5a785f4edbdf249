import { DEFAULT_BURST_GAP, type FlowOptions } from "./flow.ts";
import { type FlowSink, FlowTable } from "./flow_table.ts";
import { captureLive, type LiveCaptureOptions, type RecorderReport } from "./live.ts";
import { type CaptureSource, readCapture } from "./read_capture.ts";
import { type FlowsSummary, flowsSummary } from "./read_flows.ts";

/** What tells that time passes: real, or virtual in tests. */
export interface FlowTimer {
  /** Milliseconds of a clock that never goes back. */
  now(): number;
  /** Calls `callback` every so many milliseconds until the function returned is called. */
  every(milliseconds: number, callback: () => void): () => void;
}

/** The timer of the running process. */
export const PROCESS_TIMER: FlowTimer = {
  now: () => performance.now(),
  every(milliseconds, callback) {
    const id = setInterval(callback, milliseconds);
    return () => clearInterval(id);
  },
};

/** Milliseconds between two looks for silence; a burst's end is noticed at most three later. */
const LOOK = 50;

/**
 * Ends the burst of `table` when no packet has come for more than the gap, though no later packet says so.
 * It is noticed within a fifth of a second (the seed's daemon checks that often). Two looks must agree, so
 * that packets which waited while the process was busy are not cut off from their burst.
 *
 * @returns what ends the watch
 */
export function watchSilence(
  table: FlowTable,
  gap: number = DEFAULT_BURST_GAP,
  timer: FlowTimer = PROCESS_TIMER,
): () => void {
  let seen = table.packets;
  let last = timer.now();
  let suspected = false;
  return timer.every(LOOK, () => {
    if (table.packets !== seen) {
      seen = table.packets;
      last = timer.now();
      suspected = false;
    } else if (timer.now() - last > gap) {
      if (suspected) table.endBurst();
      suspected = true;
    }
  });
}

/** Options of {@linkcode flowsLive} and {@linkcode flowsOfStream}. */
export interface LiveFlowOptions extends FlowOptions {
  /** What tells that time passes. Default {@linkcode PROCESS_TIMER}. */
  readonly timer?: FlowTimer;
}

/**
 * Flows of a network interface, burst by burst, until `signal` is aborted: {@linkcode captureLive} with a
 * {@linkcode FlowTable} and {@linkcode watchSilence}. The last burst is ended too.
 *
 * Throws what {@linkcode captureLive} throws.
 */
export async function flowsLive(
  device: string,
  sink: FlowSink,
  options: LiveFlowOptions & LiveCaptureOptions = {},
): Promise<FlowsSummary & RecorderReport> {
  const table = new FlowTable(sink, options);
  const stop = watchSilence(table, options.burstGap, options.timer);
  try {
    const live = await captureLive(device, (packet) => table.push(packet), options);
    table.endBurst();
    const { received, dropped, ...capture } = live;
    return { ...flowsSummary(capture, table), received, dropped };
  } finally {
    stop();
  }
}

/**
 * Flows of a capture that is still being written, such as the output of `ssh gateway tcpdump -w -`: as
 * {@linkcode flowsLive}, from a stream, until it ends or `signal` is aborted.
 *
 * Throws what {@linkcode readCapture} throws.
 */
export async function flowsOfStream(
  source: Exclude<CaptureSource, string> | "-",
  sink: FlowSink,
  options: LiveFlowOptions & { readonly signal?: AbortSignal } = {},
): Promise<FlowsSummary> {
  const table = new FlowTable(sink, options);
  const stop = watchSilence(table, options.burstGap, options.timer);
  const { name, stream } = source === "-" ? { name: "-", stream: Deno.stdin.readable } : source;
  try {
    const capture = await readCapture(
      { name, stream: options.signal === undefined ? stream : until(stream, options.signal) },
      (packet) => table.push(packet),
      { allowTruncated: true },
    );
    table.endBurst();
    return flowsSummary(capture, table);
  } finally {
    stop();
    table.endBurst();
  }
}

/** The stream, ended when `signal` is aborted. */
function until(
  stream: ReadableStream<Uint8Array>,
  signal: AbortSignal,
): ReadableStream<Uint8Array> {
  const reader = stream.getReader();
  let ended = false;
  return new ReadableStream<Uint8Array>({
    start(controller) {
      const end = () => {
        // Whoever reads may be done already, and hear of the signal afterwards.
        if (ended) return;
        ended = true;
        controller.close();
        reader.cancel().catch(() => {});
      };
      if (signal.aborted) end();
      else signal.addEventListener("abort", end, { once: true });
    },
    async pull(controller) {
      const { done, value } = await reader.read();
      if (ended) return;
      if (done) {
        ended = true;
        controller.close();
      } else controller.enqueue(value);
    },
    cancel(reason) {
      ended = true;
      return reader.cancel(reason);
    },
  }, { highWaterMark: 0 });
}
