import { TextLineStream } from "../transports/text_lines.ts";

/** Says one object as a line of JSON on standard output. */
export function say(object: unknown): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify(object)}\n`));
}

/** Answers each line of standard input by what `answer` says to it, until it ends. */
export async function serveLines(answer: (line: string) => unknown): Promise<void> {
  const lines = Deno.stdin.readable.pipeThrough(new TextDecoderStream())
    .pipeThrough(new TextLineStream());
  for await (const line of lines) say(answer(line));
}

/** A process of the soak that answers lines by lines of JSON. */
export class NodeProcess {
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #lines: ReadableStreamDefaultReader<string>;
  #turn: Promise<unknown> = Promise.resolve();
  /** What it said on standard error, the last 16 KiB. */
  errors = "";

  /** Starts `argv`. */
  constructor(readonly name: string, argv: readonly string[], env: Record<string, string>) {
    this.#child = new Deno.Command("env", {
      args: [...argv],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
      clearEnv: true,
      env,
    }).spawn();
    this.#input = this.#child.stdin.getWriter();
    this.#input.closed.catch(() => {});
    this.#lines = this.#child.stdout.pipeThrough(new TextDecoderStream())
      .pipeThrough(new TextLineStream()).getReader();
    void this.#listen();
  }

  async #listen(): Promise<void> {
    for await (const text of this.#child.stderr.pipeThrough(new TextDecoderStream())) {
      this.errors = (this.errors + text).slice(-16_384);
    }
  }

  /** Its process id: what starts it becomes it. */
  get pid(): number {
    return this.#child.pid;
  }

  /** The next line that it says, as an object; throws after `milliseconds`, or if it has ended. */
  async next<T>(milliseconds: number): Promise<T> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new Error(`${this.name} said nothing for ${milliseconds} ms: ${this.errors}`)),
        milliseconds,
      );
    });
    try {
      const { done, value } = await Promise.race([this.#lines.read(), late]);
      if (done) throw new Error(`${this.name} ended: ${this.errors}`);
      return JSON.parse(value) as T;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Says a line and waits for the answer; one at a time. */
  ask<T>(line: string, milliseconds = 60_000): Promise<T> {
    const answer = this.#turn.catch(() => {}).then(async () => {
      await this.#input.write(new TextEncoder().encode(`${line}\n`));
      return await this.next<T>(milliseconds);
    });
    this.#turn = answer;
    return answer;
  }

  /** Ends it: by the end of its input, SIGKILL after `patience` milliseconds. */
  async stop(patience = 20_000): Promise<void> {
    await this.#input.close().catch(() => {});
    const timer = setTimeout(() => {
      try {
        this.#child.kill("SIGKILL");
      } catch {
        // It has ended in between.
      }
    }, patience);
    await this.#child.status;
    clearTimeout(timer);
  }
}
