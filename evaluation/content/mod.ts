/**
 * What content shows through a tunnel, and through nothing: users in virtual time, what an observer sees of them, and
 * attackers on that.
 *
 * @module
 */
export * from "./plan.ts";
export * from "./run.ts";
export * from "./section.ts";
export * from "./shipped_tls.ts";
