import type { CaptureSummary } from "./capture_summary.ts";
import type { FlowOptions } from "./flow.ts";
import { type FlowSink, FlowTable } from "./flow_table.ts";
import { type CaptureSource, readCapture, type ReadCaptureOptions } from "./read_capture.ts";

/** What was read, and what flows it held. */
export interface FlowsSummary {
  /** The capture. */
  readonly capture: CaptureSummary;
  /** Packets of TCP and UDP, which the flows count. */
  readonly packets: number;
  /** Flow records delivered. */
  readonly records: number;
  /** Bursts. */
  readonly bursts: number;
  /** Records delivered before their burst's end because the table was full. */
  readonly evicted: number;
}

/**
 * Reads a capture to its end and hands over its flows, burst by burst. Memory depends on the limits in
 * `options`, not on the capture's size.
 *
 * Throws what {@linkcode readCapture} throws; the flows of the packets before were delivered then.
 *
 * @example
 * ```ts
 * import { readFlows } from "./read_flows.ts";
 * import { encodeCapture } from "./write_capture.ts";
 * import { encodeTcpPacket } from "./encode_tcp.ts";
 * import { LinkType } from "./link_type.ts";
 * const data = encodeTcpPacket(LinkType.raw, {
 *   source: { address: "10.0.0.1", port: 40000 },
 *   destination: { address: "10.0.0.2", port: 443 },
 *   sequence: 1, flags: 2,
 * });
 * const records = ReadableStream.from([{ time: 0, data }, { time: 5000, data }]);
 * const stream = records.pipeThrough(encodeCapture({ linkType: LinkType.raw }));
 * const { records: flows, bursts } = await readFlows({ name: "made", stream }, { onFlow() {} });
 * if (flows !== 2 || bursts !== 2) throw new Error(`${flows} flows in ${bursts} bursts`);
 * ```
 */
export async function readFlows(
  source: CaptureSource,
  sink: FlowSink,
  options: FlowOptions & ReadCaptureOptions = {},
): Promise<FlowsSummary> {
  const table = new FlowTable(sink, options);
  let capture: CaptureSummary;
  try {
    capture = await readCapture(source, (packet) => table.push(packet), options);
  } finally {
    table.endBurst();
  }
  return flowsSummary(capture, table);
}

/** Joins what the reader and the table counted. */
export function flowsSummary(capture: CaptureSummary, table: FlowTable): FlowsSummary {
  const { packets, records, bursts, evicted } = table;
  return { capture, packets, records, bursts, evicted };
}
