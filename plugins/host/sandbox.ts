import { moduleBeside } from "../../base/mod.ts";
import { type Column, decodeFields, encodeFields, type Fields, type Plain } from "./codec.ts";
import { oneLine, PluginError, type PluginFault } from "./errors.ts";
import { FRAME, type Frame, frameHead, type FrameKind, FrameReader } from "./frames.ts";
import { bundleModule, type PluginSource } from "./source.ts";

/** What a plugin's process may use before it is killed. */
export interface SandboxLimits {
  /** Bytes of private memory (`prlimit --data`), of which the runtime itself takes about 500 MB. */
  readonly memory: number;
  /** Seconds of processor time over its whole life (`prlimit --cpu`). */
  readonly cpu: number;
  /** Milliseconds from its start to its being loaded. */
  readonly load: number;
  /** Bytes that it may write to standard error; beyond {@linkcode SandboxLimits.log} it is killed. */
  readonly log: number;
}

/** Room for training on tens of thousands of samples, and no more. */
export const DEFAULT_LIMITS: SandboxLimits = {
  memory: 2 ** 31,
  cpu: 600,
  load: 10_000,
  log: 1 << 20,
};

/** What a plugin's default export holds, as it says itself: plain values and names of methods. */
export interface PluginManifest {
  /** Its strings, numbers and booleans. */
  readonly values: Readonly<Record<string, unknown>>;
  /** Names of its functions. */
  readonly methods: readonly string[];
}

/** What bounds one call. */
export interface CallLimits {
  /** Milliseconds until the plugin is killed. */
  readonly deadline: number;
  /** Bytes that the answer may have. */
  readonly credit: number;
}

const KEPT_LOG = 8192;
/** What the engine throws, rather than die of, where memory outside the heap is refused. */
const OUT_OF_MEMORY = /Array buffer allocation failed|WebAssembly\.Memory\(\): could not allocate/;
const FAILURE_CREDIT = 8192;

/**
 * Somebody else's code in a child process of its own: `prlimit deno run` without any permission, with
 * no environment but a cache folder that cannot exist, files of size 0 only, and its source handed over
 * on standard input. Everything it says is decoded as untrusted; whatever it should not do ends it.
 *
 * One call at a time.
 */
export class SandboxedPlugin implements AsyncDisposable {
  readonly #source: PluginSource;
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #stdout: ReadableStreamDefaultReader<Uint8Array>;
  readonly #frames: FrameReader;
  readonly #limits: SandboxLimits;
  readonly #logged: Promise<void>;
  #log = "";
  #serial = 0;
  #ended: PluginError | undefined;
  #manifest: PluginManifest = { values: {}, methods: [] };

  private constructor(source: PluginSource, limits: SandboxLimits, child: Deno.ChildProcess) {
    this.#source = source;
    this.#limits = limits;
    this.#child = child;
    this.#writer = child.stdin.getWriter();
    this.#stdout = child.stdout.getReader();
    this.#frames = new FrameReader(async () => (await this.#stdout.read()).value);
    this.#logged = this.#drainLog();
  }

