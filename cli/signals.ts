/**
 * Waits for SIGINT or SIGTERM, or for `other` to settle. A second signal while the command winds up ends
 * the process at once.
 */
export async function untilSignal(other: Promise<void> = new Promise(() => {})): Promise<void> {
  const asked = Promise.withResolvers<void>();
  let count = 0;
  const onSignal = () => {
    if (++count > 1) Deno.exit(130);
    asked.resolve();
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, onSignal);
  await Promise.race([asked.promise, other]);
}

/**
 * Does `work` until it ends by itself, and tells it to end, by the signal of `stop`, when `seconds` have
 * passed or on SIGINT or SIGTERM. `work` may say itself that it is enough.
 */
export async function untilStopped<T>(
  seconds: number | undefined,
  work: (stop: AbortController) => Promise<T>,
): Promise<T> {
  const stop = new AbortController();
  const ended = Promise.withResolvers<void>();
  untilSignal(ended.promise).then(() => stop.abort());
  const timer = seconds === undefined ? undefined : setTimeout(() => stop.abort(), seconds * 1000);
  try {
    return await work(stop);
  } finally {
    clearTimeout(timer);
    ended.resolve();
  }
}
