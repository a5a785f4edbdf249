import { encodeTcpPacket } from "../capture/encode_tcp.ts";
import { LinkType } from "../capture/link_type.ts";
import { TCP_SYN } from "../capture/packet.ts";
import { CLIENT, type Side } from "../capture/side.ts";
import type { CaptureRecord } from "../capture/write_capture.ts";
import type { PathPacket } from "./tcp_path.ts";

/** Bytes of a segment by what they are, as the nodes' wire logs know it. */
export interface Composition {
  /** User data. */
  readonly data: number;
  /** Frames of our own. */
  readonly control: number;
  /** Padding. */
  readonly padding: number;
}

/** How a recording shows one connection. */
export interface RecordedConnection {
  /** Client TCP port. */
  readonly clientPort: number;
  /** Payload bytes `[start, end)` of a side's stream. */
  payload(side: Side, start: number, end: number): Uint8Array;
  /** What bytes `[start, end)` of a side's stream are, for the packet's comment. */
  composition?(side: Side, start: number, end: number): Composition | undefined;
}

/** What is the same for every packet of a recording. */
export interface RecordedPath {
  /** Client address as text. */
  readonly clientAddress: string;
  /** Server address as text. */
  readonly serverAddress: string;
  /** Server TCP port. */
  readonly serverPort: number;
  /** Milliseconds since the Unix epoch of the path's time 0. */
  readonly epoch: number;
  /** Milliseconds one way. */
  readonly oneWayDelayMs: number;
  /** Largest segment in bytes. */
  readonly mss: number;
}

/**
 * The packets of a path as records of a capture file (raw IP), with correct numbers and checksums. Data
 * segments get a comment such as `data=812 control=40 padding=574 carrier=22`, where it is known; the
 * carrier's share is what is left of the segment.
 */
export function* pathRecords(
  packets: Iterable<PathPacket>,
  connections: readonly RecordedConnection[],
  path: RecordedPath,
): Generator<CaptureRecord> {
  for (const packet of packets) {
    const { connection: id, side, offset, length, flags } = packet;
    const connection = connections[id]!;
    const client = { address: path.clientAddress, port: connection.clientPort };
    const server = { address: path.serverAddress, port: path.serverPort };
    const payload = connection.payload(side, offset, offset + length);
    const ticks = Math.floor(packet.time + path.epoch);
    const delay = Math.round(path.oneWayDelayMs);
    const [value, echo] = side === CLIENT
      ? [ticks, packet.acknowledgement === 0 ? 0 : ticks - delay]
      : [ticks - delay, ticks - 2 * delay];
    const data = encodeTcpPacket(LinkType.raw, {
      source: side === CLIENT ? client : server,
      destination: side === CLIENT ? server : client,
      sequence: initialNumber(id, side) + packet.sequence >>> 0,
      acknowledgement: packet.acknowledgement === 0
        ? 0
        : initialNumber(id, side === CLIENT ? 1 : 0) + packet.acknowledgement >>> 0,
      flags,
      payload,
      timestamps: [value >>> 0, echo >>> 0],
      ...((flags & TCP_SYN) === 0 ? {} : { mss: path.mss + 12 }),
    });
    const what = length > 0 ? connection.composition?.(side, offset, offset + length) : undefined;
    yield {
      time: packet.time + path.epoch,
      data,
      ...(what === undefined ? {} : { comment: describe(what, length) }),
    };
  }
}

/** Initial sequence numbers, spread like a host's and the same in every run. */
function initialNumber(connection: number, side: Side): number {
  return Math.imul(2 * connection + side + 1, 0x9e3779b1) >>> 0;
}

function describe({ data, control, padding }: Composition, length: number): string {
  const carrier = length - data - control - padding;
  const known = `data=${data} control=${control} padding=${padding}`;
  return carrier > 0 ? `${known} carrier=${carrier}` : known;
}
