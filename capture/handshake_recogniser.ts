import type { SegmentTable } from "./connection.ts";
import type { RecordColumns } from "./stream_columns.ts";
import type { Side } from "./side.ts";

/** How far a recogniser has come with a connection. */
export type RecogniserState =
  /** Nothing seen yet speaks against it. */
  | "open"
  /** It is this protocol; more bytes are wanted. */
  | "recognised"
  /** It is this protocol, and nothing more is to be learned from the bytes. */
  | "done"
  /** It is another protocol, or too much is missing to tell. */
  | "rejected";

/** What else is known of a connection when its handshake is asked for. */
export interface ConnectionView {
  /** Its segments. */
  readonly segments: SegmentTable;
  /** Port of the server. */
  readonly serverPort: number;
  /** Round trip between the capture point and the server in milliseconds, if it was seen. */
  readonly serverRtt: number | undefined;
}

/** The end of a handshake as a recogniser saw or estimated it. */
export interface HandshakeEnd {
  /** Bytes of each side's stream that belong to the handshake, `[client, server]`. */
  readonly bytes: readonly [number, number];
  /**
   * The part of `bytes` that application data had to wait for, if less than all: tickets arrive beside it.
   */
  readonly blocking?: readonly [number, number];
  /** Protocol version, where it could be seen. */
  readonly version?: string;
}

/** Reads one connection's bytes, in order within each side. */
export interface StreamRecogniser {
  /** How far it has come. */
  readonly state: RecogniserState;
  /** What it takes the connection for; may become more precise (`smtp`, then `smtp-starttls`). */
  readonly carrier: string;
  /** Protocol version, as soon as it is known. */
  readonly version: string | undefined;
  /** The next bytes of one side: `buffer[start..end)`, valid during the call only. */
  bytes(side: Side, buffer: Uint8Array, start: number, end: number): void;
  /** The next `length` bytes of one side are not in the capture. */
  gap(side: Side, length: number): void;
  /** Where the handshake ended; undefined as long as its end has not been seen. */
  handshake(view: ConnectionView): HandshakeEnd | undefined;
}

/**
 * A protocol that the assembler can recognise. Another protocol is added by adding one of these to the
 * list handed to the assembler (`protocols` of its options): nothing in the assembler names a protocol.
 */
export interface ProtocolRecogniser {
  /** Its name, as {@linkcode Handshake.carrier} gives it. */
  readonly carrier: string;
  /** Well-known server ports: consulted only where the payload is missing. */
  readonly ports: readonly number[];
  /** A reader for one connection; TLS records that it meets go to `records`. */
  create(records: RecordColumns): StreamRecogniser;
  /**
   * Where payload is missing, infers the end of the handshake from sizes and directions alone;
   * undefined where they do not look like this protocol.
   */
  estimate?(view: ConnectionView): HandshakeEnd | undefined;
}
