import { connectionNumber } from "./engine_frames.ts";
import type { DrawnOpenings, Opening, OpeningSource } from "./openings.ts";
import type { Patience } from "./patience.ts";

/** What {@linkcode FollowedOpenings} need. */
export interface FollowedOpeningsOptions {
  /** What the master has said. */
  readonly heard: OpeningSource;
  /** What this end would say. */
  readonly own: DrawnOpenings;
  /** How long the master is waited for. */
  readonly patience: Patience;
  /** The slot of a session. */
  readonly slotOf: (session: number) => number;
  /** Whether nothing is open or opens: then nothing can be heard. */
  readonly quiet: () => boolean;
}

/**
 * When connections open where the other end is master: as it says, or, where that is not heard in time, as this end
 * would. Cover never stops because the master cannot be heard.
 */
export class FollowedOpenings implements OpeningSource {
  readonly #options: FollowedOpeningsOptions;

  /** Follows what is heard. */
  constructor(options: FollowedOpeningsOptions) {
    this.#options = options;
  }

  /** When a connection opens; undefined as long as the master may yet say it. Throws BadPlanError. */
  opening(session: number, serial: number): Opening | "end" | undefined {
    const { heard, own, patience, quiet, slotOf } = this.#options;
    // Before it the master does not know that there is a tunnel.
    if (session === 0 && serial === 0) return own.opening(0, 0);
    const said = heard.opening(session, serial);
    const slot = slotOf(session);
    if (said !== undefined) {
      patience.known(slot);
      return said;
    }
    return quiet() || patience.exhausted(slot, connectionNumber(session, serial))
      ? this.#inPlace(session, serial)
      : undefined;
  }

  /** This end's own opening in place of one that was not heard of: its sessions go on without end. */
  #inPlace(session: number, serial: number): Opening {
    const { own } = this.#options;
    const opening = own.opening(session, serial);
    return opening === "end" ? own.opening(session, 0) as Opening : opening;
  }
}
