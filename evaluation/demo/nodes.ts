import { UserError } from "../../base/mod.ts";
import type { WireEvent } from "../../playback/wire_log.ts";

/** A node of the demo ended, or did not start. */
export class NodeFailed extends UserError {
  /** `node` is what it was to be, `words` what it said. */
  constructor(readonly node: string, words: string) {
    super(`the demo's ${node} failed: ${words.trim().split("\n").at(-1) || "it said nothing"}`);
  }
}

/** A tm-client or tm-server in a process of its own. */
export class Node {
  readonly #child: Deno.ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #errors: Promise<string>;

  /**
   * Starts `cli/main.ts` with `args`, allowed to reach loopback, to use OpenSSL, to read the package and `readable`, and
   * to write in `folder`.
   */
  constructor(
    readonly name: string,
    args: readonly string[],
    folder: string,
    readable: readonly string[],
  ) {
    const root = decodeURIComponent(new URL("../../", import.meta.url).pathname);
    this.#child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--quiet",
        "--no-prompt",
        "--allow-net=127.0.0.1",
        "--allow-ffi",
        `--allow-read=${[root, ...readable].join(",")}`,
        `--allow-write=${folder}`,
        "--allow-env=NO_COLOR,FORCE_COLOR,CLICOLOR_FORCE",
        `${root}cli/main.ts`,
        ...args,
      ],
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#lines = linesOf(this.#child.stdout)[Symbol.asyncIterator]();
    this.#errors = new Response(this.#child.stderr).text();
  }

  /** The next line that it prints. */
  async line(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done) throw new NodeFailed(this.name, await this.#errors);
    return value;
  }

  /** Asks it to end, and waits; after `patience` milliseconds it is killed. */
  async stop(patience = 8000): Promise<void> {
    this.#signal("SIGTERM");
    const timer = setTimeout(() => this.#signal("SIGKILL"), patience);
    while (!(await this.#lines.next()).done);
    await this.#errors;
    await this.#child.status;
    clearTimeout(timer);
  }

  #signal(signal: Deno.Signal): void {
    try {
      this.#child.kill(signal);
    } catch {
      // It has ended by itself.
    }
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
}

/** Reads the wire log that a node wrote. */
export async function readWireLog(path: string): Promise<WireEvent[]> {
  const text = await Deno.readTextFile(path);
  const lines = text.split("\n");
  lines.pop();
  return lines.map((line) => JSON.parse(line) as WireEvent);
}
