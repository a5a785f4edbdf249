import cliProgress from "cli-progress";

const encoder = new TextEncoder();

function writeAll(stream: { writeSync(bytes: Uint8Array): number }, text: string): void {
  const bytes = encoder.encode(text);
  let written = 0;
  try {
    while (written < bytes.length) written += stream.writeSync(bytes.subarray(written));
  } catch (error) {
    // Whoever read has read enough, as `head` does: what a shell reports for SIGPIPE.
    if (error instanceof Deno.errors.BrokenPipe) Deno.exit(141);
    throw error;
  }
}

/** Prints a line on standard output: results. */
export function print(line: string): void {
  writeAll(Deno.stdout, `${line}\n`);
}

/** Prints a line on standard error: what a person wants to know besides the result. */
export function note(line: string): void {
  writeAll(Deno.stderr, `${line}\n`);
}

/** Prints a result as one JSON object. */
export function printJson(value: unknown): void {
  print(JSON.stringify(value, undefined, 2));
}

/** Shows how far long work has come: a bar on a terminal, nothing in a pipe. */
export interface Progress {
  /** `done` of `total` units (bytes, connections); a `label` says which part. */
  update(done: number, total: number, label?: string): void;
  /** Removes the bar. */
  stop(): void;
}

/** A progress bar on standard error, silent where that is not a terminal. */
export function progress(): Progress {
  if (!Deno.stderr.isTerminal()) return { update() {}, stop() {} };
  const bar = new cliProgress.SingleBar({
    format: "{bar} {percentage} % {label}",
    hideCursor: true,
    clearOnComplete: true,
  });
  let started = false;
  return {
    update(done, total, label = "") {
      if (!started) bar.start(total, done, { label });
      started = true;
      bar.setTotal(total);
      bar.update(done, { label });
    },
    stop() {
      if (started) bar.stop();
    },
  };
}
