import type {
  AttackOptions,
  AttackPlugin,
  LabelledSamples,
  SampleSet,
  TrainingNotes,
  Verdicts,
} from "../attack.ts";
import { checkNotes, checkVerdicts, type RunningAttack, samplesOnly } from "./attack_host.ts";
import { oneLine, PluginError } from "./errors.ts";
import type { WorkerAnswer, WorkerCall } from "./worker_side.ts";

/**
 * Starts one of our own attacks in a worker, whose module calls {@linkcode serveAttacks}. The same
 * checks apply as for anybody else's, the sandbox does not.
 *
 * @throws {PluginError} if the worker's module does not load.
 */
export async function startInWorker(name: string, module: URL): Promise<RunningAttack> {
  const attack = new WorkerAttack(name, new Worker(module, { type: "module", name }));
  try {
    const manifest = await attack.ask({ method: "load", name });
    return attack.loaded(manifest as { reads: AttackPlugin["reads"] });
  } catch (error) {
    await attack[Symbol.asyncDispose]();
    throw error;
  }
}

class WorkerAttack implements RunningAttack {
  #reads: AttackPlugin["reads"] = "features";
  #labels = 0;
  #waiting: PromiseWithResolvers<unknown> | undefined;

  constructor(readonly name: string, readonly worker: Worker) {
    worker.onmessage = (event: MessageEvent<WorkerAnswer>) => {
      const answer = event.data;
      if (answer.ok) this.#waiting?.resolve(answer.value);
      else this.#waiting?.reject(new PluginError(name, "threw", oneLine(answer.message)));
    };
    worker.onerror = (event) => {
      event.preventDefault();
      this.#waiting?.reject(new PluginError(name, "exited", oneLine(event.message)));
    };
  }

  get reads(): AttackPlugin["reads"] {
    return this.#reads;
  }

  loaded(manifest: { reads: AttackPlugin["reads"] }): this {
    this.#reads = manifest.reads;
    return this;
  }

  async ask(call: WorkerCall): Promise<unknown> {
    this.#waiting = Promise.withResolvers();
    this.worker.postMessage(call);
    return await this.#waiting.promise;
  }

  async train(samples: LabelledSamples, options: AttackOptions): Promise<TrainingNotes> {
    this.#labels = samples.labelNames.length;
    const notes = await this.ask({ method: "train", samples, options });
    return checkNotes(this.name, notes as Record<string, unknown>);
  }

  async classify(samples: SampleSet): Promise<Verdicts> {
    const seen = samplesOnly(samples) as unknown as SampleSet;
    const verdicts = await this.ask({ method: "classify", samples: seen });
    return checkVerdicts(
      this.name,
      verdicts as Record<string, unknown>,
      samples.count,
      this.#labels,
    );
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.worker.terminate();
    return Promise.resolve();
  }
}
