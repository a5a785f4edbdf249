import type {
  AttackOptions,
  AttackPlugin,
  LabelledSamples,
  SampleSet,
  TrainingNotes,
  Verdicts,
} from "../attack.ts";
import {
  type AttackLimits,
  type AttackProgram,
  checkNotes,
  checkVerdicts,
  DEFAULT_ATTACK_LIMITS,
  type RunningAttack,
} from "./attack_host.ts";
import { oneLine, PluginError, type PluginFault } from "./errors.ts";

const KEPT_LOG = 8192;
const HELLO_CREDIT = 4096;
const NOTES_CREDIT = 1 << 16;
/** Bytes that one number of an answer may take as text, and its comma. */
const NUMBER_TEXT = 26;

/** What a program of the user's own sees of our environment: enough to find programs, no more. */
const ENVIRONMENT = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  LC_ALL: "C.UTF-8",
  // Thread pools of numerical libraries would each want memory of their own.
  OMP_NUM_THREADS: "1",
  OPENBLAS_NUM_THREADS: "1",
};

/**
 * An attack in any language: a program that the user names, which speaks JSON lines over its standard
 * input and output (docs/writing_an_attack.md). It has the user's rights on files and network, so it runs
 * only where the user asks for it and this process may run programs. Its memory and processor time are
 * bounded by `prlimit`, its answers and its log by size, each call by a deadline, after which it and its
 * own children are killed; what it says is validated as anybody's.
 *
 * @throws {PluginError} from the methods, whatever the program does.
 *
 * @example
 * ```ts
 * import { execAttack } from "./exec_attack.ts";
 * const program = execAttack(["/usr/bin/python3", "attack.py"]);
 * if (program.specifier !== "/usr/bin/python3 attack.py") throw new Error(program.specifier);
 * ```
 */
export function execAttack(
  command: readonly string[],
  limits: AttackLimits = DEFAULT_ATTACK_LIMITS,
): AttackProgram {
  const specifier = command.join(" ");
  return {
    specifier,
    sha256: undefined,
    async start() {
      const program = new Conversation(specifier, await spawn(specifier, command, limits), limits);
      try {
        const greeting = await program.ask(
          { call: "hello", contract: 1 },
          { deadline: limits.sandbox.load, credit: HELLO_CREDIT },
        );
        return new ExternalAttack(specifier, readManifest(specifier, greeting), program, limits);
      } catch (error) {
        await program[Symbol.asyncDispose]();
        throw error;
      }
    },
  };
}

