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

/** A plan that was drawn before it was asked for, and from what. */
interface Ready {
  readonly minimum: number;
  readonly grid: SizeGrid;
  readonly commands: boolean;
  readonly drawn: DrawnPlan;
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
  readonly #ready = new Map<number, Ready>();

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

  /**
   * The plan of a connection: see `drawPlan`. A kind that there is not is the model's own mixture; `commands` mean
   * something to that alone.
   */
  draw(
    session: number,
    serial: number,
    kind: number,
    minimum: number,
    grid: SizeGrid,
    commands = false,
  ): DrawnPlan {
    const known = this.kinds !== undefined && kind < this.kinds.names.length ? kind : 0;
    const number = connectionNumber(session, serial);
    if (known === 0) {
      const ready = this.#fitting(number, minimum, grid, commands);
      if (ready !== undefined) {
        this.#ready.delete(number);
        return ready;
      }
    }
    const may = commands && known === 0;
    return drawPlan(this.#plans, session, serial, minimum, grid, this.kinds, known, may);
  }

  /** The plan of a connection that has opened as usual, whether or not it could have opened as a command does. */
  usual(
    session: number,
    serial: number,
    kind: number,
    minimum: number,
    grid: SizeGrid,
  ): DrawnPlan {
    const drawn = this.draw(session, serial, kind, minimum, grid, true);
    return drawn.command === undefined ? drawn : this.draw(session, serial, kind, minimum, grid);
  }

  /** Draws a connection's plan (of kind 0) before it is asked for: some tenths of a millisecond that an answer is not late. */
  prepare(
    session: number,
    serial: number,
    minimum: number,
    grid: SizeGrid,
    commands = false,
  ): void {
    const number = connectionNumber(session, serial);
    if (this.#fitting(number, minimum, grid, commands) !== undefined) return;
    try {
      const { kinds } = this;
      const drawn = drawPlan(this.#plans, session, serial, minimum, grid, kinds, 0, commands);
      this.#ready.delete(number);
      this.#ready.set(number, { minimum, grid, commands, drawn });
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

  /** What a connection (of kind 0) is to open with, if its plan opens as a command does; drawn now if it was not. */
  command(
    session: number,
    serial: number,
    minimum: number,
    grid: SizeGrid,
  ): number | undefined {
    this.prepare(session, serial, minimum, grid, true);
    return this.#fitting(connectionNumber(session, serial), minimum, grid, true)?.command;
  }

  #fitting(
    number: number,
    minimum: number,
    grid: SizeGrid,
    commands: boolean,
  ): DrawnPlan | undefined {
    const ready = this.#ready.get(number);
    const fits = ready?.minimum === minimum && ready.commands === commands &&
      sameGrid(ready.grid, grid);
    return fits ? ready.drawn : undefined;
  }
}

function sameGrid(a: SizeGrid, b: SizeGrid): boolean {
  return a === b || (a.overhead === b.overhead && a.maxPayload === b.maxPayload &&
    a.smallest === b.smallest && a.step === b.step &&
    a.opening?.carrier === b.opening?.carrier && a.opening?.exchanges === b.opening?.exchanges &&
    a.opening?.command === b.opening?.command);
}
