import { flowProtocolName, type FlowRecord } from "./flow.ts";
import type { TableColumn, TableValue } from "./table_file.ts";

/** Columns of a table of flow records; {@linkcode flowValues} fills them. */
export const FLOW_COLUMNS: readonly TableColumn[] = [
  { name: "burst", type: "integer" },
  { name: "first", type: "time" },
  { name: "last", type: "time" },
  { name: "source_address", type: "text" },
  { name: "destination_address", type: "text" },
  { name: "source_port", type: "integer" },
  { name: "destination_port", type: "integer" },
  { name: "protocol", type: "text" },
  { name: "packets_sent", type: "integer" },
  { name: "packets_received", type: "integer" },
  { name: "bytes_sent", type: "integer" },
  { name: "bytes_received", type: "integer" },
  { name: "end", type: "text" },
];

/** The values of {@linkcode FLOW_COLUMNS} for a flow. */
export function flowValues(flow: FlowRecord): TableValue[] {
  return [
    flow.burst,
    flow.first,
    flow.last,
    flow.sourceAddress,
    flow.destinationAddress,
    flow.sourcePort,
    flow.destinationPort,
    flowProtocolName(flow.protocol),
    flow.packetsSent,
    flow.packetsReceived,
    flow.bytesSent,
    flow.bytesReceived,
    flow.end,
  ];
}

/** A flow as an object for JSON: the columns, and its packets where they were kept. */
export function flowJson(flow: FlowRecord): Record<string, unknown> {
  const { lengths, times, protocol, ...rest } = flow;
  return {
    ...rest,
    protocol: flowProtocolName(protocol),
    ...(lengths === undefined || times === undefined
      ? {}
      : { lengths: Array.from(lengths), times: Array.from(times) }),
  };
}
