/**
 * The traffic classifier: flows of known applications become a model that names those of others.
 *
 * @module
 */
export * from "./explain.ts";
export * from "./flow_data.ts";
export * from "./judgement.ts";
export * from "./kind.ts";
export * from "./kinds.ts";
export * from "./learning_curve.ts";
export * from "./live.ts";
export * from "./model.ts";
export * from "./model_file.ts";
export * from "./rounds.ts";
export * from "./trial.ts";
export type { Confusion, Share } from "../evaluation/metrics.ts";
export type { LabelledCaptures } from "../evaluation/samples.ts";
export type { Rows } from "../plugins/attacks/scaler.ts";
export type { Scaling } from "../plugins/attacks/svm.ts";
