/**
 * Packets in: captures of any common kind become packets, connections, messages and features.
 *
 * @module
 */
export * from "./address.ts";
export * from "./capture_error.ts";
export * from "./capture_parser.ts";
export * from "./capture_summary.ts";
export * from "./connection.ts";
export * from "./decode.ts";
export * from "./encode_tcp.ts";
export * from "./exchanges.ts";
export * from "./feature_sets.ts";
export * from "./features.ts";
export * from "./flow.ts";
export * from "./flow_table.ts";
export * from "./handshake_recogniser.ts";
export * from "./label_by_port.ts";
export * from "./link_type.ts";
export * from "./live.ts";
export * from "./live_flows.ts";
export * from "./message.ts";
export * from "./messages.ts";
export * from "./network.ts";
export * from "./packet.ts";
export * from "./packet_statistics.ts";
export * from "./protocols.ts";
export * from "./read_capture.ts";
export * from "./read_connections.ts";
export * from "./read_flows.ts";
export * from "./side.ts";
export * from "./stream_application.ts";
export * from "./stream_columns.ts";
export * from "./stream_merge.ts";
export * from "./tcp_assembler.ts";
export { TlsStreamRecogniser } from "./tls_recogniser.ts";
export * from "./write_capture.ts";
