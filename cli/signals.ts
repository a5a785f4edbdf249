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
