import { UserError } from "../base/mod.ts";

/** A model drew something that is not a plan, or could not draw at all. */
export class BadPlanError extends UserError {
  /** `model` is its name; `reason` says what is wrong. */
  constructor(readonly model: string, readonly reason: string) {
    super(`the model ${model} drew a connection that cannot be played: ${reason}`);
  }
}
