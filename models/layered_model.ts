import type {
  ConnectionPlan,
  CoverModel,
  EpisodePlan,
  ModelDescription,
  SessionPlan,
} from "./cover_model.ts";
import { drawConnectionGap, drawEpisode, drawSession, type Layers } from "./layers.ts";
import type { Random } from "./random.ts";

/** A model whose sessions, episodes and gaps are drawn from learned layers; what a connection plays is its own matter. */
export abstract class LayeredModel implements CoverModel {
  readonly #layers: Layers;

  /** A model over `layers`. */
  protected constructor(layers: Layers, readonly description: ModelDescription) {
    this.#layers = layers;
  }

  /** Connections of one client that were open at once, at most. */
  get mostOpen(): number | undefined {
    return this.#layers.open;
  }

  /** One session; undefined where the captures showed none. */
  session(random: Random): SessionPlan | undefined {
    return drawSession(this.#layers, random);
  }

  /** One episode; undefined where the captures showed none. */
  episode(random: Random): EpisodePlan | undefined {
    return drawEpisode(this.#layers, random);
  }

  /** The gap after a connection. */
  connectionGap(random: Random): number | "close" {
    return drawConnectionGap(this.#layers, random);
  }

  /** One connection. */
  abstract connection(random: Random, kind?: string, like?: number): ConnectionPlan;
}
