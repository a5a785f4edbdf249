import type { RecordPattern } from "../records.ts";

/** A message as the learners see it. */
export interface ObservedMessage {
  /** Bytes on the wire. */
  readonly size: number;
  /** Milliseconds from its trigger, round trip subtracted. */
  readonly think: number;
  /** Bytes of the peer's that its sender had not received yet. */
  readonly lead: number;
  /** Its records; empty where none were seen. */
  readonly records: RecordPattern;
  /** Whether `think` still holds the jitter of one round trip. */
  readonly jittered?: boolean;
}

/** An exchange as the learners see it. */
export interface ObservedExchange {
  /** The client's message. */
  readonly request: ObservedMessage;
  /** The server's. */
  readonly responses: readonly ObservedMessage[];
}

/** A whole connection after its handshake: no addresses, no payload. */
export interface ObservedConnection {
  /** Its exchanges, at least one. */
  readonly exchanges: readonly ObservedExchange[];
  /** How it ended, and how many milliseconds after the last message. */
  readonly close: {
    readonly by: "client" | "server";
    readonly how: "fin" | "rst";
    readonly time: number;
    /** Whether the peer reset the connection when the `fin` came. */
    readonly answer?: "rst";
  };
  /** Its number among all connections that were looked at. */
  readonly number?: number;
}

/** Everything learned of the layers above connections, as lists of observations. */
export interface ObservedLayers {
  /** Connections of one client that were open at once, at most; 0 if absent. */
  readonly mostOpen?: number;
  /** Milliseconds from one connection's start to the next, within a session. */
  readonly connectionGaps: readonly number[];
  /** Milliseconds between the starts of each completed click. */
  readonly clicks: readonly (readonly number[])[];
  /** For each of them, the end that each of its connections shared; null where there was none. */
  readonly clickEnds?: readonly (readonly (number | null)[])[];
  /** For each of them, the numbers of its connections, observed or not. */
  readonly clickMembers?: readonly (readonly (number | undefined)[])[] | undefined;
  /** Milliseconds from a click's last start to the next click, within episodes. */
  readonly clickPauses: readonly number[];
  /** Clicks in each completed episode. */
  readonly episodeClicks: readonly number[];
  /** Connections in each completed episode. */
  readonly episodeConnections: readonly number[];
  /** Milliseconds between starts inside episodes. */
  readonly episodeGaps: readonly number[];
  /** Episodes in each completed session. */
  readonly sessionEpisodes: readonly number[];
  /** Milliseconds from an episode's end to the next one's start. */
  readonly pauses: readonly number[];
}
