/**
 * Protocols as registrations: one type, one list, which our own and those of others are in.
 *
 * @module
 */
export * from "./built_in.ts";
export * from "./protocol.ts";
export * from "./registry.ts";
