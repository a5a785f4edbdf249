/**
 * The contracts that templates import: a folder made by `deno task plugin new` holds them as text.
 *
 * @module
 */
export type { AttackPlugin, SampleSet } from "../attack.ts";
export type { ModelPlugin } from "../model.ts";
