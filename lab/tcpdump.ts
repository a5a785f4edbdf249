import type { LabNetwork } from "./network.ts";
import { LINK_DEVICE } from "./network.ts";
import { ProgramFailed, type Running, sleep } from "./process.ts";

/** What tcpdump says when it ends. */
export interface CaptureCounts {
  /** Packets written to the file. */
  readonly captured: number;
  /** Packets that passed its filter. */
  readonly received: number;
  /** Packets that the kernel dropped because tcpdump was too slow: 0, or the capture is not whole. */
  readonly dropped: number;
}

/** Reads tcpdump's last words. */
export function parseCounts(text: string): CaptureCounts {
  const count = (what: string) => {
    const found = new RegExp(`(\\d+) packets? ${what}`).exec(text)?.[1];
    if (found === undefined) throw new ProgramFailed("tcpdump did not say its counts", text);
    return Number(found);
  };
  return {
    captured: count("captured"),
    received: count("received by filter"),
    dropped: count("dropped by kernel"),
  };
}

/** tcpdump at one end of the link. */
export class Tcpdump {
  private constructor(readonly path: string, readonly program: Running) {}

  /** Starts to record TCP packets at `end` into `path`; returns when tcpdump listens. */
  static async start(
    network: LabNetwork,
    path: string,
    end: "client" | "server" = "client",
  ): Promise<Tcpdump> {
    // The buffer holds as many packets as snap lengths fit in it: one that no packet needs costs packets.
    const program = network.start(end, [
      ...["tcpdump", "-i", LINK_DEVICE, "-Z", "root", "-s", "9216", "-U", "-n", "-B", "32768"],
      // Otherwise packets wait in the kernel for a second, and those of the last one are lost.
      "--immediate-mode",
      ...["-w", path, "tcp"],
    ]);
    await program.said(/listening on/, 10_000, "errors");
    return new Tcpdump(path, program);
  }

  /** Ends the recording, the last packets included. */
  async stop(): Promise<CaptureCounts> {
    await sleep(500);
    await this.program.stop("SIGINT", 10_000);
    return parseCounts(this.program.errors);
  }
}