async function spawn(
  specifier: string,
  command: readonly string[],
  { sandbox: { cpu, memory } }: AttackLimits,
): Promise<Deno.ChildProcess> {
  if ((await Deno.permissions.query({ name: "run" })).state !== "granted") {
    throw new PluginError(
      specifier,
      "sandbox",
      "a program of your own has your rights, and this task may not start any: use deno task attack:exec",
    );
  }
  try {
    // A group of its own, so that what it starts is killed with it.
    return new Deno.Command("setsid", {
      args: ["prlimit", `--data=${memory}`, `--cpu=${cpu}`, "--core=0", "--", ...command],
      clearEnv: true,
      env: ENVIRONMENT,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
  } catch (error) {
    throw new PluginError(
      specifier,
      "sandbox",
      "external attacks run only under `setsid` and `prlimit` (Linux, package util-linux)",
      { cause: error },
    );
  }
}

interface Manifest {
  readonly name: string;
  readonly reads: AttackPlugin["reads"];
}

function readManifest(specifier: string, greeting: Record<string, unknown>): Manifest {
  const { name, reads } = greeting;
  if (typeof name !== "string" || !/^[a-z0-9][a-z0-9-]{0,63}$/.test(name)) {
    throw new PluginError(
      specifier,
      "contract",
      "its name is not lower-case letters, digits and -",
    );
  }
  if (reads !== "features" && reads !== "messages" && reads !== "packets") {
    throw new PluginError(
      specifier,
      "contract",
      `it does not say what it reads: "features", "messages" or "packets"`,
    );
  }
  return { name, reads };
}

/** One JSON object out, one JSON object in, in turn. */
class Conversation implements AsyncDisposable {
  readonly #lines: ReadableStreamDefaultReader<Uint8Array>;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #logged: Promise<void>;
  #rest = new Uint8Array(0);
  #log = "";
  #serial = 0;
  #ended: PluginError | undefined;

  constructor(
    readonly specifier: string,
    readonly child: Deno.ChildProcess,
    readonly limits: AttackLimits,
  ) {
    this.#lines = child.stdout.getReader();
    this.#writer = child.stdin.getWriter();
    this.#logged = this.#drainLog();
  }

  /** Says `message` with a serial number, and returns the answer that repeats it. */
  async ask(
    message: Record<string, unknown>,
    { deadline, credit }: { deadline: number; credit: number },
  ): Promise<Record<string, unknown>> {
    if (this.#ended !== undefined) throw this.#ended;
    const serial = ++this.#serial;
    const timer = setTimeout(() => {
      this.#stop("deadline", `${message.call} took longer than ${deadline} ms: killed`);
    }, deadline);
    try {
      const text = new TextEncoder().encode(`${JSON.stringify({ serial, ...message })}\n`);
      const writing = this.#writer.write(text).catch(() => {});
      const line = await this.#line(credit);
      await writing;
      const answer = this.#parse(line);
      if (answer.serial !== serial) {
        throw this.#error("output", "answered a call that was not the last one: killed");
      }
      if (answer.error !== undefined) {
        throw this.#error("threw", `failed in ${message.call}: ${oneLine(String(answer.error))}`);
      }
      return answer;
    } catch (error) {
      if (error instanceof PluginError && error.fault === "threw") throw error;
      this.#ended ??= error as PluginError;
      this.#kill();
      throw this.#ended;
    } finally {
      clearTimeout(timer);
    }
  }

  #parse(line: string): Record<string, unknown> {
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      throw this.#error("output", `wrote a line that is no JSON: ${oneLine(line, 80)}: killed`);
    }
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw this.#error("output", "wrote a line that is no JSON object: killed");
    }
    return value as Record<string, unknown>;
  }

  async #line(credit: number): Promise<string> {
    const parts: Uint8Array[] = [];
    let length = 0;
    for (let chunk = this.#rest;;) {
      const end = chunk.indexOf(0x0a);
      const part = end < 0 ? chunk : chunk.subarray(0, end);
      parts.push(part);
      length += part.length;
      if (length > credit) {
        throw this.#error("output", `wrote a line of more than ${credit} bytes: killed`);
      }
      if (end >= 0) {
        this.#rest = chunk.slice(end + 1);
        break;
      }
      const { value } = await this.#lines.read();
      if (value === undefined) throw await this.#obituary();
      chunk = new Uint8Array(value);
    }
    const bytes = new Uint8Array(length);
    let at = 0;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    return new TextDecoder().decode(bytes);
  }

  async #obituary(): Promise<PluginError> {
    const { code, signal } = await this.child.status;
    await this.#logged;
    if (/MemoryError|out of memory|cannot allocate memory/i.test(this.#log)) {
      const megabytes = Math.round(this.limits.sandbox.memory / 2 ** 20);
      return this.#error("memory", `wanted more than its ${megabytes} MB of memory`);
    }
    if (signal === "SIGKILL" || signal === "SIGXCPU") {
      return this.#error(
        "deadline",
        `used more than its ${this.limits.sandbox.cpu} s of processor time: killed`,
      );
    }
    // Python's last line says what the first ones only lead to.
    const said = oneLine(this.#log.trimEnd().split("\n").at(-1) ?? "", 200);
    return this.#error(
      "exited",
      `ended without an answer (${signal ?? `code ${code}`})${said && `: ${said}`}`,
    );
  }

  async #drainLog(): Promise<void> {
    const decoder = new TextDecoder();
    let total = 0;
    for await (const chunk of this.child.stderr) {
      this.#log = (this.#log + decoder.decode(chunk, { stream: true })).slice(-KEPT_LOG);
      total += chunk.length;
      if (total > this.limits.sandbox.log) {
        this.#stop("output", `wrote more than ${this.limits.sandbox.log} bytes to its log: killed`);
        break;
      }
    }
  }

  #error(fault: PluginFault, what: string): PluginError {
    return new PluginError(this.specifier, fault, what);
  }

  #stop(fault: PluginFault, what: string): void {
    this.#ended ??= this.#error(fault, what);
    this.#kill();
  }

  #kill(): void {
    for (const pid of [-this.child.pid, this.child.pid]) {
      try {
        Deno.kill(pid, "SIGKILL");
      } catch {
        // It has ended, or has not yet become a group of its own.
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop("exited", "was closed");
    await Promise.allSettled([
      this.child.status,
      this.#logged,
      this.#lines.cancel(),
      this.#writer.abort(),
    ]);
  }
}

