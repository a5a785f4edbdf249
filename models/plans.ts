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
  /**
   * The episode of a session that begins with its connection `serial`, or undefined where the model has no episode
   * layer. `empty` counts the episodes before it that would have begun with the same one, since they had none.
   */
  episode(session: number, serial: number, empty?: number): EpisodePlan | undefined;
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

/** Episodes that say what their connections are like end at multiples of so many connections. */
const BLOCK = 256;

/** Blocks that are remembered: what is forgotten is drawn again. */
const MOST_BLOCKS = 64;

/**
 * Draws plans here and now, from substreams of one 32-byte seed:
 *
 * | plan | path of the substream |
 * |---|---|
 * | session | `"session", session` |
 * | episode | `"episode", session, serial of its first connection, empty` |
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
  /** What connections are like, as far as it has been asked for, by session and block. */
  readonly #blocks = new Map<string, (number | null)[]>();
  /** Whether the model's episodes say it. */
  #says = true;
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

  /**
   * The plan of an episode, or undefined where the model has no episode layer. Where it says what its connections are
   * like, it ends before the next multiple of {@linkcode BLOCK}: so that can be found out without all that came before.
   */
  episode(session: number, serial: number, empty = 0): EpisodePlan | undefined {
    const episode = this.#model.episode(this.#random("episode", session, serial, empty));
    const most = BLOCK - serial % BLOCK;
    if (episode?.like === undefined || episode.starts.length <= most) return episode;
    const { ends, like, starts } = episode;
    return {
      ...episode,
      starts: starts.slice(0, most),
      like: like.slice(0, most),
      ...(ends === undefined ? {} : { ends: ends.slice(0, most) }),
    };
  }

  /** The gap after a connection, for models without an episode layer. */
  connectionGap(session: number, serial: number): number | "close" {
    return this.#model.connectionGap(this.#random("gap", session, serial));
  }

  /** The plan of a connection. */
  connection(session: number, serial: number, attempt = 0, kind?: string): ConnectionPlan {
    const path = kind === undefined ? [session, serial, attempt] : [session, serial, attempt, kind];
    const like = attempt === 0 && kind === undefined ? this.#likeOf(session, serial) : undefined;
    return this.#model.connection(this.#random("connection", ...path), kind, like);
  }

  /** What a connection is like, by the episode that it belongs to. */
  #likeOf(session: number, serial: number): number | undefined {
    if (session < 0 || !Number.isSafeInteger(serial + BLOCK) || !this.#says) return undefined;
    const from = serial - serial % BLOCK;
    const name = `${session}/${from}`;
    let block = this.#blocks.get(name);
    if (block === undefined) {
      this.#blocks.set(name, block = []);
      for (const oldest of this.#blocks.keys()) {
        if (this.#blocks.size <= MOST_BLOCKS) break;
        this.#blocks.delete(oldest);
      }
    }
    while (from + block.length <= serial) {
      const like = this.episode(session, from + block.length)?.like;
      if (like === undefined || like.length === 0) {
        this.#says = false;
        return undefined;
      }
      block.push(...like);
    }
    return block[serial - from] ?? undefined;
  }
}
