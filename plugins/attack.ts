/**
 * What an attack sees of a set of connections, as columns. One sample is one connection.
 * Which parts are filled depends on what the attack declares to read.
 */
export interface SampleSet {
  /** Number of samples. */
  readonly count: number;
  /** Names of the feature columns, such as `bytesSent`. */
  readonly featureNames: readonly string[];
  /** Row-major `count x featureNames.length`. */
  readonly features: Float64Array;
  /**
   * Message sequences (or segment sequences, for an attack that reads `packets`): those of sample `i`
   * are at `offsets[i]` up to `offsets[i + 1]`. Length `count + 1`; all zero where not asked for.
   */
  readonly offsets: Uint32Array;
  /** Signed sizes in bytes: positive from the client, negative from the server. */
  readonly sizes: Float64Array;
  /** Milliseconds from the start of the connection (after the handshake). */
  readonly times: Float64Array;
}

/** Samples whose truth is known. */
export interface LabelledSamples extends SampleSet {
  /** Names of the classes, such as `https`. */
  readonly labelNames: readonly string[];
  /** Class of each sample, an index into `labelNames`. */
  readonly labels: Uint16Array;
  /** Names of the captures. */
  readonly groupNames: readonly string[];
  /** Capture of each sample, an index into `groupNames`: no group is ever split. */
  readonly groups: Uint16Array;
}

/** What an attack says of each sample. */
export interface Verdicts {
  /** Class index, or -1 for `unknown` (or flagged). */
  readonly labels: Int32Array;
  /** Confidence in the label, 0 to 1. */
  readonly confidence: Float64Array;
  /** How unlike the training samples it is; higher is stranger. Units are the attack's own. */
  readonly anomaly: Float64Array;
}

/** What an attack tells of its training, shown to the user. Plain data. */
export type TrainingNotes = Record<
  string,
  string | number | boolean | readonly (string | number)[]
>;

/**
 * An attack plugin: the default export of a module. `train` is called once, then `classify` any number of
 * times. Both are deterministic in `options.seed`. A plugin needs no permission and gets none.
 *
 * @example
 * ```ts
 * import type { AttackPlugin } from "./attack.ts";
 * const always: AttackPlugin = {
 *   contract: 1,
 *   name: "always-first",
 *   reads: "features",
 *   train: () => ({ classes: 1 }),
 *   classify: ({ count }) => ({
 *     labels: new Int32Array(count),
 *     confidence: new Float64Array(count).fill(1),
 *     anomaly: new Float64Array(count),
 *   }),
 * };
 * export default always;
 * ```
 */
export interface AttackPlugin {
  /** Version of this contract. */
  readonly contract: 1;
  /** Its name: lower-case letters, digits and `-`. */
  readonly name: string;
  /** What it reads; `features` are always filled. */
  readonly reads: "features" | "messages" | "packets";
  /** Learns from labelled samples of real traffic. */
  train(samples: LabelledSamples, options: AttackOptions): TrainingNotes | Promise<TrainingNotes>;
  /** Judges samples. */
  classify(samples: SampleSet): Verdicts | Promise<Verdicts>;
}

/** What an attack is trained with. */
export interface AttackOptions {
  /** Unsigned 32-bit seed of whatever it draws. */
  readonly seed: number;
  /** Parameters of its own from `--set name=value`, validated by the plugin. */
  readonly parameters: Readonly<Record<string, number>>;
}
