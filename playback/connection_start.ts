import type { EngineFrame } from "./engine.ts";
import { ENGINE, packNumbers } from "./engine_frames.ts";
import type { Script } from "./script.ts";

/** What a connection plays that this end opens, and what goes first on it. */
export interface ConnectionStart {
  /** Its kind; 0 is the model's own mixture. */
  readonly kind: number;
  /** What both ends play. */
  readonly script: Script;
  /** Frames that go first: they tell the other end where its plan comes from. */
  readonly first: readonly EngineFrame[];
  /** The plan itself, if it travels on the connection. */
  readonly inline?: Uint8Array;
}

/** Bytes of a frame that names a connection's kind. */
export const KIND_FRAME = 4;

/** The frame that names a connection's kind; none for the model's own mixture, which goes without saying. */
export function kindFrames(kind: number): EngineFrame[] {
  return kind > 0 ? [{ type: ENGINE.kind, body: packNumbers([kind]) }] : [];
}
