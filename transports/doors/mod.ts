/**
 * Doors: where user data enters and leaves.
 *
 * @module
 */
export * from "./address.ts";
export * from "./copy.ts";
export * from "./door.ts";
export * from "./forward.ts";
export * from "./http_door.ts";
export * from "./http_target.ts";
export * from "./socks5.ts";
export * from "./socks5_codec.ts";
export * from "./turn_budget.ts";
