/**
 * Packets in: captures of any common kind become packets, connections, messages and features.
 *
 * @module
 */
export * from "./address.ts";
export * from "./capture_error.ts";
export * from "./capture_parser.ts";
export * from "./capture_summary.ts";
export * from "./decode.ts";
export * from "./link_type.ts";
export * from "./packet.ts";
export * from "./read_capture.ts";
export * from "./encode_tcp.ts";
export * from "./write_capture.ts";
