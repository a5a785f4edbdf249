/**
 * Attacks as plugins: the contract, our own attacks, and the loading of anybody else's.
 *
 * @module
 */
export * from "./attack.ts";
export * from "./built_in.ts";
export * from "./conformance.ts";
export * from "./limits.ts";
export * from "./load_attack.ts";
export * from "./load_model.ts";
export * from "./model.ts";
export * from "./templates.ts";
export * from "./host/mod.ts";
