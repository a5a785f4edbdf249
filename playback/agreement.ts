import { kindFrames } from "./connection_start.ts";
import type { EngineFrame } from "./engine.ts";
import {
  ENGINE,
  EngineFrameError,
  fitSetup,
  packNumbers,
  type PlanForm,
  type Setup,
} from "./engine_frames.ts";

/**
 * What an opener asks of the other end, and whether that has been granted: until then each connection carries the
 * set-up, after that only a word about its own plan.
 *
 * @example
 * ```ts
 * import { Agreement } from "./agreement.ts";
 * import { ENGINE } from "./engine_frames.ts";
 * const agreement = new Agreement({
 *   form: "derived",
 *   master: "client",
 *   schedule: "strict",
 *   sessions: 1,
 *   minimum: 18,
 *   digest: new Uint8Array(8),
 *   seed: new Uint8Array(16),
 * });
 * const { first, minimum } = agreement.begin(0, 16);
 * if (first[0]?.type !== ENGINE.setup || minimum <= 18) throw new Error("the set-up goes first");
 * agreement.ready = true;
 * if (agreement.begin(0, 16).first.length > 0) throw new Error("both ends know what there is to know");
 * ```
 */
export class Agreement {
  /** Whether the other end has understood the set-up. */
  ready = false;
  readonly #asked: Omit<Setup, "minimumHere">;
  #form: PlanForm;

  /** Asks for what `asked` says. */
  constructor(asked: Omit<Setup, "minimumHere">) {
    this.#asked = asked;
    this.#form = asked.form;
  }

  /** How plans reach the slave. */
  get form(): PlanForm {
    return this.#form;
  }

  /** Asks again, for plans that are sent: one end lacks the other's model. */
  embed(): void {
    this.#form = "embedded";
    this.ready = false;
  }

  /** Throws EngineFrameError if the other end, as master, does not answer what it was asked for. */
  checkLead({ schedule, sessions }: Setup): void {
    if (this.#asked.master !== "server" || schedule !== this.#asked.schedule || sessions < 1) {
      throw new EngineFrameError("a lead that was not asked for");
    }
  }

  /**
   * The set-up for a connection whose proof takes `prefix` bytes, and the least payload of that connection's first
   * record.
   */
  setup(prefix: number): { body: Uint8Array; minimum: number } {
    return fitSetup({ ...this.#asked, form: this.#form }, prefix);
  }

  /**
   * What goes first on a connection of this kind that is drawn here and whose proof takes `prefix` bytes, and the
   * least payload of its first record.
   */
  begin(kind: number, prefix: number): { first: readonly EngineFrame[]; minimum: number } {
    if (!this.ready) {
      const { body, minimum } = this.setup(prefix);
      return { first: [{ type: ENGINE.setup, body }], minimum };
    }
    const { master, minimum } = this.#asked;
    // A plan that comes on its own connection says what it is.
    if (this.#form === "embedded") return { first: [], minimum };
    if (master === "client") return { first: kindFrames(kind), minimum };
    return { first: [{ type: ENGINE.own, body: packNumbers([kind]) }], minimum };
  }
}
