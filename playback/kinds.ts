import type { ConnectionPlan, End } from "../models/cover_model.ts";
import type { PlanSource } from "../models/plans.ts";

/** Data bytes on the wire of each end. */
export type Volume = Readonly<Record<End, number>>;

/** The most kinds there are, the model's own mixture included. */
export const MOST_KINDS = 8;

/** Connections that are drawn to learn what a model's volumes are, and those for each kind that it names. */
const SAMPLES = 48;
const SAMPLES_OF_KIND = 16;

/** Sessions below 0 are never played: the sample has substreams of its own. */
const SAMPLE_SESSION = -1;

/** Data bytes, on the wire, that a plan has room for. */
export function volumeOf(plan: ConnectionPlan): Volume {
  const volume = { client: 0, server: 0 };
  for (const { request, response } of plan.exchanges) {
    if (request.type === "data") volume.client += request.size;
    for (const { type, size } of response) if (type === "data") volume.server += size;
  }
  return volume;
}

function mean(volumes: readonly Volume[]): Volume {
  const sum = (end: End) => volumes.reduce((sum, volume) => sum + volume[end], 0);
  const count = Math.max(1, volumes.length);
  return { client: sum("client") / count, server: sum("server") / count };
}

/**
 * The kinds of connection that the `adaptive` schedule chooses among. Kind 0 is the model's own mixture. The others
 * are those that the model names; if it names none, kind 1 (`download`) is the upper tercile of its connections by
 * what the server sends, kind 2 (`upload`) by what the client sends. The terciles are those of a sample drawn from
 * the same plans, so that both ends have the same.
 */
export class Kinds {
  /** Names, that of kind 0 first. */
  readonly names: readonly string[];
  /** What a connection of each kind carries on average. */
  readonly means: readonly Volume[];
  readonly #least: readonly (Partial<Volume> | undefined)[];
  readonly #named: readonly string[];

  /** Draws the sample: some 50 connections. */
  constructor(plans: PlanSource) {
    const sample = Array.from(
      { length: SAMPLES },
      (_, i) => volumeOf(plans.connection(SAMPLE_SESSION, i, 1)),
    );
    this.#named = (plans.kinds ?? []).slice(0, MOST_KINDS - 1);
    if (this.#named.length > 0) {
      this.names = ["any", ...this.#named];
      this.#least = [];
      this.means = [
        mean(sample),
        ...this.#named.map((kind) =>
          mean(Array.from(
            { length: SAMPLES_OF_KIND },
            (_, i) => volumeOf(plans.connection(SAMPLE_SESSION, i, 1, kind)),
          ))
        ),
      ];
      return;
    }
    this.names = ["any", "download", "upload"];
    const tercile = (end: End) => {
      const sizes = sample.map((volume) => volume[end]).sort((a, b) => a - b);
      const least = sizes[Math.floor(sizes.length * 2 / 3)]!;
      return { least, mean: mean(sample.filter((volume) => volume[end] >= least)) };
    };
    const [down, up] = [tercile("server"), tercile("client")];
    this.#least = [undefined, { server: down.least }, { client: up.least }];
    this.means = [mean(sample), down.mean, up.mean];
  }

  /** The model's own name of a kind, if it names kinds. */
  nameFor(kind: number): string | undefined {
    return kind > 0 ? this.#named[kind - 1] : undefined;
  }

  /** Whether a plan is of a kind; always true for those that the model names. */
  holds(kind: number, plan: ConnectionPlan): boolean {
    const least = this.#least[kind];
    if (least === undefined) return true;
    const volume = volumeOf(plan);
    return volume.client >= (least.client ?? 0) && volume.server >= (least.server ?? 0);
  }
}

/**
 * The kind for an episode that begins while so many bytes wait at each end: the model's own mixture, if a
 * connection of it carries what waits on average; else the kind that carries most the way that needs it most.
 */
export function chooseKind(means: readonly Volume[], waiting: Volume): number {
  const usual = means[0];
  if (usual === undefined) return 0;
  const need = (end: End) => waiting[end] / Math.max(1, usual[end]);
  const end = need("server") >= need("client") ? "server" : "client";
  if (need(end) <= 1) return 0;
  let best = 0;
  for (let kind = 1; kind < means.length; kind++) {
    if (means[kind]![end] > means[best]![end]) best = kind;
  }
  return best;
}
