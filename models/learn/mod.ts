/**
 * Captures to model files: observations of one protocol from connections, and a learner for each kind
 * of model.
 *
 * @module
 */
export * from "./learn.ts";
export * from "./learn_conditional.ts";
export * from "./learn_structural.ts";
export * from "./observation.ts";
export * from "./observer.ts";
export * from "./protocols.ts";
export * from "./timeline.ts";
export * from "./learn_captures.ts";
