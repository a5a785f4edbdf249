import { UserError } from "../base/mod.ts";
import {
  captureNames,
  type FeatureSet,
  featureSet,
  type FlowOptions,
  type FlowRecord,
  readFlows,
} from "../capture/mod.ts";
import type { LabelledCaptures } from "../evaluation/samples.ts";
import type { Rows } from "../plugins/attacks/scaler.ts";

/** How flows are made from packets; a model is used with the settings that it was trained with. */
export interface FlowSettings {
  /** Silence in milliseconds that ends a burst. */
  readonly burstGap: number;
  /** Packets of a flow that its features are computed from, the first ones. */
  readonly maxPackets: number;
  /** Flows with fewer packets are left out of training, and unknown. */
  readonly minPackets: number;
}

/** The seed's: a second of silence, every flow. */
export const DEFAULT_FLOW_SETTINGS: FlowSettings = {
  burstGap: 1000,
  maxPackets: 10_000,
  minPackets: 1,
};

/** Flows as rows of features, with the application of each. */
export interface FlowData {
  /** Name of the feature set. */
  readonly features: string;
  /** A row a flow. */
  readonly rows: Rows;
  /** Names of the applications. */
  readonly labelNames: readonly string[];
  /** Application of each flow, an index into `labelNames`. */
  readonly labels: Uint16Array;
  /** Names of the captures. */
  readonly groupNames: readonly string[];
  /** Round of each capture, as its name tells (`round-2`); 0 where it tells none. */
  readonly rounds: readonly number[];
  /** Capture of each flow, an index into `groupNames`: no capture is split between training and test. */
  readonly groups: Uint16Array;
  /** Flows left out for having too few packets, by application. */
  readonly leftOut: readonly number[];
}

/** Captures that hold no flow of an application. */
export class NoFlowError extends UserError {
  /** `label` is the application. */
  constructor(readonly label: string, leftOut: number) {
    super(
      leftOut === 0
        ? `no flow for ${label}: its captures hold no TCP or UDP packet`
        : `no flow for ${label}: all ${leftOut} have fewer packets than --min-packets`,
    );
  }
}

/** What {@linkcode readFlowData} may be told. */
export interface ReadFlowDataOptions {
  /** How flows are made. {@linkcode DEFAULT_FLOW_SETTINGS} unless told. */
  readonly settings?: FlowSettings;
  /** See {@linkcode FlowOptions.local}. */
  readonly local?: readonly string[];
  /** Accept captures that end in the middle of a packet. */
  readonly allowTruncated?: boolean;
  /** Applications that have the first numbers, as a model knows them, whether or not flows of them come. */
  readonly labelNames?: readonly string[];
  /** Called before each capture is read: how many of how many, and its name. */
  readonly onProgress?: (done: number, total: number, name: string) => void;
}

/** The options that make flows the way `settings` says. */
export function flowOptions(settings: FlowSettings, local?: readonly string[]): FlowOptions {
  return {
    burstGap: settings.burstGap,
    maxPackets: settings.maxPackets,
    packets: true,
    ...(local === undefined ? {} : { local }),
  };
}

/** The round that the name of a capture tells: the number after `round`, as in `round-3/youtube.pcap`. */
export function roundOf(name: string): number {
  const found = [...name.matchAll(/round[-_ ]?(\d+)/gi)].at(-1);
  return found === undefined ? 0 : Number(found[1]);
}

/** Rows that grow. */
class RowList {
  #values: Float64Array;
  count = 0;

  constructor(readonly width: number) {
    this.#values = new Float64Array(256 * width);
  }

  add(set: FeatureSet, flow: FlowRecord): void {
    const at = this.count * this.width;
    if (at === this.#values.length) {
      const larger = new Float64Array(2 * at);
      larger.set(this.#values);
      this.#values = larger;
    }
    set.fill(flow, this.#values, at);
    this.count++;
  }

  rows(): Rows {
    const { count, width } = this;
    return { count, width, values: this.#values.slice(0, count * width) };
  }
}

/**
 * Reads the flows of captures whose applications are known.
 *
 * @throws {NoFlowError} for an application without a flow.
 * @throws {UserError} for a capture that cannot be read, or a feature set that there is not.
 */
export async function readFlowData(
  labelled: readonly LabelledCaptures[],
  features: string,
  options: ReadFlowDataOptions = {},
): Promise<FlowData> {
  const set = featureSet(features);
  const settings = options.settings ?? DEFAULT_FLOW_SETTINGS;
  const labelNames = [
    ...new Set([...options.labelNames ?? [], ...labelled.map((own) => own.label)]),
  ];
  const sources = labelled.flatMap(({ captures }) => captures);
  const labelOf = labelled.flatMap(({ label, captures }) =>
    captures.map(() => labelNames.indexOf(label))
  );
  const names = sources.map((source) => typeof source === "string" ? source : source.name);
  const list = new RowList(set.columns.length);
  const labels: number[] = [];
  const groups: number[] = [];
  const leftOut = labelNames.map(() => 0);
  for (const [group, source] of sources.entries()) {
    options.onProgress?.(group, sources.length, names[group]!);
    const label = labelOf[group]!;
    await readFlows(source, {
      onFlow(flow) {
        if (flow.packetsSent + flow.packetsReceived < settings.minPackets) {
          leftOut[label]!++;
          return;
        }
        list.add(set, flow);
        labels.push(label);
        groups.push(group);
      },
    }, {
      ...flowOptions(settings, options.local),
      allowTruncated: options.allowTruncated ?? false,
    });
  }
  for (const { label: name } of labelled) {
    const label = labelNames.indexOf(name);
    if (!labels.includes(label)) throw new NoFlowError(name, leftOut[label]!);
  }
  return {
    features,
    rows: list.rows(),
    labelNames,
    labels: Uint16Array.from(labels),
    groupNames: captureNames(names),
    rounds: names.map(roundOf),
    groups: Uint16Array.from(groups),
    leftOut,
  };
}

/** The flows that `use` picks, in their order. */
export function selectFlows(data: FlowData, use: (flow: number) => boolean): FlowData {
  const { width, values } = data.rows;
  const picked: number[] = [];
  for (let i = 0; i < data.rows.count; i++) if (use(i)) picked.push(i);
  const own = new Float64Array(picked.length * width);
  picked.forEach((flow, i) =>
    own.set(values.subarray(flow * width, (flow + 1) * width), i * width)
  );
  return {
    ...data,
    rows: { count: picked.length, width, values: own },
    labels: Uint16Array.from(picked, (flow) => data.labels[flow]!),
    groups: Uint16Array.from(picked, (flow) => data.groups[flow]!),
  };
}
