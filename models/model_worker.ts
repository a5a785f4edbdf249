/**
 * The worker behind {@linkcode PlansAhead}: holds a model and draws connections ahead of time. It gets
 * one {@linkcode WorkerStart}, then any number of {@linkcode WorkerWish}es, each answered by as many
 * {@linkcode WorkerPlan}s as it asks for.
 *
 * @module
 */
import type { ConnectionPlan } from "./cover_model.ts";
import { LocalPlans } from "./plans.ts";
import { modelFromFile } from "./registry.ts";

/** The first message to the worker. */
export interface WorkerStart {
  /** Text of the model file. */
  readonly text: string;
  /** 32 bytes. */
  readonly seed: Uint8Array;
}

/** Asks for connections `from` to `to` - 1 of a session. */
export interface WorkerWish {
  /** The session. */
  readonly session: number;
  /** First serial number. */
  readonly from: number;
  /** One more than the last. */
  readonly to: number;
}

/** A connection drawn ahead. */
export interface WorkerPlan {
  /** The session. */
  readonly session: number;
  /** The connection's serial number in it. */
  readonly serial: number;
  /** Its plan at the first attempt. */
  readonly plan: ConnectionPlan;
}

/** The part of a worker's global scope that is used here. */
interface WorkerScope {
  onmessage: (event: MessageEvent<WorkerStart | WorkerWish>) => void;
  postMessage(message: WorkerPlan): void;
}

const scope = self as unknown as WorkerScope;
let plans: LocalPlans | undefined;

scope.onmessage = ({ data }) => {
  if ("text" in data) {
    plans = new LocalPlans(modelFromFile(data.text), data.seed);
    return;
  }
  for (let serial = data.from; serial < data.to; serial++) {
    const plan = plans!.connection(data.session, serial);
    scope.postMessage({ session: data.session, serial, plan });
  }
};
