import type { CoverModel } from "../models/cover_model.ts";
import { LocalPlans, type PlanSource } from "../models/plans.ts";
import { SeededRandom, substream } from "../models/random.ts";
import type { SizeGrid } from "./cover_connection.ts";
import { connectionNumber } from "./engine_frames.ts";
import { BadPlanError, type DrawnPlan, drawPlan } from "./first_message.ts";
import { Kinds } from "./kinds.ts";
import { DrawnOpenings } from "./openings.ts";

/** Plans that are kept until they are asked for, at most; the oldest go first. */
const MOST_READY = 64;

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
  readonly #ready = new Map<number, { minimum: number; grid: SizeGrid; drawn: DrawnPlan }>();

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
    const number = connectionNumber(session, serial);
    const ready = known === 0 ? this.#ready.get(number) : undefined;
    if (ready?.minimum === minimum && sameGrid(ready.grid, grid)) {
      this.#ready.delete(number);
      return ready.drawn;
    }
    return drawPlan(this.#plans, session, serial, minimum, grid, this.kinds, known);
  }

  /** Draws a connection's plan (of kind 0) before it is asked for: some tenths of a millisecond that an answer is not late. */
  prepare(session: number, serial: number, minimum: number, grid: SizeGrid): void {
    const number = connectionNumber(session, serial);
    if (this.#ready.has(number)) return;
    try {
      const drawn = drawPlan(this.#plans, session, serial, minimum, grid, this.kinds, 0);
      this.#ready.set(number, { minimum, grid, drawn });
    } catch (error) {
      // Whoever asks for it is told.
      if (!(error instanceof BadPlanError)) throw error;
    }
    if (this.#ready.size <= MOST_READY) return;
    for (const oldest of this.#ready.keys()) {
      this.#ready.delete(oldest);
      return;
    }
  }
}

function sameGrid(a: SizeGrid, b: SizeGrid): boolean {
  return a === b || (a.overhead === b.overhead && a.maxPayload === b.maxPayload &&
    a.smallest === b.smallest && a.step === b.step &&
    a.opening?.carrier === b.opening?.carrier && a.opening?.exchanges === b.opening?.exchanges);
}
