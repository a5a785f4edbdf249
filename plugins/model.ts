import type { ConnectionPlan, EpisodePlan, Random, SessionPlan } from "../models/mod.ts";

/**
 * A model plugin: the default export of a module that draws cover traffic by code, where a model file
 * would draw it from tables. Each method is handed randomness of its own and answers from nothing else: the
 * same randomness gives the same plan, whatever was drawn before. A plugin needs no permission and gets
 * none.
 *
 * @example
 * ```ts
 * import type { ModelPlugin } from "./model.ts";
 * const clockwork: ModelPlugin = {
 *   contract: 1,
 *   plugin: "model",
 *   name: "clockwork",
 *   protocol: "https",
 *   carrier: "tls",
 *   connectionGap: () => 1000,
 *   connection: (random) => ({
 *     exchanges: [{
 *       request: { type: "data", size: 400 + random.integer(100), time: 10 },
 *       response: [{ type: "data", size: 1400, time: 30 }],
 *     }],
 *     close: { by: "client", how: "fin", time: 0 },
 *   }),
 * };
 * export default clockwork;
 * ```
 */
export interface ModelPlugin {
  /** Version of this contract. */
  readonly contract: 1;
  /** Tells a model from an attack. */
  readonly plugin: "model";
  /** Its name: lower-case letters, digits and `-`. */
  readonly name: string;
  /** The protocol that it imitates, such as `https`. */
  readonly protocol: string;
  /** The carrier that it fits, such as `tls`. */
  readonly carrier: string;
  /** Kinds of connection that may be asked for, at most 7. */
  readonly kinds?: readonly string[];
  /** The pauses of one session; a single episode without end if absent. */
  session?(random: Random): SessionPlan | undefined;
  /**
   * The starts of one episode, without sessions also the pause before it and what its connections are drawn like, and
   * which of them end together; connections follow one another if absent.
   */
  episode?(random: Random): EpisodePlan | undefined;
  /** Without episodes: milliseconds to the next connection's start; it waits for the close if absent. */
  connectionGap?(random: Random): number | "close";
  /**
   * One connection: of `kind` if that is given, like `like` if the episode said so. Sizes are bytes on the wire, at
   * least 23; times are milliseconds.
   */
  connection(
    random: Random,
    kind?: string,
    like?: number,
  ): ConnectionPlan | Promise<ConnectionPlan>;
}
