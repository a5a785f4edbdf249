import type { CoverModel, ModelRequest } from "../models/cover_model.ts";
import { type ConnectionStart, kindFrames } from "./connection_start.ts";
import type { SizeGrid } from "./cover_connection.ts";
import { digestHead, EngineFrameError, type Setup, unpackNumbers } from "./engine_frames.ts";
import { MOST_KINDS, type Volume } from "./kinds.ts";
import { Lead, type LeadOptions } from "./lead.ts";
import type { Opening, OpeningSource } from "./openings.ts";
import type { PlanStore } from "./plans_sent.ts";
import { MasterRefusedError } from "./refusals.ts";
import type { OpenRequest } from "./schedule.ts";
import { Script } from "./script.ts";
import type { EngineStats } from "./stats.ts";

/** What a {@linkcode HeardMaster} needs. */
export interface HeardMasterOptions extends LeadOptions {
  /** The model held here. */
  readonly model: CoverModel;
  /** The least payload of a connection's first record. */
  readonly minimum: number;
  /** Where the other end's plans are kept, if it sends them. */
  readonly store: PlanStore;
  /** Where it is counted what was done to plans. */
  readonly stats: EngineStats;
  /** Why this end's policy does not allow the exchanges of a connection; undefined if it does. */
  readonly refusal: (exchanges: readonly ModelRequest[]) => string | undefined;
}

/**
 * The other end as master, as far as it has been heard at the end that opens connections: nothing at first, then a
 * lead of which everything can be drawn here, or one of which it sends what is to be played, ahead of time.
 */
export class HeardMaster implements OpeningSource {
  readonly #options: HeardMasterOptions;
  /** Drawn here, or `"sent"`: what has come of it is in the store. */
  #lead: Lead | "sent" | undefined;
  /** What connections of each kind carry, where it has been told. */
  #means: readonly Volume[] = [];

  /** Nothing has been heard yet. */
  constructor(options: HeardMasterOptions) {
    this.#options = options;
  }

  /** Whether it has said that it is master. */
  get leads(): boolean {
    return this.#lead !== undefined;
  }

  /** Whether it sends what is to be played. */
  get sends(): boolean {
    return this.#lead === "sent";
  }

  /** Its lead, if that is drawn here. */
  get lead(): Lead | undefined {
    return this.#lead === "sent" ? undefined : this.#lead;
  }

  /** What connections of each kind carry on average; undefined where it does not lead. */
  get means(): readonly Volume[] | undefined {
    return this.#lead === "sent" ? this.#means : this.#lead?.kinds?.means;
  }

  /** It is master from now on; false if it leads by a model that is not held here. */
  follow(setup: Setup): boolean {
    const { adaptive, model, plans, stagger } = this.#options;
    if (setup.form === "embedded") {
      this.#lead = "sent";
      return true;
    }
    const held = digestHead(model.description.digest);
    if (!setup.digest.every((byte, i) => byte === held[i])) return false;
    this.#lead = new Lead(model, setup.seed, {
      ...(plans === undefined ? {} : { plans }),
      adaptive,
      ...(stagger === undefined ? {} : { stagger }),
    });
    this.#lead.openings.stride = setup.sessions;
    return true;
  }

  /** Takes the body of a `kinds` frame. Throws EngineFrameError. */
  takeKinds(body: Uint8Array): void {
    const { numbers: [count], rest } = unpackNumbers(body, 1);
    if (count! < 1 || count! > MOST_KINDS) throw new EngineFrameError(`${count} kinds`);
    const { numbers } = unpackNumbers(rest, 2 * count!);
    this.#means = Array.from(
      { length: count! },
      (_, kind) => ({ client: numbers[2 * kind]!, server: numbers[2 * kind + 1]! }),
    );
  }

  /** When a connection opens; undefined if that has not been heard. Throws BadPlanError. */
  opening(session: number, serial: number): Opening | "end" | undefined {
    return this.#lead === "sent"
      ? this.#options.store.opening(session, serial)
      : this.#lead?.openings.opening(session, serial);
  }

  /** What a connection is to open with, if it has been heard that its plan opens as a command does. */
  command({ kind, serial, session }: OpenRequest, grid: SizeGrid): number | undefined {
    const { minimum, store } = this.#options;
    if (this.#lead === "sent") {
      return store.has(session, serial, kind) && kind > 0
        ? undefined
        : store.command(session, serial);
    }
    return kind > 0 ? undefined : this.#lead?.command(session, serial, minimum, grid);
  }

  /**
   * What a connection plays whose proof takes `prefix` bytes, among slots of which there are `stride`; undefined if
   * that has not been heard. `command`: it has opened as a command does, and plays such a plan or none. Throws MasterRefusedError if our policy does not allow it, and BadPlanError.
   */
  start(
    { kind, serial, session }: OpenRequest,
    grid: SizeGrid,
    prefix: number,
    stride: number,
    command: boolean,
  ): ConnectionStart | undefined {
    const { minimum, stats, store } = this.#options;
    if (this.#lead === undefined) return undefined;
    if (this.#lead !== "sent") {
      const drawn = command
        ? this.#lead.draw(session, serial, 0, minimum, grid, true)
        : this.#lead.usual(session, serial, kind, minimum, grid);
      if (command && drawn.command === undefined) return undefined;
      if (drawn.redrawn) stats.redrawn++;
      if (drawn.enlarged) stats.enlarged++;
      this.#check(drawn.plan.exchanges);
      return command
        ? { kind: 0, script: new Script(grid, drawn.plan), first: [] }
        : { kind, script: new Script(grid, drawn.plan), first: kindFrames(kind) };
    }
    const known = !command && store.has(session, serial, kind) ? kind : 0;
    const asked = known === 0 ? store.command(session, serial) : undefined;
    const decoder = store.claim(session, serial, known, stride);
    // A plan may have come after the connection was dialled.
    if (decoder?.close === undefined || command !== (asked !== undefined)) return undefined;
    const { close, exchanges } = decoder;
    this.#check(exchanges);
    const script = new Script(grid, { exchanges, close });
    // Our proof lies whole in the first record, whatever the master says.
    const room = script.messages[0]!.records[0]!;
    return !command && room < Math.max(minimum, prefix)
      ? undefined
      : { kind: known, script, first: kindFrames(known) };
  }

  #check(exchanges: readonly ModelRequest[]): void {
    const refused = this.#options.refusal(exchanges);
    if (refused !== undefined) throw new MasterRefusedError(refused);
  }
}
