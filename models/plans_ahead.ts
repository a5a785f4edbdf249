import { moduleBeside } from "../base/mod.ts";
import type {
  ConnectionPlan,
  CoverModel,
  EpisodePlan,
  ModelDescription,
  SessionPlan,
} from "./cover_model.ts";
import type { WorkerPlan, WorkerStart, WorkerWish } from "./model_worker.ts";
import { LocalPlans, type PlanSource } from "./plans.ts";
import { modelFromFile } from "./registry.ts";

/** Plans drawn by a worker that have not been taken yet, of one session. */
interface Ahead {
  /** All serials below this one have been asked for. */
  asked: number;
  readonly plans: Map<number, ConnectionPlan>;
}

/**
 * Draws connections ahead in a worker, so that the network loop only takes them. The plans are those of
 * {@linkcode LocalPlans} with the same model and seed, whatever the worker's pace: one that is not
 * there yet is drawn on the spot.
 *
 * @example
 * ```ts
 * import { PlansAhead } from "./plans_ahead.ts";
 * import { loadModelText } from "./registry.ts";
 * using plans = new PlansAhead(await loadModelText("constant-rate"), new Uint8Array(32));
 * if (plans.connection(0, 0).exchanges.length !== 10) throw new Error("not the model's");
 * ```
 */
export class PlansAhead implements PlanSource, Disposable {
  readonly #local: LocalPlans;
  readonly #worker: Worker;
  readonly #depth: number;
  readonly #sessions = new Map<number, Ahead>();

  /**
   * Plans of the model file `text` under `seed` (32 bytes); `ahead` connections of each session are
   * drawn before they are asked for. Whoever has read the file already gives its `model`: that takes tens of
   * milliseconds.
   *
   * @throws ModelFileError where the text is no valid model file.
   */
  constructor(
    text: string,
    seed: Uint8Array,
    options: { ahead?: number; model?: CoverModel } = {},
  ) {
    this.#local = new LocalPlans(options.model ?? modelFromFile(text), seed);
    this.#depth = options.ahead ?? 4;
    this.#worker = new Worker(moduleBeside("./model_worker", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }: MessageEvent<WorkerPlan>) => {
      this.#sessions.get(data.session)?.plans.set(data.serial, data.plan);
    };
    this.#worker.onerror = (event) => {
      // What the worker cannot draw is drawn here, where an error reaches the caller.
      event.preventDefault();
      this.#sessions.clear();
    };
    this.#worker.postMessage({ text, seed } satisfies WorkerStart);
  }

  /** The model that the plans are drawn from. */
  get description(): ModelDescription {
    return this.#local.description;
  }

  /** Kinds that connections may be asked for, if the model names any. */
  get kinds(): readonly string[] {
    return this.#local.kinds;
  }

  /** The plan of a session, or undefined where the model has no session layer. */
  session(session: number): SessionPlan | undefined {
    return this.#local.session(session);
  }

  /** The plan of an episode, or undefined where the model has no episode layer. */
  episode(session: number, serial: number, empty?: number): EpisodePlan | undefined {
    return this.#local.episode(session, serial, empty);
  }

  /** The gap after a connection, for models without an episode layer. */
  connectionGap(session: number, serial: number): number | "close" {
    return this.#local.connectionGap(session, serial);
  }

  /** The plan of a connection; those after it are then drawn ahead. */
  connection(session: number, serial: number, attempt = 0, kind?: string): ConnectionPlan {
    if (attempt > 0 || kind !== undefined) {
      return this.#local.connection(session, serial, attempt, kind);
    }
    let ahead = this.#sessions.get(session);
    if (ahead === undefined) {
      ahead = { asked: serial + 1, plans: new Map() };
      this.#sessions.set(session, ahead);
    }
    const plan = ahead.plans.get(serial) ?? this.#local.connection(session, serial);
    for (const other of ahead.plans.keys()) if (other <= serial) ahead.plans.delete(other);
    const from = Math.max(ahead.asked, serial + 1);
    const to = serial + 1 + this.#depth;
    if (from < to) {
      ahead.asked = to;
      this.#worker.postMessage({ session, from, to } satisfies WorkerWish);
    }
    return plan;
  }

  /** Forgets what was drawn ahead for a session that is over. */
  forget(session: number): void {
    this.#sessions.delete(session);
  }

  /** Stops the worker. */
  [Symbol.dispose](): void {
    this.#worker.terminate();
    this.#sessions.clear();
  }
}
