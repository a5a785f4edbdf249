/** Why a {@linkcode FlowRecord} was closed. */
export type FlowEnd =
  /** Its burst ended, or the capture. */
  | "burst"
  /** The table was full and the flow had been idle the longest: more of it may follow in the same burst. */
  | "evicted"
  /** A new connection with the same addresses and ports began (`splitReused` only). */
  | "reused";

/**
 * One full flow within one burst: the packets both ways between two endpoints (addresses and ports) of one
 * transport protocol. The two half flows that the seed matches at the end of a burst are the sent and the
 * received part.
 *
 * The source is who sent the SYN; without one, who sent the first packet of the record; with
 * {@linkcode FlowOptions.local}, whichever end is local.
 */
export interface FlowRecord {
  /** Serial number of the burst, from 0. */
  readonly burst: number;
  /** Time of the earliest packet, in milliseconds since the Unix epoch. */
  readonly first: number;
  /** Time of the latest packet likewise. */
  readonly last: number;
  /** IP version. */
  readonly version: 4 | 6;
  /** IP protocol number: 6 TCP, 17 UDP. */
  readonly protocol: number;
  /** The source's address as text. */
  readonly sourceAddress: string;
  /** The destination's address as text. */
  readonly destinationAddress: string;
  /** The source's port. */
  readonly sourcePort: number;
  /** The destination's port. */
  readonly destinationPort: number;
  /** Packets from the source. */
  readonly packetsSent: number;
  /** Packets to the source. */
  readonly packetsReceived: number;
  /** Bytes from the source: of IP packets or of frames, see {@linkcode FlowOptions.bytes}. */
  readonly bytesSent: number;
  /** Bytes to the source likewise. */
  readonly bytesReceived: number;
  /** Why the record was closed. */
  readonly end: FlowEnd;
  /**
   * Bytes of each packet in the order of capture, positive from the source and negative to it. Only with
   * `packets`, and at most {@linkcode FlowOptions.maxPackets}: shorter than the packet counts say if more came.
   */
  readonly lengths?: Int32Array<ArrayBuffer>;
  /** Milliseconds from `first` for each of `lengths`. */
  readonly times?: Float64Array<ArrayBuffer>;
}

/** Options of a {@linkcode FlowTable} and of all that makes flow records. */
export interface FlowOptions {
  /** A burst ends after more than this many milliseconds of silence. Default 1000; `Infinity` for one burst. */
  readonly burstGap?: number;
  /**
   * A burst ends in any case when a packet comes more than this many milliseconds after its first one.
   * Default `Infinity`. On a line that is never silent this bounds how long a flow waits to be reported.
   */
  readonly maxBurst?: number;
  /** Keep the lengths and times of packets. Default false. */
  readonly packets?: boolean;
  /** Packets of one flow whose length and time are kept. Default {@linkcode DEFAULT_MAX_PACKETS}. */
  readonly maxPackets?: number;
  /**
   * Packets of all live flows together whose length and time are kept, 16 bytes each. Default
   * {@linkcode DEFAULT_MAX_KEPT_PACKETS}. Where it is reached, flows idle the longest are evicted.
   */
  readonly maxKeptPackets?: number;
  /** Live flows held at once, 72 bytes each (104 with IPv6). Default {@linkcode DEFAULT_MAX_FLOWS}. */
  readonly maxFlows?: number;
  /** What counts as bytes: the IP packet by its header (the default), or the frame as it was on the wire. */
  readonly bytes?: "ip" | "frame";
  /**
   * Networks such as `192.168.12.0/24` or addresses: the end inside one is the source, whoever spoke first.
   * Between two local or two foreign ends the SYN or the first packet decides.
   */
  readonly local?: readonly string[];
  /**
   * A SYN with a new sequence number starts a new flow of the same endpoints, as in Wireshark.
   * Default false: the seed knows addresses and ports only.
   */
  readonly splitReused?: boolean;
  /** Seed of the hash table, 32 bits; the records do not depend on it. A random one resists crafted collisions. */
  readonly hashSeed?: number;
}

/** Default of {@linkcode FlowOptions.maxFlows}. */
export const DEFAULT_MAX_FLOWS = 500_000;

/** Default of {@linkcode FlowOptions.maxPackets}. */
export const DEFAULT_MAX_PACKETS = 10_000;

/** Default of {@linkcode FlowOptions.maxKeptPackets}. */
export const DEFAULT_MAX_KEPT_PACKETS = 4_000_000;

/** Default of {@linkcode FlowOptions.burstGap} in milliseconds, as in AppScanner and the seed. */
export const DEFAULT_BURST_GAP = 1000;

/** `tcp`, `udp`, or the number. */
export function flowProtocolName(protocol: number): string {
  return protocol === 6 ? "tcp" : protocol === 17 ? "udp" : String(protocol);
}

/**
 * A record as the seed prints it, the time in seconds since the Unix epoch:
 * `<timestamp> <src addr> <dst addr> <src port> <dst port> <proto> <#packets sent> <#packets rcvd>
 * <#bytes sent> <#bytes rcvd>`.
 *
 * @example
 * ```ts
 * import { flowLine, type FlowRecord } from "./flow.ts";
 * const flow: FlowRecord = {
 *   burst: 0, first: 1500000000123.5, last: 1500000000200, version: 4, protocol: 6, end: "burst",
 *   sourceAddress: "10.0.0.1", sourcePort: 40000, destinationAddress: "10.0.0.2", destinationPort: 443,
 *   packetsSent: 3, packetsReceived: 2, bytesSent: 180, bytesReceived: 3000,
 * };
 * if (flowLine(flow) !== "1500000000.123500 10.0.0.1 10.0.0.2 40000 443 tcp 3 2 180 3000") {
 *   throw new Error(flowLine(flow));
 * }
 * ```
 */
export function flowLine(flow: FlowRecord): string {
  return `${(flow.first / 1000).toFixed(6)} ${flow.sourceAddress} ${flow.destinationAddress} ` +
    `${flow.sourcePort} ${flow.destinationPort} ${flowProtocolName(flow.protocol)} ` +
    `${flow.packetsSent} ${flow.packetsReceived} ${flow.bytesSent} ${flow.bytesReceived}`;
}
