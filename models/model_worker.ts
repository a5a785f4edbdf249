/**
 * The worker behind {@linkcode PlansAhead}: holds a model and draws connections ahead of time. It gets
 * one {@linkcode WorkerStart}, then any number of {@linkcode WorkerWish}es, each answered by as many
 * {@linkcode WorkerPlan}s as it asks for.
 *
 * @module
 */
/// <reference lib="deno.worker" />
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

let plans: LocalPlans | undefined;

self.onmessage = ({ data }: MessageEvent<WorkerStart | WorkerWish>) => {
  if ("text" in data) {
    plans = new LocalPlans(modelFromFile(data.text), data.seed);
    return;
  }
  for (let serial = data.from; serial < data.to; serial++) {
    const plan = plans!.connection(data.session, serial);
    self.postMessage({ session: data.session, serial, plan } satisfies WorkerPlan);
  }
};
