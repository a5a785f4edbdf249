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
  /** The recording program; anything that takes tcpdump's options. Default `tcpdump`. */
  readonly program?: string;
  /** Ends the recording: the summary is returned. */
  readonly signal?: AbortSignal;
}

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
): Promise<CaptureSummary> {
  const { filter, snapLength = 262_144, program = "tcpdump", signal } = options;
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command(program, {
      args: [
        ...["-i", device, "-n", "-U", "--immediate-mode", "-s", `${snapLength}`, "-w", "-"],
        ...(filter === undefined ? [] : [filter]),
      ],
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new LiveCaptureError(device, `${program} is missing: install it to record`);
  }
  const words = new Response(child.stderr).text();
  const end = () => child.kill("SIGINT");
  if (signal?.aborted) end();
  signal?.addEventListener("abort", end);
  try {
    const source = { name: device, stream: child.stdout };
    const summary = await readCapture(source, onPacket, { allowTruncated: true });
    await child.status;
    return summary;
  } catch (error) {
    child.stdout.cancel().catch(() => {});
    if (await stopped(child) || !(error instanceof CaptureError)) throw error;
    throw new LiveCaptureError(device, reason(await words, program, device), undefined, {
      cause: error,
    });
  } finally {
    signal?.removeEventListener("abort", end);
    await words;
  }
}

/** Ends the program if it still runs; whether it had gone well until then. */
async function stopped(child: Deno.ChildProcess): Promise<boolean> {
  try {
    child.kill("SIGINT");
  } catch {
    // It has ended by itself.
  }
  return (await child.status).success;
}

/** What the program said last in its own name: the reason. */
function reason(text: string, program: string, device: string): string {
  const name = `${program.split("/").at(-1)}: `;
  const line = text.split("\n").findLast((line) => line.startsWith(name));
  if (line === undefined) return `${program} failed without a word`;
  const said = line.slice(name.length);
  return said.startsWith(`${device}: `) ? said.slice(device.length + 2) : said;
}
