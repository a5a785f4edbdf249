/**
 * The one place that joins doors, playback and carriers: the tm-client and the tm-server.
 *
 * @module
 */
export * from "./decoy.ts";
export * from "./decoy_page.ts";
export * from "./destinations.ts";
export * from "./freed_memory.ts";
export * from "./line.ts";
export * from "./proof.ts";
export * from "./pt_client.ts";
export * from "./pt_orport.ts";
export * from "./pt_server.ts";
export * from "./renewal.ts";
export * from "./server_state.ts";
export * from "./tm_client.ts";
export * from "./tm_server.ts";
export * from "./users_watch.ts";
export * from "./wire_log_file.ts";
export * from "./standalone.ts";
