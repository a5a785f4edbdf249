import type { Fields } from "./codec.ts";
import { PluginError, type PluginFault } from "./errors.ts";
import {
  type CallLimits,
  type PluginManifest,
  SandboxedPlugin,
  type SandboxLimits,
} from "./sandbox.ts";
import type { PluginSource } from "./source.ts";

/** Index of the word that tells whose answer lies in the shared bytes. */
export const TURN = 0;
/** Index of the word that tells how long it is. */
export const LENGTH = 1;
/** Bytes of the two words. */
export const WORDS = 8;

/** What a {@linkcode BlockingPlugin} tells its worker. */
export type BlockingCall =
  | {
    readonly what: "start";
    readonly source: PluginSource;
    readonly limits: SandboxLimits;
    /** The runner, made once in the thread that waits. */
    readonly runner: string;
    readonly shared: SharedArrayBuffer;
  }
  | {
    readonly what: "call";
    /** Number of the call, from 1. */
    readonly id: number;
    readonly method: string;
    readonly args: Fields;
    readonly limits: CallLimits;
    /** Whether the answer is waited for at the shared bytes; else it is posted. */
    readonly waited: boolean;
  }
  | { readonly what: "close"; readonly id: number };

/** How a call ended. */
export type BlockingAnswer =
  | { readonly value: unknown }
  | { readonly fault: PluginFault; readonly said: string };

/** What the worker posts. */
export type BlockingPost =
  | { readonly what: "ready"; readonly manifest: PluginManifest }
  | { readonly what: "answer"; readonly id: number; readonly answer: BlockingAnswer };

interface WorkerScope {
  onmessage: (event: MessageEvent<BlockingCall>) => void;
  postMessage(message: BlockingPost): void;
}

/** Serves one {@linkcode BlockingPlugin} from inside a worker. */
export function serveBlocking(): void {
  const scope = self as unknown as WorkerScope;
  let plugin: SandboxedPlugin | undefined;
  let shared = new SharedArrayBuffer(WORDS);
  let last: Promise<void> = Promise.resolve();

  const show = (id: number, answer: BlockingAnswer) => {
    const text = new TextEncoder().encode(JSON.stringify(answer));
    const words = new Int32Array(shared, 0, 2);
    // Credit bounds what the plugin sent; only escapes can make it longer than there is room for.
    const fits = text.length <= shared.byteLength - WORDS;
    if (fits) new Uint8Array(shared, WORDS).set(text);
    Atomics.store(words, LENGTH, fits ? text.length : -1);
    Atomics.store(words, TURN, id);
    Atomics.notify(words, TURN);
  };

  const failure = (error: unknown): BlockingAnswer => {
    if (!(error instanceof PluginError)) return { fault: "sandbox", said: String(error) };
    return { fault: error.fault, said: error.message.replace(`plugin ${error.plugin}: `, "") };
  };

  const handle = async (data: BlockingCall): Promise<void> => {
    if (data.what === "start") {
      shared = data.shared;
      try {
        plugin = await SandboxedPlugin.start(data.source, data.limits, data.runner);
        scope.postMessage({ what: "ready", manifest: plugin.manifest });
      } catch (error) {
        scope.postMessage({ what: "answer", id: 0, answer: failure(error) });
      }
      return;
    }
    if (data.what === "close") {
      await plugin?.[Symbol.asyncDispose]();
      return show(data.id, { value: null });
    }
    let answer: BlockingAnswer;
    try {
      const { value } = await plugin!.draw(data.method, data.args, data.limits);
      answer = { value };
    } catch (error) {
      answer = failure(error);
    }
    if (data.waited) show(data.id, answer);
    else scope.postMessage({ what: "answer", id: data.id, answer });
  };

  scope.onmessage = ({ data }) => {
    // Whoever closes does not wait for a call that may never end.
    last = data.what === "close" ? handle(data) : last.then(() => handle(data));
  };
}