  /**
   * Starts a process and loads `source` in it. `runner` is what {@linkcode runnerModule} made, if another
   * thread has it already.
   *
   * @throws {PluginError} if the sandbox cannot be made or the source does not load.
   */
  static async start(
    source: PluginSource,
    limits: SandboxLimits = DEFAULT_LIMITS,
    runner?: string,
  ): Promise<SandboxedPlugin> {
    const child = spawn(source, limits, runner ?? await runnerModule());
    const plugin = new SandboxedPlugin(source, limits, child);
    try {
      const ready = await plugin.#exchange("loading", FRAME.source, source.code, {
        deadline: limits.load,
        credit: 1 << 16,
      }, FRAME.ready);
      plugin.#manifest = readManifest(ready) ??
        await plugin.#end("contract", "its default export cannot be read");
      return plugin;
    } catch (error) {
      await plugin[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** What its default export holds. */
  get manifest(): PluginManifest {
    return this.#manifest;
  }

  /** The process id, for those who watch it. */
  get pid(): number {
    return this.#child.pid;
  }

  /**
   * Calls a method of the default export with `args` and returns what it answered: plain values and
   * typed arrays, nothing about which has been checked.
   *
   * @throws {PluginError} if it throws, or if it had to be killed; then every later call fails as well.
   */
  async call(
    method: string,
    args: readonly Fields[],
    limits: CallLimits,
  ): Promise<Record<string, Plain | Column>> {
    const fields: Record<string, Plain | Column> = { method, credit: limits.credit };
    args.forEach((arg, index) => {
      for (const [name, value] of Object.entries(arg)) fields[`${index}.${name}`] = value;
    });
    return await this.#exchange(method, FRAME.call, encodeFields(fields), limits, FRAME.answer);
  }

  /**
   * Calls a method that draws: it is handed the randomness of `args.key` (32 bytes), and `args.kind` and
   * `args.like` if they are given; whatever plain value it returns is the answer's `value`.
   *
   * @throws {PluginError} as {@linkcode SandboxedPlugin.call} does.
   */
  async draw(
    method: string,
    args: Fields,
    limits: CallLimits,
  ): Promise<Record<string, Plain | Column>> {
    const fields = { ...args, method, credit: limits.credit };
    return await this.#exchange(method, FRAME.call, encodeFields(fields), limits, FRAME.answer);
  }

  /** Kills the process if it still runs, and waits until it has ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended ??= this.#error("exited", "was closed");
    this.#kill();
    await Promise.allSettled([
      this.#child.status,
      this.#logged,
      this.#stdout.cancel(),
      this.#writer.abort(),
    ]);
  }

  async #exchange(
    doing: string,
    kind: FrameKind,
    payload: Uint8Array<ArrayBuffer>,
    limits: CallLimits,
    wanted: FrameKind,
  ): Promise<Record<string, Plain | Column>> {
    if (this.#ended !== undefined) throw this.#ended;
    const serial = ++this.#serial;
    const timer = setTimeout(() => {
      this.#ended ??= this.#error(
        "deadline",
        `${doing} took longer than ${limits.deadline} ms: killed`,
      );
      this.#kill();
    }, limits.deadline);
    try {
      const writing = this.#write(kind, serial, payload);
      const frame = await this.#answer(limits.credit);
      await writing;
      if (frame.serial !== serial || (frame.kind !== wanted && frame.kind !== FRAME.failure)) {
        throw this.#error("output", "wrote to its standard output, which is not its own: killed");
      }
      const fields = decodeFields(frame.payload);
      if (frame.kind === FRAME.failure) {
        const message = String(fields.message);
        if (OUT_OF_MEMORY.test(message)) throw this.#outOfMemory();
        throw this.#error("threw", `failed in ${doing}: ${excuse(message)}`);
      }
      return fields;
    } catch (error) {
      if (this.#ended !== undefined) throw this.#ended;
      if (error instanceof PluginError && error.fault === "threw") throw error;
      return await this.#end(
        error instanceof PluginError ? error.fault : "output",
        error instanceof PluginError
          ? error
          : `its output is not what was agreed (${oneLine(String(error))}): killed`,
      );
    } finally {
      clearTimeout(timer);
    }
  }

  async #write(kind: FrameKind, serial: number, payload: Uint8Array<ArrayBuffer>): Promise<void> {
    try {
      await this.#writer.write(frameHead(kind, serial, payload.length));
      await this.#writer.write(payload);
    } catch {
      // The pipe broke because the process ended: the reading side tells how.
    }
  }

  async #answer(credit: number): Promise<Frame> {
    const frame = await this.#frames.read(Math.max(credit, FAILURE_CREDIT)).catch(async (error) => {
      // A stream cut inside a frame is the mark of a process that died: say how it died.
      if (await this.#isOver()) return undefined;
      throw error;
    });
    if (frame !== undefined) return frame;
    const status = await this.#child.status;
    await this.#logged;
    throw this.#obituary(status);
  }

  /** True if the process ended by itself, or ends within a moment. */
  async #isOver(): Promise<boolean> {
    const { promise: patience, resolve } = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => resolve(false), 200);
    const over = await Promise.race([this.#child.status.then(() => true), patience]);
    clearTimeout(timer);
    return over;
  }

  /** Says of a process that ended by itself why it did. */
  #obituary(status: Deno.CommandStatus): PluginError {
    const log = this.#log;
    if (/out of memory|heap limit|allocation failed|memory allocation of \d+/i.test(log)) {
      return this.#outOfMemory();
    }
    if (status.signal === "SIGKILL" || status.signal === "SIGXCPU") {
      return this.#error(
        "deadline",
        `used more than its ${this.#limits.cpu} s of processor time: killed`,
      );
    }
    const how = status.signal === null ? `code ${status.code}` : status.signal;
    const said = oneLine(log.replace(/^error: /m, ""), 200);
    return this.#error(
      "exited",
      `ended without an answer (${how})${said === "" ? "" : `: ${said}`}`,
    );
  }

  #outOfMemory(): PluginError {
    const megabytes = Math.round(this.#limits.memory / 2 ** 20);
    return this.#error("memory", `wanted more than its ${megabytes} MB of memory: killed`);
  }

  async #drainLog(): Promise<void> {
    const decoder = new TextDecoder();
    let total = 0;
    for await (const chunk of this.#child.stderr) {
      if (total < KEPT_LOG) this.#log += decoder.decode(chunk.subarray(0, KEPT_LOG - total));
      total += chunk.length;
      if (total > this.#limits.log) {
        this.#ended ??= this.#error(
          "output",
          `wrote more than ${this.#limits.log} bytes to its log: killed`,
        );
        this.#kill();
        break;
      }
    }
  }

  #error(fault: PluginFault, what: string): PluginError {
    return new PluginError(this.#source.specifier, fault, what);
  }

  async #end(fault: PluginFault, what: string | PluginError): Promise<never> {
    this.#ended ??= typeof what === "string" ? this.#error(fault, what) : what;
    this.#kill();
    await this.#child.status;
    throw this.#ended;
  }

  #kill(): void {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended already.
    }
  }
}

