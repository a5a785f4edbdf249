import type { Rows } from "../plugins/attacks/scaler.ts";
import type { Scaling } from "../plugins/attacks/svm.ts";
import type { FlowData } from "./flow_data.ts";

/** What training may be told. What a kind has no use for, it ignores. */
export interface TrainOptions {
  /** Unsigned 32-bit seed of all draws. */
  readonly seed: number;
  /** Trees of a forest; 100 unless told. */
  readonly trees?: number;
  /** Give every application the same weight, however many flows it has. */
  readonly balanced?: boolean;
  /** Threads; as many as the machine has processors unless told. */
  readonly workers?: number;
  /** What a support vector classifier does to features first; `standard` unless told. */
  readonly scaling?: Scaling;
  /** Called as training goes on: how much of how much. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** What has been learned: rows of features go in, shares of the classes come out. */
export interface FlowClassifier {
  /** Facts about the training, for people. */
  readonly notes: Readonly<Record<string, string | number | boolean>>;
  /** How much each column decides, summing to 1; only where the kind knows it. */
  readonly importance?: Float64Array;
  /**
   * Row-major `count x classes`: how likely each class is. They sum to 1, or to less for a row that is
   * unlike all training rows.
   */
  shares(rows: Rows): Float64Array;
  /** What was learned as bytes, the same on every architecture. */
  encode(): Uint8Array<ArrayBuffer>;
}

/** A way to learn. */
export interface ClassifierKind {
  /** Its name, such as `random-forest`. */
  readonly name: string;
  /** What it is, in a line. */
  readonly summary: string;
  /** Learns from flows. Deterministic in `options.seed`. */
  train(data: FlowData, options: TrainOptions): Promise<FlowClassifier>;
  /**
   * Reads what {@linkcode FlowClassifier.encode} wrote.
   *
   * @throws {UserError} if the bytes are not that.
   */
  decode(bytes: Uint8Array): FlowClassifier;
}
