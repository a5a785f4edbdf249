import type {
  ConnectionPlan,
  CoverModel,
  EpisodePlan,
  ModelDescription,
  SessionPlan,
} from "./cover_model.ts";
import { SeededRandom, substream } from "./random.ts";

/**
 * Where playback takes its plans from. Every answer depends on nothing but the model, the source's seed
 * and the arguments: asking twice, in another order or at the other end of a tunnel gives the same plan.
 */
export interface PlanSource {
  /** The model that the plans are drawn from. */
  readonly description: ModelDescription;
  /** Kinds that connections may be asked for, if the model names any. */
  readonly kinds?: readonly string[];
  /** The plan of session `session` (from 0), or undefined where the model has no session layer. */
  session(session: number): SessionPlan | undefined;
  /** Episode `episode` (from 0) of a session, or undefined where the model has no episode layer. */
  episode(session: number, episode: number): EpisodePlan | undefined;
  /**
   * Without an episode layer: milliseconds from the start of connection `serial` of the session to the
   * start of the next, or `"close"`: when it has closed.
   */
  connectionGap(session: number, serial: number): number | "close";
  /**
   * Connection `serial` (from 0, counting on over the session's episodes). `attempt` counts the redraws
   * of a connection whose first message was too small for the proof: each attempt is another plan. `kind` is
   * one of {@linkcode PlanSource.kinds}, or absent for the model's own mixture.
   */
  connection(session: number, serial: number, attempt?: number, kind?: string): ConnectionPlan;
}

/**
 * Draws plans here and now, from substreams of one 32-byte seed:
 *
 * | plan | path of the substream |
 * |---|---|
 * | session | `"session", session` |
 * | episode | `"episode", session, episode` |
 * | gap after a connection | `"gap", session, serial` |
 * | connection | `"connection", session, serial, attempt` |
 * | connection of a kind | `"connection", session, serial, attempt, kind` |
 *
 * @example
 * ```ts
 * import { ConstantRate } from "./constant_rate.ts";
 * import { LocalPlans } from "./plans.ts";
 * const seed = new Uint8Array(32);
 * const here = new LocalPlans(new ConstantRate(), seed).connection(0, 3);
 * const there = new LocalPlans(new ConstantRate(), seed).connection(0, 3);
 * if (JSON.stringify(here) !== JSON.stringify(there)) throw new Error("both ends draw alike");
 * ```
 */
export class LocalPlans implements PlanSource {
  readonly #model: CoverModel;
  readonly #seed: Uint8Array;

  /** Plans of `model` under `seed` (32 bytes, copied). */
  constructor(model: CoverModel, seed: Uint8Array) {
    if (seed.length !== 32) throw new RangeError(`a seed has 32 bytes, not ${seed.length}`);
    this.#model = model;
    this.#seed = seed.slice();
  }

  /** The model that the plans are drawn from. */
  get description(): ModelDescription {
    return this.#model.description;
  }

  /** Kinds that connections may be asked for, if the model names any. */
  get kinds(): readonly string[] {
    return this.#model.kinds ?? [];
  }

  #random(...path: (string | number)[]): SeededRandom {
    return new SeededRandom(substream(this.#seed, ...path));
  }

  /** The plan of a session, or undefined where the model has no session layer. */
  session(session: number): SessionPlan | undefined {
    return this.#model.session(this.#random("session", session));
  }

  /** The plan of an episode, or undefined where the model has no episode layer. */
  episode(session: number, episode: number): EpisodePlan | undefined {
    return this.#model.episode(this.#random("episode", session, episode));
  }

  /** The gap after a connection, for models without an episode layer. */
  connectionGap(session: number, serial: number): number | "close" {
    return this.#model.connectionGap(this.#random("gap", session, serial));
  }

  /** The plan of a connection. */
  connection(session: number, serial: number, attempt = 0, kind?: string): ConnectionPlan {
    const path = kind === undefined ? [session, serial, attempt] : [session, serial, attempt, kind];
    return this.#model.connection(this.#random("connection", ...path), kind);
  }
}
