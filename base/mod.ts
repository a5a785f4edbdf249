/**
 * What every room may import: the errors that a person reads, files written whole or not at all, and
 * timers that keep their time.
 *
 * @module
 */
export * from "./atomic_file.ts";
export * from "./errors.ts";
export * from "./precise_timer.ts";
export * from "./socket_error.ts";
