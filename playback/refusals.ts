import { UserError } from "../base/mod.ts";
import { ENGINE_ERROR } from "./engine_frames.ts";

/** The other end will not play this model or plan, or not be master. */
export class SlaveRefusedError extends UserError {
  /** `code` is one of `ENGINE_ERROR`; `reason` the other end's own words. */
  constructor(readonly code: number, readonly reason: string) {
    super(
      code === ENGINE_ERROR.unknownModel
        ? "the server does not hold this model: give both ends the same model file, or use --plan embedded"
        : code === ENGINE_ERROR.master
        ? "the server will not be master: use --master client"
        : `the server refuses this model: ${reason}`,
    );
  }
}

/** The master asks for more than this end plays. */
export class MasterRefusedError extends UserError {
  /** `reason` says what it asks for. */
  constructor(readonly reason: string) {
    super(`the server, as master, asks for ${reason}: use --master client`);
  }
}
