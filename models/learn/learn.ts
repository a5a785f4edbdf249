import { UserError } from "../../base/mod.ts";
import { MODEL_VERSION, type ModelFile, serialiseModel } from "../model_file.ts";
import { learnConditional } from "./learn_conditional.ts";
import { learnStructural } from "./learn_structural.ts";
import type { ObservedConnection, ObservedLayers } from "./observation.ts";
import type { CaptureCounts, Observer } from "./observer.ts";
import type { LearnableProtocol } from "./protocols.ts";

/** The version of the learners, written into every model file. */
export const LEARNER_VERSION = "3";

/** The most bytes of a learned model's text: what a loader takes, and room to spare. */
const MOST_BYTES = 900_000;

/** How one kind of model is learned. */
export interface Learner {
  /** Makes the content of the model file; `seed` (32 bytes) decides where chance must. */
  readonly learn: (
    connections: readonly ObservedConnection[],
    layers: ObservedLayers,
    seed: Uint8Array,
  ) => object;
  /** Most exchanges that fit a file of this kind; connections beyond are left to chance. */
  readonly mostExchanges: number;
}

/** The kinds of model that can be learned; the names are those of `--model`. */
export const LEARNERS: ReadonlyMap<string, Learner> = new Map([
  ["conditional", { learn: learnConditional, mostExchanges: 10_000 }],
  ["structural", { learn: learnStructural, mostExchanges: Infinity }],
]);

/** Nothing in the captures can be learned from: says what was there instead. */
export class NothingToLearnError extends UserError {
  /** `leftOut` counts connections by reason. */
  constructor(
    readonly protocol: string,
    readonly leftOut: ReadonlyMap<string, number>,
    captures: number,
  ) {
    const reasons = [...leftOut].sort(([, a], [, b]) => b - a);
    const what = reasons.length === 0
      ? "they hold no TCP connection"
      : `left out: ${reasons.map(([reason, count]) => `${count} ${reason}`).join(", ")}`;
    super(
      `no usable ${protocol} connection in ${captures} capture${
        captures === 1 ? "" : "s"
      } (${what}): ` +
        "give captures with whole connections of this protocol",
    );
  }
}

/** A capture as the model file names it. */
export interface CaptureName {
  /** File name; folders are cut off. */
  readonly name: string;
  /** SHA-256 of the file as lower-case hex. */
  readonly sha256: string;
}

/** What to make of the observations. */
export interface LearnOptions {
  /** The protocol that was observed. */
  readonly protocol: LearnableProtocol;
  /** A name in {@linkcode LEARNERS}. */
  readonly kind: string;
  /** The model's name. Default: the protocol's, with the kind unless it is conditional. */
  readonly name?: string;
  /** The carrier that the model is for. Default: the protocol's. */
  readonly carrier?: string;
  /** What has seen users over hours: the layers above connections; the observer itself if absent. */
  readonly users?: Observer;
  /** The captures, in the order that the observer saw them end; behind them, those of `users`. */
  readonly captures: readonly CaptureName[];
  /** The number that the user gave as seed, for the record. */
  readonly seedNumber: number;
  /** 32 bytes: breaks ties. */
  readonly seed: Uint8Array;
}

/** A learned model. */
export interface LearnedModel {
  /** What the model file holds. */
  readonly file: ModelFile;
  /** Its text. */
  readonly text: string;
  /** SHA-256 of the text. */
  readonly digest: string;
  /** Connections in the model. */
  readonly connections: number;
  /** Exchanges in the model. */
  readonly exchanges: number;
  /** Observed connections dropped by chance so that the file stays small. */
  readonly dropped: number;
}

/** Counts of captures of whose connections none was taken as an observation: they told of layers. */
export function forLayersOnly(captures: readonly CaptureCounts[]): CaptureCounts[] {
  return captures.map((counts) => ({ ...counts, used: 0, estimated: 0, greeted: 0 }));
}

/** How many connections, at least one, have no more exchanges than `most` together. */
function fitting(connections: readonly ObservedConnection[], most: number): number {
  let exchanges = 0;
  const over = connections.findIndex((connection) =>
    (exchanges += connection.exchanges.length) > most
  );
  return over < 0 ? connections.length : Math.max(1, over);
}

function day(time: number | undefined): string | null {
  return time === undefined || !Number.isFinite(time) || Math.abs(time) > 8e15
    ? null
    : new Date(time).toISOString().slice(0, 10).replace(/^.*(\d{4}-\d\d-\d\d)$/, "$1");
}

/** A capture's base name with whatever looks like an address taken out. */
export function plainName(path: string): string {
  return path.split(/[/\\]/).at(-1)!
    .replaceAll(/\d{1,3}([._-]\d{1,3}){3}/g, "address")
    .replaceAll(/[0-9a-f]{0,4}(:[0-9a-f]{0,4}){2,}/gi, "address")
    .replaceAll(/[^\p{L}\p{N}._+ -]/gu, "_").slice(0, 255);
}

/**
 * Makes a model of what `observer` has seen. The same captures, in the same order, and the same seed
 * give the same bytes.
 *
 * @throws NothingToLearnError where there is no observation.
 */
export function learnModel(observer: Observer, options: LearnOptions): LearnedModel {
  const { protocol, kind, captures } = options;
  const observations = observer.observations();
  if (observations.length === 0) {
    throw new NothingToLearnError(protocol.name, observer.leftOut, captures.length);
  }
  // The connections of other captures' clicks are none of the model's.
  const layers = options.users === undefined
    ? observer.timeline.observed()
    : { ...options.users.timeline.observed(), clickMembers: [] };
  const seen = [...observer.captures, ...forLayersOnly(options.users?.captures ?? [])];
  const learner = LEARNERS.get(kind);
  if (learner === undefined) throw new RangeError(`no learner for models of kind ${kind}`);
  for (let keep = fitting(observations, learner.mostExchanges);;) {
    const kept = observations.slice(0, keep);
    const file: ModelFile = {
      schema: "trafficmimic-model",
      version: MODEL_VERSION,
      name: options.name ?? (kind === "conditional" ? protocol.name : `${protocol.name}-${kind}`),
      kind,
      protocol: protocol.name,
      carrier: options.carrier ?? protocol.carrier,
      provenance: {
        learner: LEARNER_VERSION,
        seed: options.seedNumber,
        captures: captures.map(({ name, sha256 }, index) => {
          const counts = seen[index]!;
          return {
            name: plainName(name),
            sha256,
            connections: counts.connections,
            used: counts.used,
            first: day(counts.first),
            last: day(counts.last),
          };
        }),
        leftOut: Object.fromEntries(
          [...observer.leftOut, ["left to chance: small file", observations.length - keep] as const]
            .filter(([, count]) => count > 0).sort(([a], [b]) => a < b ? -1 : 1),
        ),
      },
      content: learner.learn(kept, layers, options.seed),
    };
    const { text, digest } = serialiseModel(file);
    if (text.length <= MOST_BYTES || keep === 1) {
      return {
        file,
        text,
        digest,
        connections: keep,
        exchanges: kept.reduce((sum, { exchanges }) => sum + exchanges.length, 0),
        dropped: observations.length - keep,
      };
    }
    keep = Math.max(1, Math.floor(keep * Math.min(0.9, MOST_BYTES / text.length)));
  }
}
