import { UserError } from "../base/mod.ts";

/** A program that the laboratory started failed, or did not do in time what it was started for. */
export class ProgramFailed extends UserError {
  /** `what` was tried; `detail` is the last that the program said. */
  constructor(readonly what: string, detail: string) {
    super(`${what}: ${detail.trim().split("\n").at(-1) || "no message"}`);
  }
}

/** Waits. */
export function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Settles as `promise` does, or with `otherwise` after `milliseconds`. */
export async function within<T, U>(
  promise: Promise<T>,
  milliseconds: number,
  otherwise: U,
): Promise<T | U> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<U>((resolve) => {
    timer = setTimeout(() => resolve(otherwise), milliseconds);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

const SAID = 64 * 1024;

/** Collects what a stream says, the last 64 KiB of it, so that no program blocks on a full pipe. */
class Said {
  text = "";
  readonly done: Promise<void>;
  #listeners = new Set<() => void>();

  constructor(stream: ReadableStream<Uint8Array>) {
    this.done = this.#read(stream);
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const bytes of stream) {
      this.text = (this.text + decoder.decode(bytes, { stream: true })).slice(-SAID);
      for (const listener of this.#listeners) listener();
    }
    for (const listener of this.#listeners) listener();
  }

  /** Whether `pattern` was said within `milliseconds` and before the stream ended. */
  async until(pattern: RegExp, milliseconds: number): Promise<boolean> {
    if (pattern.test(this.text)) return true;
    let listener = () => {};
    const heard = new Promise<boolean>((resolve) => {
      listener = () => pattern.test(this.text) && resolve(true);
      this.#listeners.add(listener);
      this.done.then(() => resolve(pattern.test(this.text)));
    });
    try {
      return await within(heard, milliseconds, false);
    } finally {
      this.#listeners.delete(listener);
    }
  }
}

/** How to start a program. */
export interface StartOptions {
  /** Its environment; nothing else is handed down but PATH. */
  readonly env?: Readonly<Record<string, string>>;
  /** Its working folder. */
  readonly cwd?: string;
}

const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** A program that runs beside us, stopped by its own process id and never by name. */
export class Running {
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #out: Said;
  readonly #err: Said;
  #ended: Deno.CommandStatus | undefined;
  /** Settles when the program has ended. */
  readonly status: Promise<Deno.CommandStatus>;

  /** Starts `argv`. */
  constructor(readonly argv: readonly string[], options: StartOptions = {}) {
    // Through env(1), which becomes the program: one right to run serves for all of them.
    this.#child = new Deno.Command("env", {
      args: [...argv],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
      clearEnv: true,
      env: { PATH, LC_ALL: "C", ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    }).spawn();
    this.#input = this.#child.stdin.getWriter();
    this.#input.closed.catch(() => {});
    this.#out = new Said(this.#child.stdout);
    this.#err = new Said(this.#child.stderr);
    this.status = this.#child.status.then((status) => this.#ended = status);
  }

  /** Its process id. */
  get pid(): number {
    return this.#child.pid;
  }

  /** Whether it still runs. */
  get alive(): boolean {
    return this.#ended === undefined;
  }

  /** Its exit code (128 and the signal's number after a signal); undefined while it runs. */
  get code(): number | undefined {
    return this.#ended?.code;
  }

  /** What it wrote to standard output, the last 64 KiB. */
  get output(): string {
    return this.#out.text;
  }

  /** What it wrote to standard error, the last 64 KiB. */
  get errors(): string {
    return this.#err.text;
  }

  /** Writes to its standard input; false if it no longer listens. */
  async write(data: string | Uint8Array): Promise<boolean> {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    try {
      await this.#input.write(bytes);
      return true;
    } catch {
      return false;
    }
  }

  /** Ends its standard input. */
  async closeInput(): Promise<void> {
    await this.#input.close().catch(() => {});
  }

  /** Waits until it said `pattern` on standard output or error, or throws. */
  async said(
    pattern: RegExp,
    milliseconds: number,
    stream: "output" | "errors" = "output",
  ): Promise<void> {
    const source = stream === "output" ? this.#out : this.#err;
    if (await source.until(pattern, milliseconds)) return;
    throw new ProgramFailed(
      `${this.argv.join(" ").slice(0, 120)} did not say ${pattern}`,
      this.errors || this.output,
    );
  }

  /** Sends a signal, if it still runs. */
  kill(signal: Deno.Signal): void {
    if (!this.alive) return;
    try {
      this.#child.kill(signal);
    } catch (error) {
      // It ended in between.
      if (!(error instanceof TypeError)) throw error;
    }
  }

  /** Ends it: `signal` first, SIGKILL after `patience` milliseconds. Returns when all was read. */
  async stop(signal: Deno.Signal = "SIGTERM", patience = 3000): Promise<Deno.CommandStatus> {
    this.kill(signal);
    await this.closeInput();
    return await this.ended(patience);
  }

  /** Waits for its end, and kills it after `patience` milliseconds. */
  async ended(patience: number): Promise<Deno.CommandStatus> {
    if (await within(this.status, patience, undefined) === undefined) this.kill("SIGKILL");
    const status = await this.status;
    // A grandchild may hold the pipes open: its words are not waited for.
    await within(Promise.all([this.#out.done, this.#err.done]), 500, undefined);
    return status;
  }
}

/** Runs `argv` to its end within `milliseconds`; throws if it fails. Returns standard output. */
export async function run(
  argv: readonly string[],
  milliseconds = 10_000,
  options: StartOptions = {},
): Promise<string> {
  const program = new Running(argv, options);
  await program.closeInput();
  const status = await program.ended(milliseconds);
  if (!status.success) {
    const how = status.signal === null ? `exit code ${status.code}` : status.signal;
    throw new ProgramFailed(`${argv.join(" ").slice(0, 200)} (${how})`, program.errors);
  }
  return program.output;
}
