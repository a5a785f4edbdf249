import { fileURLToPath } from "node:url";
import { ProgramFailed } from "../../lab/process.ts";
import { V8_FLAGS } from "../../transports/mimic/freed_memory.ts";
import type { EndStats, TimerLateness } from "./end.ts";

const END = fileURLToPath(new URL("./end.ts", import.meta.url));

/** One end of tunnels, in a process of its own. */
export class EndProcess implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #output: ReadableStreamDefaultReader<string>;
  #rest = "";

  private constructor() {
    this.#child = new Deno.Command("env", {
      args: [Deno.execPath(), "run", "--no-prompt", "--no-check", "--quiet"]
        .concat([
          // As the tasks of both ends.
          `--v8-flags=${V8_FLAGS}`,
          "--allow-net=127.0.0.1",
          "--allow-read",
          "--allow-write",
          "--allow-sys",
          "--allow-ffi",
          END,
        ]),
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#input = this.#child.stdin.getWriter();
    this.#output = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** The server's end, which holds `models`; `line` is for the client's. */
  static async server(models: readonly string[]): Promise<{ end: EndProcess; line: string }> {
    const end = new EndProcess();
    const { line } = await end.#ask<{ line: string }>({ models });
    return { end, line };
  }

  /** The client's end. */
  static async client(line: string, seed: string): Promise<EndProcess> {
    const end = new EndProcess();
    await end.#ask({ line, seed });
    return end;
  }

  /** A process that waits for nothing but timers. */
  static async timers(ms: number): Promise<TimerLateness> {
    await using end = new EndProcess();
    return await end.#ask<TimerLateness>({ timers: ms });
  }

  /** Its process id. */
  get pid(): number {
    return this.#child.pid;
  }

  /** Begins `count` more tunnels and waits until they play. */
  async add(count: number): Promise<void> {
    await this.#ask({ add: count });
  }

  /** What it has counted; its lateness since the last time. */
  stats(): Promise<EndStats> {
    return this.#ask<EndStats>({ stats: true });
  }

  async #ask<Answer>(what: unknown): Promise<Answer> {
    await this.#input.write(new TextEncoder().encode(`${JSON.stringify(what)}\n`));
    for (;;) {
      const end = this.#rest.indexOf("\n");
      if (end >= 0) {
        const line = this.#rest.slice(0, end);
        this.#rest = this.#rest.slice(end + 1);
        return JSON.parse(line) as Answer;
      }
      const { done, value } = await this.#output.read();
      if (done) throw new ProgramFailed("an end of a tunnel", "it has ended");
      this.#rest += value;
    }
  }

  /** Ends it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#input.close().catch(() => {});
    const kill = setTimeout(() => this.#child.kill("SIGKILL"), 3000);
    await this.#output.cancel().catch(() => {});
    await this.#child.status;
    clearTimeout(kill);
  }
}
