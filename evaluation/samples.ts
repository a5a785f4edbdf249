import { UserError } from "../base/mod.ts";
import {
  captureNames,
  type CaptureSource,
  type Connection,
  messageSequence,
  readConnections,
  SEED_FEATURES,
  seedFeatures,
  segmentSequence,
  type Sequence,
} from "../capture/mod.ts";
import type { AttackPlugin, LabelledSamples } from "../plugins/attack.ts";

/** Captures that belong to one label. */
export interface LabelledCaptures {
  /** Name of the class, such as `https`. */
  readonly label: string;
  /** The captures, each a group of its own. */
  readonly captures: readonly CaptureSource[];
}

/** What is read of connections. */
export interface SampleOptions {
  /** What the attack reads; its sequences are filled. `features` unless told. */
  readonly reads?: AttackPlugin["reads"];
  /** `included` counts the carrier's handshake as well. `excluded` unless told. */
  readonly handshake?: "excluded" | "included";
  /** Called as reading goes on: a capture's name, bytes read, and its size where known. */
  readonly onProgress?: (name: string, done: number, total: number | undefined) => void;
}

/** Samples, and what was left out of them. */
export interface ReadSamples {
  /** The samples, in the order of captures and, within each, of connections. */
  readonly samples: LabelledSamples;
  /** Connections that were no use: reason and number. */
  readonly leftOut: Readonly<Record<string, number>>;
}

/** Captures without a single connection that an attack could use. */
export class NoUsableConnectionError extends UserError {
  /** `label` is the label whose captures these are. */
  constructor(readonly label: string, leftOut: Readonly<Record<string, number>>) {
    const why = Object.entries(leftOut).map(([reason, count]) => `${count} ${reason}`).join(", ");
    super(
      `no usable connection for ${label} (${why || "no TCP connection at all"}): ` +
        `captures must hold whole TCP connections, from the SYN on, both directions`,
    );
  }
}

/** Why an attack cannot use a connection; undefined where it can. */
export function unusable(connection: Connection): string | undefined {
  if (connection.start === "midstream") return "began before the capture";
  if (connection.oneSided) return "captured in one direction only";
  if (connection.segments.length === 0) return "without payload";
  return undefined;
}

/** One connection as a sample, before it becomes columns. */
interface Row {
  readonly label: number;
  readonly group: number;
  readonly index: number;
  readonly features: Float64Array;
  readonly sequence: Sequence | undefined;
}

/**
 * Reads captures into samples. Only whole connections count: opened inside the capture, both directions
 * seen, with payload after the handshake (or at all, where the handshake is included).
 *
 * @throws {NoUsableConnectionError} for a label of which nothing is left.
 * @throws {UserError} for a capture that cannot be read.
 */
export async function readSamples(
  labelled: readonly LabelledCaptures[],
  options: SampleOptions = {},
): Promise<ReadSamples> {
  const sources = labelled.flatMap(({ captures }) => captures);
  const labelOf = labelled.flatMap(({ captures }, label) => captures.map(() => label));
  const groupNames = captureNames(
    sources.map((source) => typeof source === "string" ? source : source.name),
  );
  const groupOf = new Map(groupNames.map((name, group) => [name, group]));
  const rows: Row[] = [];
  const leftOut: Record<string, number>[] = labelled.map(() => ({}));
  const handshake = options.handshake ?? "excluded";
  await readConnections(sources, {
    onConnection(connection) {
      const group = groupOf.get(connection.capture)!;
      const label = labelOf[group]!;
      const features = seedFeatures(connection, { handshake });
      const why = unusable(connection) ??
        (features[0]! + features[1]! === 0 ? "without payload after the handshake" : undefined);
      if (why !== undefined) {
        leftOut[label]![why] = (leftOut[label]![why] ?? 0) + 1;
        return;
      }
      const sequence = options.reads === "messages"
        ? messageSequence(connection, { handshake })
        : options.reads === "packets"
        ? segmentSequence(connection, { handshake })
        : undefined;
      if (sequence !== undefined && handshake === "excluded") {
        const start = connection.handshake.duration;
        sequence.times.forEach((time, i) => sequence.times[i] = Math.max(0, time - start));
      }
      rows.push({ label, group, index: connection.index, features, sequence });
    },
    ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
  });
  labelled.forEach(({ label }, index) => {
    if (!rows.some((row) => row.label === index)) {
      throw new NoUsableConnectionError(label, leftOut[index]!);
    }
  });
  rows.sort((a, b) => a.group - b.group || a.index - b.index);
  const all: Record<string, number> = {};
  for (const [why, count] of leftOut.flatMap((reasons) => Object.entries(reasons))) {
    all[why] = (all[why] ?? 0) + count;
  }
  return { samples: columnsOf(rows, labelled.map(({ label }) => label), groupNames), leftOut: all };
}

