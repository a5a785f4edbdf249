import { moduleBeside } from "../../base/mod.ts";
import {
  type BlockingAnswer,
  type BlockingCall,
  type BlockingPost,
  LENGTH,
  TURN,
  WORDS,
} from "./blocking_side.ts";
import type { Fields } from "./codec.ts";
import { PluginError } from "./errors.ts";
import {
  type CallLimits,
  DEFAULT_LIMITS,
  type PluginManifest,
  runnerModule,
  type SandboxLimits,
} from "./sandbox.ts";
import type { PluginSource } from "./source.ts";

/** Milliseconds beyond a call's own deadline that its answer may take from thread to thread. */
const GRACE = 2000;
/** Bytes that an answer may have. */
const ROOM = 1 << 21;

/**
 * A sandboxed plugin that can be asked synchronously, for those who cannot wait: a worker of ours holds the
 * process, and this thread sleeps until the answer is there or the deadline has passed. What is asked for
 * ahead ({@linkcode BlockingPlugin.ahead}) costs no sleep.
 */
export class BlockingPlugin implements Disposable {
  readonly #source: PluginSource;
  readonly #worker: Worker;
  readonly #shared = new SharedArrayBuffer(WORDS + ROOM);
  readonly #words = new Int32Array(this.#shared, 0, 2);
  readonly #waiting = new Map<number, (answer: BlockingAnswer) => void>();
  #last = 0;
  #closed = false;
  #manifest: PluginManifest = { values: {}, methods: [] };

  private constructor(source: PluginSource) {
    this.#source = source;
    const module = moduleBeside("./blocking_worker", import.meta.url);
    this.#worker = new Worker(module, { type: "module", name: "plugin" });
  }

  /**
   * Starts the worker and the plugin's process.
   *
   * @throws {PluginError} if the plugin does not load.
   */
  static async start(
    source: PluginSource,
    limits: SandboxLimits = DEFAULT_LIMITS,
  ): Promise<BlockingPlugin> {
    const runner = await runnerModule();
    const plugin = new BlockingPlugin(source);
    const { promise, resolve, reject } = Promise.withResolvers<PluginManifest>();
    plugin.#worker.onmessage = ({ data }: MessageEvent<BlockingPost>) => {
      if (data.what === "ready") return resolve(data.manifest);
      if (data.id === 0) {
        const { fault, said } = data.answer as Exclude<BlockingAnswer, { value: unknown }>;
        return reject(new PluginError(source.specifier, fault, said));
      }
      plugin.#waiting.get(data.id)?.(data.answer);
      plugin.#waiting.delete(data.id);
    };
    plugin.#worker.onerror = (event) => {
      event.preventDefault();
      reject(new PluginError(source.specifier, "sandbox", event.message));
    };
    plugin.#post({ what: "start", source, limits, runner, shared: plugin.#shared });
    try {
      plugin.#manifest = await promise;
      return plugin;
    } catch (error) {
      plugin.#worker.terminate();
      throw error;
    }
  }

  /** What its default export holds. */
  get manifest(): PluginManifest {
    return this.#manifest;
  }

  /**
   * Calls a method that draws, and sleeps until it has answered; nothing about the answer has been checked.
   *
   * @throws {PluginError} if it throws or had to be killed; in the latter case every later call fails as well.
   */
  call(method: string, args: Fields, limits: CallLimits): unknown {
    this.#refuseIfClosed();
    const id = ++this.#last;
    this.#post({ what: "call", id, method, args, limits, waited: true });
    // What was asked for ahead is answered first; each of these has a deadline of its own.
    const patience = (limits.deadline + GRACE) * (1 + this.#waiting.size);
    return this.#opened(this.#await(id, method, patience));
  }

  /** Asks without waiting; `then` is told the answer, if there is one. An error is kept for who asks again. */
  ahead(method: string, args: Fields, limits: CallLimits, then: (value: unknown) => void): void {
    if (this.#closed) return;
    const id = ++this.#last;
    this.#waiting.set(id, (answer) => {
      if ("value" in answer) then(answer.value);
    });
    this.#post({ what: "call", id, method, args, limits, waited: false });
  }

  /** Kills the process and waits for that. */
  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    const id = ++this.#last;
    this.#post({ what: "close", id });
    try {
      this.#await(id, "closing", GRACE);
    } catch {
      // A call is under way: its own deadline, or the limit on processor time, ends the process.
    }
    this.#worker.terminate();
  }

  #refuseIfClosed(): void {
    if (this.#closed) throw new PluginError(this.#source.specifier, "exited", "was closed");
  }

  #post(call: BlockingCall): void {
    this.#worker.postMessage(call);
  }

  #await(id: number, method: string, patience: number): BlockingAnswer {
    const until = performance.now() + patience;
    for (let turn = Atomics.load(this.#words, TURN); turn !== id;) {
      const left = until - performance.now();
      if (left <= 0) {
        throw new PluginError(this.#source.specifier, "deadline", `${method} was never answered`);
      }
      Atomics.wait(this.#words, TURN, turn, left);
      turn = Atomics.load(this.#words, TURN);
    }
    const length = Atomics.load(this.#words, LENGTH);
    if (length < 0) {
      throw new PluginError(this.#source.specifier, "output", `${method} answered too much`);
    }
    // A copy: text is not decoded from shared memory.
    const bytes = new Uint8Array(this.#shared, WORDS, length).slice();
    return JSON.parse(new TextDecoder().decode(new Uint8Array(bytes))) as BlockingAnswer;
  }

  #opened(answer: BlockingAnswer): unknown {
    if ("value" in answer) return answer.value;
    throw new PluginError(this.#source.specifier, answer.fault, answer.said);
  }
}
