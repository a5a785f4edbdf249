/**
 * What every room may import: the errors that a person reads, files written whole or not at all, timers
 * that keep their time, since when bytes may have waited to be reported, a queue of events, the distance of two samples, addresses as text, reply codes of SOCKS, and where modules are that are
 * started by their URL.
 *
 * @module
 */
export * from "./address_text.ts";
export * from "./arrival.ts";
export * from "./atomic_file.ts";
export * from "./errors.ts";
export * from "./event_queue.ts";
export * from "./largest_gap.ts";
export * from "./module_beside.ts";
export * from "./precise_timer.ts";
export * from "./socket_error.ts";
export * from "./socks_reply.ts";
