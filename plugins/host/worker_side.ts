import type { AttackOptions, AttackPlugin, LabelledSamples, SampleSet } from "../attack.ts";

/** What the host asks of a worker. */
export type WorkerCall =
  | { readonly method: "load"; readonly name: string }
  | {
    readonly method: "train";
    readonly samples: LabelledSamples;
    readonly options: AttackOptions;
  }
  | { readonly method: "classify"; readonly samples: SampleSet };

/** What a worker answers, one answer a call. */
export type WorkerAnswer =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly message: string };

/** How each of our own attacks is loaded, by name. */
export type AttackTable = Readonly<Record<string, () => Promise<{ default: AttackPlugin }>>>;

/** The part of a worker's global scope that is used here. */
interface WorkerScope {
  onmessage: (event: MessageEvent<WorkerCall>) => void;
  postMessage(answer: WorkerAnswer): void;
}

/** Serves one attack of `table` from inside a worker. */
export function serveAttacks(table: AttackTable): void {
  let plugin: AttackPlugin | undefined;
  const run = async (call: WorkerCall): Promise<unknown> => {
    if (call.method === "load") {
      const load = table[call.name];
      if (load === undefined) throw new Error(`no attack ${call.name}`);
      plugin = (await load()).default;
      return { reads: plugin.reads };
    }
    if (plugin === undefined) throw new Error("nothing is loaded");
    return call.method === "train"
      ? await plugin.train(call.samples, call.options)
      : await plugin.classify(call.samples);
  };
  const scope = self as unknown as WorkerScope;
  scope.onmessage = async (event) => {
    let answer: WorkerAnswer;
    try {
      answer = { ok: true, value: await run(event.data) };
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      answer = { ok: false, message };
    }
    scope.postMessage(answer);
  };
}
