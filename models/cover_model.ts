import type { Random } from "./random.ts";

/** Who sends: the tm-client's side or the tm-server's, whoever is master. */
export type End = "client" | "server";

/**
 * One thing a node does on a cover connection: the seed's traffic request.
 *
 * `time` counts milliseconds from what triggers the request: the later of the node's own traffic request
 * before it on this connection and the arrival of all that the peer was planned to send before it, less
 * `lead` bytes. On a fresh connection the first trigger is the end of the carrier's handshake.
 */
export type TrafficRequest =
  | {
    /** `data` may carry user data, `padding` never does. On the wire they look alike. */
    readonly type: "data" | "padding";
    /** Bytes on the wire (TCP payload), the carrier's overhead included. */
    readonly size: number;
    /** Milliseconds after the trigger. */
    readonly time: number;
    /** Sizes on the wire of the records that it is made of, summing to `size`; one if absent. */
    readonly records?: readonly number[];
    /** Bytes of the peer's planned sending that need not have arrived yet; 0 if absent. */
    readonly lead?: number;
  }
  | {
    /**
     * `open` and `close` a connection; `reconnect` closes it and opens the next at once.
     * A `close` by FIN is answered by the peer's FIN; one by RST is not.
     */
    readonly type: "open" | "close" | "reconnect";
    /** Always 0: opening and closing carry no payload of ours. */
    readonly size: 0;
    /** Milliseconds after the trigger. */
    readonly time: number;
    /** How a `close` or `reconnect` ends the connection; `fin` if absent. */
    readonly how?: "fin" | "rst";
  };

/** A traffic request that carries bytes. */
export type DataRequest = Extract<TrafficRequest, { type: "data" | "padding" }>;

/**
 * The seed's model request: what one end sends, and the model response, the traffic requests that the
 * other end answers with. In every model request of a connection `request` is the tm-client's.
 */
export interface ModelRequest {
  /** The tm-client's message. */
  readonly request: DataRequest;
  /** The tm-server's messages in answer; may be empty. */
  readonly response: readonly DataRequest[];
}

/** How a connection ends: who closes it by what, milliseconds after everything planned has been sent. */
export interface ClosePlan {
  /** Who closes. */
  readonly by: End;
  /** By what. */
  readonly how: "fin" | "rst";
  /** Milliseconds after everything planned has been sent and has arrived. */
  readonly time: number;
  /**
   * By what the peer answers a `fin`, where not by its own: programs that have nothing more to say drop the connection
   * with the closing alert unread, and their system resets it.
   */
  readonly answer?: "rst";
}

/** All that is planned for one cover connection. Sizes are on the wire, after the carrier's handshake. */
export interface ConnectionPlan {
  /** The exchanges, in order; at least one. */
  readonly exchanges: readonly ModelRequest[];
  /** How the connection ends. */
  readonly close: ClosePlan;
  /**
   * After its exchanges the connection carries what there is, as it comes, in records as full as that makes
   * them, until an end is told to stop: no shape at all. `close` then says nothing.
   */
  readonly free?: boolean;
}

/** One episode: connections opened together, each so many milliseconds after the one before started. */
export interface EpisodePlan {
  /** Gaps between connection starts, in milliseconds; the first counts from the episode's start. */
  readonly starts: readonly number[];
  /**
   * Where the model has no session layer: milliseconds from the start of the last connection before the episode to
   * the episode's first. If absent, {@linkcode CoverModel.connectionGap} says it.
   */
  readonly pause?: number;
  /**
   * The end that each of them shares, by a number; null where a connection ends by itself, as all do if absent. Those
   * of one number are closed at once, as when a window is closed: of them, those that the client is to close by FIN wait
   * for each other.
   */
  readonly ends?: readonly (number | null)[];
  /**
   * What each of them is drawn like, by the model's own numbers: connections that were seen to open together. Null, or
   * the list absent, where the model does not say. Only where the model has no session layer.
   */
  readonly like?: readonly (number | null)[];
}

/** One session of one user: pauses before each episode. */
export interface SessionPlan {
  /** Milliseconds from the end of the episode before (for the first: from the session's start). */
  readonly pauses: readonly number[];
}

/** What a model says of itself. */
export interface ModelDescription {
  /** The model's name, such as `https`. */
  readonly name: string;
  /** How it draws: `structural`, `conditional`, `constant-rate`, or a plugin's own kind. */
  readonly kind: string;
  /** The protocol that it imitates. */
  readonly protocol: string;
  /** The carrier that it fits: `tls`, `smtp`, `ssh`. Others are refused unless the user insists. */
  readonly carrier: string;
  /** SHA-256 of the model file as lower-case hex: two ends that hold the same digest draw alike. */
  readonly digest: string;
}

/**
 * A model of cover traffic. Every method is a pure function of the randomness handed in: the same
 * substream gives the same plan at both ends, which is how a slave that holds the model file derives its
 * part from a reference.
 */
export interface CoverModel {
  /** What it is. */
  readonly description: ModelDescription;
  /**
   * Kinds of connection that {@linkcode CoverModel.connection} can be asked for, at most 7; none if absent. The
   * `adaptive` schedule then chooses among these, else among classes of volume.
   */
  readonly kinds?: readonly string[];
  /**
   * Connections of one session that are open at once, at most, as real users showed: further ones wait until one has
   * closed. No limit if absent.
   */
  readonly mostOpen?: number | undefined;
  /**
   * One session, or undefined where the model has no session layer (the captures could not show one):
   * then a session is a single episode without end.
   */
  session(random: Random): SessionPlan | undefined;
  /**
   * One episode, or undefined where the model has no episode layer: then connections follow one another
   * by {@linkcode CoverModel.connectionGap} without end.
   */
  episode(random: Random): EpisodePlan | undefined;
  /**
   * Without an episode layer: milliseconds from one connection's start to the next one's, or
   * `"close"`: the next opens when the one before has closed.
   */
  connectionGap(random: Random): number | "close";
  /**
   * How long a person who goes on takes until the next thing: milliseconds from the start of the last connection
   * that one thing opened to the first of the next. The schedules `demand` and `adaptive` draw from it while users
   * want something. Where it is absent or undefined they draw from the pauses of sessions, or from gaps.
   */
  pause?(random: Random): number | undefined;
  /**
   * One connection; with `kind`, one of {@linkcode CoverModel.kinds}, one of that kind; with `like`, one like that of
   * this number, from {@linkcode EpisodePlan.like}.
   */
  connection(random: Random, kind?: string, like?: number): ConnectionPlan;
}