function columnsOf(
  rows: readonly Row[],
  labelNames: readonly string[],
  groupNames: readonly string[],
): LabelledSamples {
  const count = rows.length;
  const width = SEED_FEATURES.length;
  const features = new Float64Array(count * width);
  const offsets = new Uint32Array(count + 1);
  rows.forEach((row, i) => {
    features.set(row.features, i * width);
    offsets[i + 1] = offsets[i]! + (row.sequence?.sizes.length ?? 0);
  });
  const sizes = new Float64Array(offsets[count]!);
  const times = new Float64Array(offsets[count]!);
  rows.forEach(({ sequence }, i) => {
    if (sequence === undefined) return;
    sizes.set(sequence.sizes, offsets[i]!);
    times.set(sequence.times, offsets[i]!);
  });
  return {
    count,
    featureNames: SEED_FEATURES,
    features,
    offsets,
    sizes,
    times,
    labelNames,
    labels: Uint16Array.from(rows, ({ label }) => label),
    groupNames,
    groups: Uint16Array.from(rows, ({ group }) => group),
  };
}

/** The samples at `chosen`, in that order. Names of classes and captures stay. */
export function selectSamples(
  samples: LabelledSamples,
  chosen: readonly number[],
): LabelledSamples {
  const width = samples.featureNames.length;
  const features = new Float64Array(chosen.length * width);
  const offsets = new Uint32Array(chosen.length + 1);
  chosen.forEach((from, to) => {
    features.set(samples.features.subarray(from * width, (from + 1) * width), to * width);
    offsets[to + 1] = offsets[to]! + samples.offsets[from + 1]! - samples.offsets[from]!;
  });
  const sizes = new Float64Array(offsets.at(-1)!);
  const times = new Float64Array(offsets.at(-1)!);
  chosen.forEach((from, to) => {
    const [start, end] = [samples.offsets[from]!, samples.offsets[from + 1]!];
    sizes.set(samples.sizes.subarray(start, end), offsets[to]!);
    times.set(samples.times.subarray(start, end), offsets[to]!);
  });
  return {
    count: chosen.length,
    featureNames: samples.featureNames,
    features,
    offsets,
    sizes,
    times,
    labelNames: samples.labelNames,
    labels: Uint16Array.from(chosen, (from) => samples.labels[from]!),
    groupNames: samples.groupNames,
    groups: Uint16Array.from(chosen, (from) => samples.groups[from]!),
  };
}

/** The indices of the samples that `keep` admits, in order. */
export function indicesWhere(
  samples: Pick<LabelledSamples, "count">,
  keep: (index: number) => boolean,
): number[] {
  const chosen: number[] = [];
  for (let i = 0; i < samples.count; i++) if (keep(i)) chosen.push(i);
  return chosen;
}

/**
 * Puts two sets of samples one behind the other as two classes, whatever classes they had; captures
 * stay apart.
 *
 * @throws {Error} if their features differ.
 */
export function asTwoClasses(
  first: LabelledSamples,
  second: LabelledSamples,
  names: readonly [string, string],
): LabelledSamples {
  if (first.featureNames.join() !== second.featureNames.join()) throw new Error("other features");
  const join = (a: Float64Array, b: Float64Array) => {
    const joined = new Float64Array(a.length + b.length);
    joined.set(a);
    joined.set(b, a.length);
    return joined;
  };
  const labels = new Uint16Array(first.count + second.count).fill(1, first.count);
  const offsets = new Uint32Array(first.count + second.count + 1);
  offsets.set(first.offsets);
  second.offsets.forEach((offset, i) => offsets[first.count + i] = first.sizes.length + offset);
  const shift = first.groupNames.length;
  return {
    count: first.count + second.count,
    featureNames: first.featureNames,
    features: join(first.features, second.features),
    offsets,
    sizes: join(first.sizes, second.sizes),
    times: join(first.times, second.times),
    labelNames: names,
    labels,
    groupNames: [...first.groupNames, ...second.groupNames],
    groups: Uint16Array.from([...first.groups, ...second.groups.map((group) => group + shift)]),
  };
}
