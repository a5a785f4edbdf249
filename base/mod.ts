/**
 * What every room may import: the errors that a person reads, and files written whole or not at all.
 *
 * @module
 */
export * from "./atomic_file.ts";
export * from "./errors.ts";
export * from "./socket_error.ts";
