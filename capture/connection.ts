import type { Side } from "./side.ts";

/**
 * The TCP payloads of one connection in the order of their times, as columns. Retransmitted bytes are
 * not counted twice: each row holds the bytes that were new, at the time they were first seen.
 */
export interface SegmentTable {
  /** Number of rows. The columns may be longer. */
  readonly length: number;
  /** Milliseconds since {@linkcode Connection.startTime}. */
  readonly time: Float64Array;
  /** Who sent it: `0` client, `1` server. */
  readonly side: Uint8Array;
  /** New payload bytes (by the IP header's length, also where the snap length cut the packet). */
  readonly size: Uint32Array;
  /** Offset of the first new byte in its sender's byte stream. */
  readonly offset: Float64Array;
  /** Bytes of the peer's stream that the sender had acknowledged when it sent this segment. */
  readonly acked: Float64Array;
}

/** TLS records of one connection (outer framing only), as columns, in order within each side. */
export interface RecordTable {
  /** Number of rows. The columns may be longer. */
  readonly length: number;
  /** Who sent it. */
  readonly side: Uint8Array;
  /** Offset of the record's header in its sender's byte stream. */
  readonly offset: Float64Array;
  /** Bytes on the wire, header included. */
  readonly size: Uint32Array;
  /** TLS content type (20 to 24). */
  readonly type: Uint8Array;
}

/** Where the carrier's own handshake ends and learning may start. */
export interface Handshake {
  /**
   * What the first bytes were recognised as, by the name of a registered recogniser (by default `tls`, `ssh`,
   * `smtp` or `smtp-starttls`), or `unknown`.
   */
  readonly carrier: string;
  /**
   * `observed`: the end was seen in the bytes. `estimated`: payload was missing (header-only or
   * anonymised trace) and the end was inferred from sizes. `unknown`: neither; learning refuses.
   */
  readonly end: "observed" | "estimated" | "unknown";
  /** Bytes of each side's stream that belong to the handshake, `[client, server]`. */
  readonly bytes: readonly [number, number];
  /**
   * Milliseconds from the connection's start to the last handshake byte seen, tickets left aside: those
   * arrive beside the first data.
   */
  readonly duration: number;
  /** `"1.2"`, `"1.3"`, `"2.0"` (SSH) where it could be seen. */
  readonly version?: string;
}

/** One TCP connection, assembled from sequence numbers. */
export interface Connection {
  /** Name of the capture it comes from: the group to split by. */
  readonly capture: string;
  /** Position among the capture's connections by start time, from 0. */
  readonly index: number;
  /** Client address as text; never written to a model. */
  readonly clientAddress: string;
  /** Client TCP port. */
  readonly clientPort: number;
  /** Server address as text; never written to a model. */
  readonly serverAddress: string;
  /** Server TCP port. */
  readonly serverPort: number;
  /** Milliseconds since the Unix epoch of the first packet (the SYN where it was captured). */
  readonly startTime: number;
  /** Milliseconds since the Unix epoch of the last packet. */
  readonly endTime: number;
  /** `syn`: the opening was captured. `midstream`: it was not; left out of learning by default. */
  readonly start: "syn" | "midstream";
  /**
   * How it ended, and who began it. `cut`: the capture (or the reader's limits) ended first. `timeout`: it fell
   * silent, or its four-tuple was used again.
   */
  readonly end: {
    readonly how: "fin" | "rst" | "timeout" | "cut";
    readonly by: Side | undefined;
    /** Milliseconds since `startTime` of the FIN or RST. */
    readonly time: number | undefined;
  };
  /**
   * True where packets of one direction only were captured. The other side's segments are estimates then: what
   * the acknowledgement numbers told, at the times of those acknowledgements.
   */
  readonly oneSided: boolean;
  /**
   * Round trips seen from the capture point, in milliseconds: `server` from the SYN to the SYN-ACK,
   * `client` from the SYN-ACK to the ACK; undefined where those packets are missing.
   */
  readonly rtt: { readonly client: number | undefined; readonly server: number | undefined };
  /** Payload segments, handshake included. */
  readonly segments: SegmentTable;
  /** TLS records where the bytes were seen; empty otherwise. */
  readonly records: RecordTable;
  /** Where the carrier's handshake ends. */
  readonly handshake: Handshake;
  /** Bytes missing from the capture inside the stream, `[client, server]`. */
  readonly missingBytes: readonly [number, number];
  /** Segments dropped because the connection passed the reader's limit; 0 for a whole connection. */
  readonly truncatedSegments: number;
}
