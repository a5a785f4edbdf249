import type { Side } from "./side.ts";

/**
 * A maximal run of payload bytes in one direction before the other side answers or an idle gap
 * passes. Whether a side had "answered" is read from acknowledgement numbers, so that bytes already in
 * flight when the peer spoke stay with the message they belong to.
 */
export interface Message {
  /** Who sent it. */
  readonly side: Side;
  /** Milliseconds from the connection's start to the first segment. */
  readonly time: number;
  /** Milliseconds from the connection's start to the last segment. */
  readonly end: number;
  /** Bytes on the wire (TCP payload). */
  readonly size: number;
  /** TCP segments it was seen in. */
  readonly segments: number;
  /** TLS record sizes on the wire in order, summing to `size`; empty where records were not seen. */
  readonly records: readonly number[];
  /**
   * Bytes that the peer had sent before this message (in the capture's order) and that its sender had
   * not yet received when it sent this message: 0 for an ordinary answer, more where the two overlap.
   */
  readonly lead: number;
  /**
   * Milliseconds from what triggered it (the later of the arrival of the peer's bytes it waited for and
   * the sender's own message before it) to its first segment, the network's round trip subtracted,
   * never negative.
   */
  readonly think: number;
}

/** A request message and the responder's messages up to the next request. */
export interface Exchange {
  /** The client's message. Its `think` is the requester's. */
  readonly request: Message;
  /** The server's messages, each with the responder's think time; empty if the client spoke again. */
  readonly responses: readonly Message[];
}
