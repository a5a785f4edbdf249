/**
 * Samples from captures, splits that keep captures whole, metrics, and attacks run on them.
 *
 * @module
 */
export * from "./attack_run.ts";
export * from "./labelled_captures.ts";
export * from "./metrics.ts";
export * from "./samples.ts";
export * from "./splits.ts";
export * from "./two_class.ts";
