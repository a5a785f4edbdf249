/**
 * The engine in virtual time over a model of a link: for what needs hours of cover, or thousands of connections.
 *
 * @module
 */
export * from "./link_lateness.ts";
export * from "./links.ts";
export * from "./record_layout.ts";
export * from "./simulated_capture.ts";
export * from "./simulated_path.ts";
export * from "./simulated_tunnel.ts";
export * from "./streams.ts";
