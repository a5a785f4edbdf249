import type { LinkProfile } from "../lab/link_profile.ts";

export type { LinkProfile };

/** A share of `n` cases with its 95 % confidence interval (Wilson's score interval). All from 0 to 1. */
export interface Rate {
  /** `count / n`. */
  readonly share: number;
  /** Cases counted. */
  readonly count: number;
  /** Cases in all. */
  readonly n: number;
  /** Lower end of the interval. */
  readonly low: number;
  /** Upper end of the interval. */
  readonly high: number;
}

/** A figure with whatever tells how far to trust it. */
export interface Score {
  /** The figure. */
  readonly value: number;
  /** The same figure for real traffic against real traffic: what no cover can beat. */
  readonly floor?: number;
  /** Lower end of the 95 % interval. */
  readonly low?: number;
  /** Upper end of the 95 % interval. */
  readonly high?: number;
}

/** What one cover model showed. */
export interface ModelResult {
  /** Name of the model file, such as `https`. */
  readonly model: string;
  /** How it draws: `conditional`, `structural`, `constant-rate` or a plugin's own kind. */
  readonly kind: string;
  /** The protocol that it claims to be. */
  readonly protocol: string;
  /** Cover connections that were recorded and judged. */
  readonly connections: number;
  /** User bytes delivered a second in kbit/s (1000 bits), both directions together. */
  readonly goodputKbps: number;
  /** The same for each direction, where it was measured. */
  readonly goodput?: { readonly upKbps: number; readonly downKbps: number };
  /** Wire bytes for each user byte. */
  readonly overhead: number;
  /** Share that knn labels as the protocol it claims; of constant rate, as any protocol. */
  readonly asClaimed: Rate;
  /** Share that knn calls unknown. */
  readonly anomalous: Rate;
  /** Share in clusters that kmeans flags as too regular. */
  readonly kmeansFlagged: Rate;
  /** Area under the ROC curve of a stronger attacker; 0.5 is indistinguishable. */
  readonly auc?: Score;
  /** Whether this model's own transfer arrived intact, where there was one. */
  readonly sha256Match?: boolean;
  /** Anything a reader must know about this row. */
  readonly note?: string;
}

/** One feature: what it is called and measured in. */
export interface FeatureName {
  /** Its name, such as `bytesSent`. */
  readonly name: string;
  /** The unit of its values: `bytes`, `ms`. */
  readonly unit: string;
}

/** Feature values of a set of connections. */
export interface FeatureSeries {
  /** What a legend calls it, such as `real` or `conditional`. */
  readonly name: string;
  /** Values of each feature, in the order of {@linkcode FeatureComparison.features}. */
  readonly values: readonly (readonly number[])[];
}

/** Real traffic of one protocol and the cover that claims to be it. */
export interface FeatureComparison {
  /** The protocol, such as `https`. */
  readonly protocol: string;
  /** The features compared. */
  readonly features: readonly FeatureName[];
  /** The real connections. */
  readonly real: FeatureSeries;
  /** The cover connections, one series a model (up to three are told apart well). */
  readonly cover: readonly FeatureSeries[];
}

/** How an attack labelled connections whose truth is known. */
export interface Confusion {
  /** The attack's name. */
  readonly attack: string;
  /** The verdicts, in the order of the columns; the last is usually `unknown`. */
  readonly verdicts: readonly string[];
  /** One row for each kind of truth. */
  readonly rows: readonly {
    /** What the connections were, such as `https`. */
    readonly truth: string;
    /** Real traffic or cover. */
    readonly source: "real" | "cover";
    /** Connections given each verdict. */
    readonly counts: readonly number[];
  }[];
}

/** One record of ours on the wire. */
export interface TimelineRecord {
  /** Milliseconds from the start of the connection. */
  readonly time: number;
  /** Who sent it. */
  readonly from: "client" | "server";
  /** Payload bytes of user data. */
  readonly data: number;
  /** Payload bytes of frames of ours. */
  readonly control: number;
  /** Payload bytes of padding. */
  readonly padding: number;
}

/** One connection, record by record, as only its two ends know it. */
export interface Timeline {
  /** Which model it played. */
  readonly model: string;
  /** What it carried, in words, such as `a download of 100 KB`. */
  readonly carried?: string;
  /** The records in order of time. */
  readonly records: readonly TimelineRecord[];
}

/** All that a run of the demo or of an evaluation showed. Plain data. */
export interface DemoResult {
  /** Heading of the report. */
  readonly title?: string;
  /** When it was made, as ISO 8601. */
  readonly madeAt: string;
  /** Version of this package. */
  readonly version?: string;
  /** The seed that repeats the plans. */
  readonly seed: string | number;
  /** Whether user data arrived as it was sent, over all models. */
  readonly transfer: {
    /** Equal digests in both directions under every model. */
    readonly sha256Match: boolean;
    /** User bytes sent by the client under each model. */
    readonly bytesUp: number;
    /** User bytes sent to the client under each model. */
    readonly bytesDown: number;
  };
  /** The link that the traffic crossed. */
  readonly link: LinkProfile;
  /** How the wire was recorded, such as `user-space recording`. */
  readonly recording: string;
  /** How well the attack tells real protocols apart, so that its verdicts on cover mean something. */
  readonly crossValidation?: {
    /** The attack's name. */
    readonly attack: string;
    /** Share of real connections labelled rightly, 0 to 1. */
    readonly accuracy: number;
    /** The same for each fold. */
    readonly folds: readonly number[];
    /** Connections judged. */
    readonly n: number;
    /** What no fold splits, such as `capture`. */
    readonly groupedBy: string;
  };
  /** Held-out real connections labelled as what they are, by protocol: the mark that cover is held to. */
  readonly realAsClaimed?: readonly { readonly protocol: string; readonly rate: Rate }[];
  /** One entry a model, in the order of the table. */
  readonly models: readonly ModelResult[];
  /** Distributions, one entry a protocol. */
  readonly features: readonly FeatureComparison[];
  /** Verdicts against truth. */
  readonly confusion?: Confusion;
  /** One connection in full. */
  readonly timeline?: Timeline;
  /** What was compared with what, the splits, the limits: a heading and text for each. */
  readonly method: readonly { readonly title: string; readonly text: string }[];
}
