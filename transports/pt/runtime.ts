import type { PtVariable } from "./environment.ts";
import { systemTimers, type Timers } from "./timers.ts";

/** A signal that ends a transport. */
export type EndSignal = "SIGINT" | "SIGTERM";

/** What a transport has of the process that it runs in: passed in, so that tests can play the parent. */
export interface PtRuntime {
  /** A variable of the environment. */
  variable(name: PtVariable): string | undefined;
  /** Writes a line to standard output, whole, before it returns. */
  writeLine(line: string): void;
  /** Resolves at the end of standard input, whose bytes are dropped; cancelled by `signal`. */
  stdinEnd(signal: AbortSignal): Promise<void>;
  /** Calls `run` at each such signal, until what it returns is called. */
  onSignal(signal: EndSignal, run: () => void): () => void;
  /** The id of the parent process, now. */
  parent(): number;
  /** Time. */
  readonly timers: Timers;
}

/** The process itself. */
export const systemRuntime: PtRuntime = {
  variable: (name) => Deno.env.get(name),
  writeLine: (line) => {
    const bytes = new TextEncoder().encode(`${line}\n`);
    for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
  },
  stdinEnd: async (signal) => {
    const reader = Deno.stdin.readable.getReader();
    const cancel = () => void reader.cancel().catch(() => {});
    signal.addEventListener("abort", cancel);
    try {
      while (!(await reader.read()).done);
    } catch {
      // A standard input that cannot be read has ended.
    } finally {
      signal.removeEventListener("abort", cancel);
    }
  },
  onSignal: (signal, run) => {
    // Windows has no SIGTERM; tor closes standard input there.
    if (signal === "SIGTERM" && Deno.build.os === "windows") return () => {};
    Deno.addSignalListener(signal, run);
    return () => Deno.removeSignalListener(signal, run);
  },
  parent: () => Deno.ppid,
  timers: systemTimers,
};