let runner: Promise<string> | undefined;

/**
 * The runner as a `data:` module, made once: as JavaScript it starts in a tenth of the time that the
 * child, which may keep no cache, would need to strip its types.
 */
export function runnerModule(): Promise<string> {
  const module = moduleBeside("./runner", import.meta.url);
  // In a build it is a bundle already.
  runner ??=
    (module.pathname.endsWith(".js")
      ? Deno.readFile(module)
      : bundleModule("runner", ["--minify", module.href]))
      .then((code) => `data:application/javascript;base64,${code.toBase64()}`);
  return runner;
}

function spawn(source: PluginSource, limits: SandboxLimits, runner: string): Deno.ChildProcess {
  try {
    return new Deno.Command("prlimit", {
      args: [
        `--data=${limits.memory}`,
        `--cpu=${limits.cpu}`,
        "--core=0",
        // Without this the runtime's own storage (localStorage, caches) could grow on the disk.
        "--fsize=0",
        Deno.execPath(),
        "run",
        "--quiet",
        "--no-prompt",
        "--no-remote",
        "--no-npm",
        "--no-config",
        "--no-lock",
        "--no-code-cache",
        runner,
      ],
      clearEnv: true,
      // The runtime wants a folder of its own: one that cannot exist.
      env: { DENO_DIR: "/dev/null", NO_COLOR: "1" },
      cwd: "/",
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotCapable) {
      throw new PluginError(
        source.specifier,
        "sandbox",
        "plugins by others run only under `prlimit` (Linux, package util-linux), which was not found",
        { cause: error },
      );
    }
    throw error;
  }
}

/** What a plugin threw, without advice that is not meant for its user. */
function excuse(message: string): string {
  const denied = /Requires (.+?) access( to [^,]+)?, run again/.exec(message);
  if (denied !== null) {
    const what = oneLine(denied[2] ?? "", 120);
    return `it asked for ${denied[1]} access${what && ` ${what}`}, and plugins get none`;
  }
  return oneLine(message);
}

function readManifest(fields: Record<string, Plain | Column>): PluginManifest | undefined {
  const { values, methods } = fields;
  if (typeof values !== "object" || values === null || !Array.isArray(methods)) return undefined;
  if (!methods.every((name) => typeof name === "string")) return undefined;
  return { values: values as Record<string, unknown>, methods: methods as string[] };
}
