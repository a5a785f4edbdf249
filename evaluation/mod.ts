/**
 * Samples from captures, splits that keep captures whole, metrics, and attacks run on them.
 *
 * @module
 */
export * from "./attack_run.ts";
export * from "./demo/judge.ts";
export * from "./demo/nodes.ts";
export * from "./demo/play.ts";
export * from "./demo/run.ts";
export * from "./demo/timeline.ts";
export * from "./demo/transfer.ts";
export * from "./fully_encrypted.ts";
export * from "./lab_nodes.ts";
export * from "./lab_play.ts";
export * from "./labelled_captures.ts";
export * from "./likeness.ts";
export * from "./metrics.ts";
export * from "./sample_roles.ts";
export * from "./samples.ts";
export * from "./shipped_cover.ts";
export * from "./splits.ts";
export * from "./two_class.ts";
