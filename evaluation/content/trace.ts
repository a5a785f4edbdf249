import { CLIENT } from "../../capture/side.ts";
import { TCP_ACK, TCP_SYN } from "../../capture/packet.ts";
import type { PathPacket } from "../../lab/tcp_path.ts";

/** What an observer on the link sees of all connections in a window of time: packets with payload, as columns. */
export interface Trace {
  /** Number of rows. */
  readonly length: number;
  /** Milliseconds since the window's beginning. */
  readonly time: Float64Array;
  /** Payload bytes: above 0 from the client, below from the server. */
  readonly size: Int32Array;
  /** Times at which connections were opened. */
  readonly opened: Float64Array;
}

/** The packets of `[from, from + length)` milliseconds as a trace. */
export function traceOf(packets: readonly PathPacket[], from: number, length: number): Trace {
  let count = 0;
  let opens = 0;
  const inside = ({ time }: PathPacket) => time >= from && time < from + length;
  const isOpening = ({ flags }: PathPacket) => (flags & (TCP_SYN | TCP_ACK)) === TCP_SYN;
  for (const packet of packets) {
    if (!inside(packet)) continue;
    if (packet.length > 0) count++;
    else if (isOpening(packet)) opens++;
  }
  const trace = {
    length: count,
    time: new Float64Array(count),
    size: new Int32Array(count),
    opened: new Float64Array(opens),
  };
  let at = 0;
  let open = 0;
  for (const packet of packets) {
    if (!inside(packet)) continue;
    if (packet.length > 0) {
      trace.time[at] = packet.time - from;
      trace.size[at++] = packet.side === CLIENT ? packet.length : -packet.length;
    } else if (isOpening(packet)) trace.opened[open++] = packet.time - from;
  }
  return trace;
}
