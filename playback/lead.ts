import type { CoverModel } from "../models/cover_model.ts";
import { LocalPlans, type PlanSource } from "../models/plans.ts";
import { SeededRandom, substream } from "../models/random.ts";
import type { SizeGrid } from "./cover_connection.ts";
import { type DrawnPlan, drawPlan } from "./first_message.ts";
import { Kinds } from "./kinds.ts";
import { DrawnOpenings } from "./openings.ts";

/** Draws the plans of a model from a 32-byte key. */
export type PlanFactory = (model: CoverModel, key: Uint8Array) => PlanSource;

/** What a {@linkcode Lead} is made of. */
export interface LeadOptions {
  /** Where plans are drawn; `LocalPlans` if absent. */
  readonly plans?: PlanFactory;
  /** Whether kinds are chosen among. */
  readonly adaptive: boolean;
  /** Milliseconds within which the first sessions begin; 3000 if absent. */
  readonly stagger?: number;
}

/** The key of all plans of a tunnel, from the 16 bytes that a set-up carries. */
export function planKey(setupSeed: Uint8Array): Uint8Array {
  return substream(setupSeed, "plans");
}

/**
 * All that one end decides, drawn from a model and 16 bytes: when connections open and what each of them plays.
 * An end that holds the same model has the same `Lead` of the same 16 bytes; that is the derived form of plans.
 */
export class Lead {
  /** When connections open. */
  readonly openings: DrawnOpenings;
  /** Kinds of connection; undefined where none are chosen among. */
  readonly kinds: Kinds | undefined;
  readonly #plans: PlanSource;

  /** The lead of `model` under `seed`. */
  constructor(readonly model: CoverModel, seed: Uint8Array, options: LeadOptions) {
    const key = planKey(seed);
    this.#plans = options.plans?.(model, key) ?? new LocalPlans(model, key);
    this.kinds = options.adaptive ? new Kinds(this.#plans) : undefined;
    this.openings = new DrawnOpenings(this.#plans, (slot) => {
      if (slot === 0) return 0;
      return new SeededRandom(substream(key, "stagger", slot)).float() * (options.stagger ?? 3000);
    });
  }

  /** The plan of a connection: see `drawPlan`. A kind that there is not is the model's own mixture. */
  draw(
    session: number,
    serial: number,
    kind: number,
    minimum: number,
    grid: SizeGrid,
  ): DrawnPlan {
    const known = this.kinds !== undefined && kind < this.kinds.names.length ? kind : 0;
    return drawPlan(this.#plans, session, serial, minimum, grid, this.kinds, known);
  }
}
