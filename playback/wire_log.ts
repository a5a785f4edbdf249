import type { CloseReason } from "./cover_connection.ts";

/** One thing that a node did on the wire, as its engine knows it: the ground truth of a recording. */
export interface WireEvent {
  /** Milliseconds on the engine's clock. */
  readonly time: number;
  /** Milliseconds on the engine's clock that the plan asked for. */
  readonly planned: number;
  /** Milliseconds by which what it answers may have come sooner than this node was told; none if absent. */
  readonly doubt?: number;
  /** The tunnel's session and the connection's serial number in it. */
  readonly session: number;
  /** Serial number of the connection in its session. */
  readonly serial: number;
  /** The cover connection's `id`, to find it in a recording. */
  readonly connection: string;
  /** What happened. */
  readonly what: "open" | "record" | "close";
  /** Bytes on the wire for a `record`, else 0. */
  readonly size: number;
  /** What a `record` held: payload bytes of each kind (their sum is `size` less the overhead). */
  readonly control: number;
  /** User data bytes. */
  readonly data: number;
  /** Padding bytes. */
  readonly padding: number;
  /** How it closed, for a `close`. */
  readonly how?: CloseReason;
  /** For an `open` at the opener: the kind that `adaptive` chose, if not the model's own mixture. */
  readonly kind?: number;
}
