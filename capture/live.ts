import { CaptureError } from "./capture_error.ts";
import type { CaptureSummary } from "./capture_summary.ts";
import type { Packet } from "./packet.ts";
import { readCapture } from "./read_capture.ts";

/** The recording program is missing, may not record, or was asked for something it cannot. */
export class LiveCaptureError extends CaptureError {}

/** Options of {@linkcode captureLive}. */
export interface LiveCaptureOptions {
  /** A filter in tcpdump's language, such as `tcp port 443`. Default everything. */
  readonly filter?: string;
  /** Bytes kept of each packet. Default 262144, which is all. */
  readonly snapLength?: number;
  /** The recording program: `dumpcap`, or anything that takes tcpdump's options. Default `tcpdump`. */
  readonly program?: string;
  /** Ends the recording: the summary is returned. */
  readonly signal?: AbortSignal;
}

/** What the recording program said when it ended; undefined where it did not say. */
export interface RecorderReport {
  /** Packets that passed the filter, by the kernel's count. */
  readonly received: number | undefined;
  /** Packets that the kernel, the interface or the program lost for want of room. */
  readonly dropped: number | undefined;
}

/** What was recorded, and what was lost. */
export interface LiveSummary extends CaptureSummary, RecorderReport {}

/**
 * Records packets of a network interface by `tcpdump`, so that only that program needs the privilege to
 * record, and hands them over as {@linkcode readCapture} does. Goes on until `signal` is aborted or the
 * program ends by itself.
 *
 * Throws {@linkcode LiveCaptureError} with the program's own words if it cannot record.
 */
export async function captureLive(
  device: string,
  onPacket: (packet: Packet) => void,
  options: LiveCaptureOptions = {},
): Promise<LiveSummary> {
  let summary: CaptureSummary | undefined;
  const report = await recordLive(device, async (stream) => {
    summary = await readCapture({ name: device, stream }, onPacket, { allowTruncated: true });
  }, options);
  return { ...summary!, ...report };
}

/**
 * Starts the recording program on `device` and hands its output, the bytes of a capture file, to `read`.
 * When `read` is through, the program is ended.
 *
 * Throws {@linkcode LiveCaptureError} with the program's own words if it cannot record; what `read` throws
 * comes through as it is where the program went well.
 */
export async function recordLive(
  device: string,
  read: (stream: ReadableStream<Uint8Array<ArrayBuffer>>) => Promise<void>,
  options: LiveCaptureOptions = {},
): Promise<RecorderReport> {
  const { program = "tcpdump", signal } = options;
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command(program, {
      args: argumentsOf(device, options),
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new LiveCaptureError(device, `${program} is missing: install it to record`);
  }
  const words = lastOf(child.stderr);
  const end = () => interrupt(child);
  if (signal?.aborted) end();
  signal?.addEventListener("abort", end);
  try {
    await read(child.stdout);
    interrupt(child);
    const { success } = await child.status;
    const said = await words;
    if (!success && signal?.aborted !== true && reportOf(said).received === undefined) {
      throw new LiveCaptureError(device, reason(said, program, device));
    }
    return reportOf(said);
  } catch (error) {
    child.stdout.cancel().catch(() => {});
    interrupt(child);
    if ((await child.status).success || !(error instanceof CaptureError)) throw error;
    if (error instanceof LiveCaptureError) throw error;
    throw new LiveCaptureError(device, reason(await words, program, device), undefined, {
      cause: error,
    });
  } finally {
    signal?.removeEventListener("abort", end);
    await words;
  }
}

function argumentsOf(device: string, options: LiveCaptureOptions): string[] {
  const { filter, snapLength = 262_144, program = "tcpdump" } = options;
  if (program.split("/").at(-1) === "dumpcap") {
    return [
      ...["-i", device, "-q", "-P", "-s", `${snapLength}`, "-w", "-"],
      ...(filter === undefined ? [] : ["-f", filter]),
    ];
  }
  return [
    ...["-i", device, "-n", "-U", "--immediate-mode", "-s", `${snapLength}`, "-w", "-"],
    // A filter is never taken for an option.
    ...(filter === undefined ? [] : ["--", filter]),
  ];
}

/** Asks the program to end, if it still runs. */
function interrupt(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGINT");
  } catch {
    // It has ended by itself.
  }
}

/** The end of what is said in `stream`: a program that complains for days must not fill the memory. */
async function lastOf(stream: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  for await (const piece of stream.pipeThrough(new TextDecoderStream())) {
    text = (text + piece).slice(-8192);
  }
  return text;
}

/** tcpdump's and dumpcap's counts at their end. */
function reportOf(text: string): RecorderReport {
  const dumpcap = /Packets received\/dropped on interface .*: (\d+)\/(\d+)/.exec(text);
  if (dumpcap !== null) {
    const [received, dropped] = [Number(dumpcap[1]), Number(dumpcap[2])];
    return { received: received + dropped, dropped };
  }
  const count = (pattern: RegExp) => {
    const found = pattern.exec(text);
    return found === null ? undefined : Number(found[1]);
  };
  const kernel = count(/(\d+) packets? dropped by kernel/);
  const device = count(/(\d+) packets? dropped by interface/);
  return {
    received: count(/(\d+) packets? received by filter/),
    dropped: kernel === undefined ? undefined : kernel + (device ?? 0),
  };
}

/** What the program said last in its own name: the reason. */
function reason(text: string, program: string, device: string): string {
  const name = `${program.split("/").at(-1)}: `;
  const line = text.split("\n").findLast((line) => line.startsWith(name));
  if (line === undefined) return `${program} failed without a word`;
  const said = line.slice(name.length);
  return said.startsWith(`${device}: `) ? said.slice(device.length + 2) : said;
}
