import { PROTOCOL_TCP, readCapture, TCP_ACK, TCP_SYN } from "../../capture/mod.ts";
import { CLIENT } from "../../capture/side.ts";
import type { PathPacket } from "../../lab/tcp_path.ts";

/** The first packets with payload of one TCP connection, as an observer near the client sees them. */
export interface FlowStart {
  /** When it was opened, in milliseconds. */
  readonly start: number;
  /** Signed payload bytes: above 0 from the client. */
  readonly sizes: Int32Array;
  /** Milliseconds since the SYN. */
  readonly times: Float64Array;
  /** Milliseconds from SYN to SYN-ACK; undefined where either was not seen. */
  readonly rtt: number | undefined;
}

/** Packets that are kept of a connection. */
const KEPT = 400;

class Growing {
  readonly sizes: number[] = [];
  readonly times: number[] = [];
  rtt: number | undefined;

  constructor(readonly start: number) {}

  add(time: number, size: number): void {
    if (this.sizes.length >= KEPT) return;
    this.sizes.push(size);
    this.times.push(time - this.start);
  }

  done(): FlowStart {
    const { rtt, sizes, start, times } = this;
    return { start, sizes: Int32Array.from(sizes), times: Float64Array.from(times), rtt };
  }
}

/** The connections of packets that a simulation kept, in the order of their opening. */
export function flowsOfPath(packets: readonly PathPacket[]): FlowStart[] {
  const flows = new Map<number, Growing>();
  for (const { connection, flags, length, side, time } of packets) {
    if ((flags & TCP_SYN) !== 0) {
      if (side === CLIENT) flows.set(connection, new Growing(time));
      else {
        const flow = flows.get(connection);
        if (flow !== undefined) flow.rtt ??= time - flow.start;
      }
    } else if (length > 0) {
      flows.get(connection)?.add(time, side === CLIENT ? length : -length);
    }
  }
  return [...flows.values()].map((flow) => flow.done());
}

/**
 * The connections to port `port` of a capture whose opening was captured. Packets are taken as they come: captures of
 * headers without sequence numbers will do, and where a packet was sent again it counts again.
 */
export async function readFlowStarts(path: string, port = 443): Promise<FlowStart[]> {
  const flows = new Map<string, Growing>();
  const found: Growing[] = [];
  await readCapture(path, (packet) => {
    if (packet.protocol !== PROTOCOL_TCP) return;
    const fromClient = packet.destinationPort === port;
    if (!fromClient && packet.sourcePort !== port) return;
    const { addresses, destinationPort, flags, payloadLength, sourcePort, time } = packet;
    const client = fromClient ? addresses.subarray(0, 16) : addresses.subarray(16, 32);
    const server = fromClient ? addresses.subarray(16, 32) : addresses.subarray(0, 16);
    const key = `${client.join()} ${server.join()} ${fromClient ? sourcePort : destinationPort}`;
    let flow = flows.get(key);
    if ((flags & TCP_SYN) !== 0) {
      if ((flags & TCP_ACK) !== 0) {
        if (flow !== undefined) flow.rtt ??= time - flow.start;
      } else if (flow === undefined || flow.sizes.length > 0) {
        flow = new Growing(time);
        flows.set(key, flow);
        found.push(flow);
      }
    } else if (payloadLength > 0) flow?.add(time, fromClient ? payloadLength : -payloadLength);
  });
  return found.map((flow) => flow.done());
}

/** Greatest payload of a client's Finished, with what TLS 1.2 sends beside it. */
const FINISHED = 140;

/**
 * Where data begins in a TLS connection, as one can tell without its bytes: behind the client's hello, the server's
 * flight, and a small packet of the client's if one follows. The number of packets where there is no data.
 */
export function afterHandshake({ sizes }: FlowStart): number {
  let at = 0;
  while (at < sizes.length && sizes[at]! > 0) at++;
  while (at < sizes.length && sizes[at]! < 0) at++;
  return at < sizes.length && sizes[at]! <= FINISHED ? at + 1 : at;
}
