/**
 * The engine in virtual time over a model of a link: for what needs hours of cover, or thousands of connections.
 *
 * @module
 */
export * from "./simulated_path.ts";
export * from "./simulated_tunnel.ts";