class ExternalAttack implements RunningAttack {
  readonly name: string;
  readonly reads: AttackPlugin["reads"];
  #labels = 0;

  constructor(
    readonly specifier: string,
    manifest: Manifest,
    readonly program: Conversation,
    readonly limits: AttackLimits,
  ) {
    this.name = manifest.name;
    this.reads = manifest.reads;
  }

  async train(samples: LabelledSamples, { seed, parameters }: AttackOptions) {
    const { labelNames, labels, groupNames, groups } = samples;
    this.#labels = labelNames.length;
    const answer = await this.program.ask({
      call: "train",
      seed,
      parameters,
      samples: {
        ...this.#plain(samples),
        labelNames,
        labels: Array.from(labels),
        groupNames,
        groups: Array.from(groups),
      },
    }, { deadline: this.limits.train, credit: NOTES_CREDIT });
    const notes = answer.notes ?? {};
    if (typeof notes !== "object" || Array.isArray(notes)) {
      throw new PluginError(this.specifier, "answer", "train answered notes that are no object");
    }
    return checkNotes(this.specifier, notes as Record<string, unknown>) as TrainingNotes;
  }

  async classify(samples: SampleSet): Promise<Verdicts> {
    const answer = await this.program.ask(
      { call: "classify", samples: this.#plain(samples) },
      { deadline: this.limits.classify, credit: 1024 + 3 * NUMBER_TEXT * samples.count },
    );
    const numbers = (name: string): number[] => {
      const list = answer[name];
      if (Array.isArray(list) && list.every((item) => typeof item === "number")) return list;
      throw new PluginError(
        this.specifier,
        "answer",
        `classify answered ${name} that are no list of numbers`,
      );
    };
    const labels = numbers("labels");
    if (!labels.every(Number.isInteger)) {
      throw new PluginError(
        this.specifier,
        "answer",
        "classify answered labels that are no integers",
      );
    }
    const verdicts = {
      labels: Int32Array.from(labels),
      confidence: Float64Array.from(numbers("confidence")),
      anomaly: Float64Array.from(numbers("anomaly")),
    };
    return checkVerdicts(this.specifier, verdicts, samples.count, this.#labels);
  }

  /** Rows and sequences as lists of lists: what other languages read at once. */
  #plain({ count, featureNames, features, offsets, sizes, times }: SampleSet) {
    const width = featureNames.length;
    const rows = Array.from(
      { length: count },
      (_, i) => Array.from(features.subarray(i * width, (i + 1) * width)),
    );
    if (this.reads === "features") return { count, featureNames, features: rows };
    const sequences = (column: Float64Array) =>
      rows.map((_, i) => Array.from(column.subarray(offsets[i]!, offsets[i + 1]!)));
    return {
      count,
      featureNames,
      features: rows,
      sizes: sequences(sizes),
      times: sequences(times),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program[Symbol.asyncDispose]();
  }
}
