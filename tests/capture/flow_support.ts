import { parseAddress } from "../../capture/address.ts";
import type { FlowOptions, FlowRecord } from "../../capture/flow.ts";
import { type BurstRecord, FlowTable } from "../../capture/flow_table.ts";
import { type Packet, PROTOCOL_TCP, PROTOCOL_UDP } from "../../capture/packet.ts";

/** What a test says of a packet; the ends as `address|port`. */
export interface MadePacket {
  readonly time: number;
  readonly from: string;
  readonly to: string;
  readonly udp?: boolean;
  readonly bytes?: number;
  readonly flags?: number;
  readonly sequence?: number;
}

/** A packet as the decoder would give it. */
export function packetOf(made: MadePacket, index = 0): Packet {
  const [source, destination] = [made.from, made.to].map((end) => {
    const [address, port] = end.split("|");
    return { ...parseAddress(address!)!, port: Number(port) };
  });
  const addresses = new Uint8Array(32);
  addresses.set(source!.bytes);
  addresses.set(destination!.bytes, 16);
  const bytes = made.bytes ?? 60;
  return {
    index,
    time: made.time,
    version: source!.version,
    protocol: made.udp ? PROTOCOL_UDP : PROTOCOL_TCP,
    addresses,
    sourcePort: source!.port,
    destinationPort: destination!.port,
    sequence: made.sequence ?? 0,
    acknowledgement: 0,
    flags: made.udp ? 0 : made.flags ?? 16,
    payloadLength: 0,
    ipLength: bytes,
    wireLength: bytes + 14,
    data: new Uint8Array(),
    payloadStart: 0,
    payloadCaptured: 0,
    comment: "",
  };
}

/** What a table makes of packets. */
export function flowsOf(
  packets: Iterable<MadePacket>,
  options: FlowOptions = {},
): { flows: FlowRecord[]; bursts: BurstRecord[]; table: FlowTable } {
  const flows: FlowRecord[] = [];
  const bursts: BurstRecord[] = [];
  const table = new FlowTable({
    onFlow: (flow) => flows.push(flow),
    onBurst: (burst) => bursts.push(burst),
  }, options);
  for (const packet of packets) table.push(packetOf(packet));
  table.endBurst();
  return { flows, bursts, table };
}

/** Source, destination, packets and bytes each way: what most tests look at. */
export function brief(flow: FlowRecord): string {
  const { sourceAddress, sourcePort, destinationAddress, destinationPort } = flow;
  return `${sourceAddress}|${sourcePort} ${destinationAddress}|${destinationPort} ` +
    `${flow.packetsSent}/${flow.packetsReceived} ${flow.bytesSent}/${flow.bytesReceived}`;
}
