import { TextLineStream } from "./text_lines.ts";

const ROOT = new URL("../../", import.meta.url);

/** One of our commands, run as a process of its own with the permissions of its task. */
export class CommandProcess {
  readonly #child: Deno.ChildProcess;
  readonly #lines: ReadableStreamDefaultReader<string>;
  /** All of standard error, once it has ended. */
  readonly stderr: Promise<string>;
  /** How it ended. */
  readonly status: Promise<Deno.CommandStatus>;

  constructor(command: string, args: string[]) {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--no-prompt",
        "--no-check",
        "--quiet",
        ...(command === "keygen" ? [] : ["--allow-net", "--allow-ffi"]),
        "--allow-read",
        "--allow-write",
        "--allow-env=NO_COLOR,FORCE_COLOR,CLICOLOR_FORCE",
        "cli/main.ts",
        command,
        ...args,
      ],
      cwd: ROOT,
      env: { NO_COLOR: "1" },
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#lines = this.#child.stdout.pipeThrough(new TextDecoderStream())
      .pipeThrough(new TextLineStream()).getReader();
    this.stderr = new Response(this.#child.stderr).text();
    this.status = this.#child.status;
  }

  /** Its number. */
  get pid(): number {
    return this.#child.pid;
  }

  /** The next line of standard output; throws with standard error if there is none. */
  async line(): Promise<string> {
    const { done, value } = await this.#lines.read();
    if (done) throw new Error(`no more output: ${await this.stderr}`);
    return value;
  }

  /** Sends a signal. */
  kill(signal: Deno.Signal): void {
    this.#child.kill(signal);
  }

  /** Sends SIGTERM and waits for the end; returns the exit code and the rest of standard output. */
  async stop(): Promise<{ code: number; rest: string[] }> {
    try {
      this.#child.kill("SIGTERM");
    } catch {
      // It has ended already.
    }
    return await this.ended();
  }

  /** Waits for the end. */
  async ended(): Promise<{ code: number; rest: string[] }> {
    const rest: string[] = [];
    for (;;) {
      const { done, value } = await this.#lines.read();
      if (done) break;
      rest.push(value);
    }
    await this.stderr;
    return { code: (await this.status).code, rest };
  }
}

/** Runs curl; returns what it wrote, its exit code and what it said. */
export async function curl(
  ...args: string[]
): Promise<{ code: number; body: Uint8Array; error: string }> {
  const { code, stdout, stderr } = await new Deno.Command("curl", {
    args: ["--silent", "--show-error", "--max-time", "30", ...args],
    env: { NO_PROXY: "", no_proxy: "" },
  }).output();
  return { code, body: stdout, error: new TextDecoder().decode(stderr) };
}

/** Whether curl is there. */
export const HAS_CURL = await new Deno.Command("curl", { args: ["--version"], stdout: "null" })
  .output().then(({ success }) => success, () => false);
