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

/** How many draws the largest is taken of. */
export const DRAWS = 4;

/** The plan that carries most from one end; the first of those that carry as much. */
export function largest(plans: readonly ConnectionPlan[], end: End): ConnectionPlan {
  return plans.reduce((one, other) => volumeOf(other)[end] > volumeOf(one)[end] ? other : one);
}

/**
 * The kinds of connection that the `adaptive` schedule chooses among. Kind 0 is the model's own mixture. The others
 * are those that the model names; if it names none, kind 1 (`download`) is the one of four draws in which the server
 * sends most, kind 2 (`upload`) the one in which the client does. So each is a connection that the model draws, and
 * at most four times as often as it draws it anyway: more than two bits it cannot tell.
 */
export class Kinds {
  /** Names, that of kind 0 first. */
  readonly names: readonly string[];
  /** What a connection of each kind carries on average, by a sample: both ends have the same. */
  readonly means: readonly Volume[];
  readonly #named: readonly string[];

  /** Draws the sample: some 50 connections. */
  constructor(plans: PlanSource) {
    const sample = Array.from(
      { length: SAMPLES },
      (_, i) => plans.connection(SAMPLE_SESSION, i, 1),
    );
    const usual = mean(sample.map(volumeOf));
    this.#named = (plans.kinds ?? []).slice(0, MOST_KINDS - 1);
    if (this.#named.length > 0) {
      this.names = ["any", ...this.#named];
      this.means = [
        usual,
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
    const around = [...sample, ...sample];
    const most = (end: End) =>
      mean(sample.map((_, i) => volumeOf(largest(around.slice(i, i + DRAWS), end))));
    this.means = [usual, most("server"), most("client")];
  }

  /** The model's own name of a kind, if it names kinds. */
  nameFor(kind: number): string | undefined {
    return kind > 0 ? this.#named[kind - 1] : undefined;
  }

  /** Of a kind that the model does not name: the end whose bytes decide among {@linkcode DRAWS}. */
  decides(kind: number): End | undefined {
    if (this.#named.length > 0) return undefined;
    return kind === 1 ? "server" : kind === 2 ? "client" : undefined;
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
