/**
 * The engine that plays cover traffic, and the reliable tunnel that carries user data in it.
 *
 * @module
 */
export * from "./clock.ts";
export * from "./cover_connection.ts";
export { type Destination, MAX_CONTROL_BODY } from "./frame.ts";
export * from "./reliable_tunnel.ts";
export type { TunnelStream } from "./stream.ts";
export * from "./tunnel.ts";
export * from "./tunnel_error.ts";
export * from "./wire_log.ts";
