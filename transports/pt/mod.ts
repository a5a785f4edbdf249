/**
 * Tor's pluggable transports (pt-spec version 1), for Deno: what a program has to do so that tor runs it as
 * `ClientTransportPlugin` or `ServerTransportPlugin`. It knows nothing of what a transport does with the bytes.
 *
 * @module
 */
export { UserError } from "../../base/errors.ts";
export * from "./address.ts";
export * from "./args.ts";
export * from "./client.ts";
export * from "./context.ts";
export * from "./dial.ts";
export * from "./environment.ts";
export * from "./errors.ts";
export * from "./ext_orport.ts";
export * from "./handshake.ts";
export * from "./listen.ts";
export * from "./orport.ts";
export * from "./output.ts";
export * from "./proxy_handshake.ts";
export * from "./proxy_url.ts";
export * from "./run.ts";
export * from "./runtime.ts";
export * from "./server.ts";
export * from "./shutdown.ts";
export * from "./socks5.ts";
export * from "./splice.ts";
export * from "./timers.ts";
