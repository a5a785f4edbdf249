import type { PtRuntime } from "./runtime.ts";

/** Why a transport ends. */
export type ShutdownReason = "stdin" | "SIGTERM" | "SIGINT" | "parent" | "drained" | "stdout";

/** Milliseconds between two looks at the parent. */
const PARENT_POLL = 1_000;

/** Watches for what ends a transport (pt-spec, "Pluggable transport shutdown"). */
export interface Shutdown {
  /** Aborted at the first SIGINT: take no more connections, and end with the last one. */
  readonly draining: AbortSignal;
  /** Why to end now: a second SIGINT, SIGTERM, the end of standard input or of the parent. */
  readonly ended: Promise<ShutdownReason>;
  /** Ends it from inside. */
  end(reason: ShutdownReason): void;
}

/**
 * Starts to watch. Standard input counts only if the parent said so; otherwise it is not even read.
 */
export function watchShutdown(runtime: PtRuntime, exitOnStdinClose: boolean): Shutdown {
  const draining = new AbortController();
  const over = new AbortController();
  const { promise: ended, resolve } = Promise.withResolvers<ShutdownReason>();
  const parent = runtime.parent();
  let cancelPoll = () => {};
  const poll = () => {
    cancelPoll = runtime.timers.after(PARENT_POLL, () => {
      if (runtime.parent() !== parent) end("parent");
      else poll();
    });
  };
  const stopSignals = [
    runtime.onSignal("SIGTERM", () => end("SIGTERM")),
    runtime.onSignal("SIGINT", () => {
      if (draining.signal.aborted) end("SIGINT");
      else draining.abort();
    }),
  ];
  const end = (reason: ShutdownReason) => {
    if (over.signal.aborted) return;
    over.abort();
    cancelPoll();
    for (const stop of stopSignals) stop();
    draining.abort();
    resolve(reason);
  };
  poll();
  if (exitOnStdinClose) void runtime.stdinEnd(over.signal).then(() => end("stdin"));
  return { draining: draining.signal, ended, end };
}
