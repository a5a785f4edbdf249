import { groupedFolds } from "../plugins/attacks/grouped_folds.ts";
import type { Rows } from "../plugins/attacks/scaler.ts";
import { type FlowData, type FlowSettings, selectFlows } from "./flow_data.ts";
import type { FlowClassifier, TrainOptions } from "./kind.ts";
import { classifierKind } from "./kinds.ts";

/** Name of the class of flows that several applications have in common. */
export const AMBIGUOUS = "ambiguous";

/** A classifier with all that is needed to use it on flows. */
export interface ClassifierModel {
  /** Kind of classifier. */
  readonly kind: string;
  /** Name of the feature set. */
  readonly features: string;
  /** Names of the applications. */
  readonly labels: readonly string[];
  /** One more class than applications was learned: flows that several have in common, to be unknown. */
  readonly ambiguity: boolean;
  /** How flows were made. */
  readonly settings: FlowSettings;
  /** What it learned from: flows and captures of each application, in the order of `labels`. */
  readonly trainedOn: readonly { readonly flows: number; readonly captures: readonly string[] }[];
  /** Seed of the training. */
  readonly seed: number;
  /** The classifier. */
  readonly classifier: FlowClassifier;
}

/** How a model is trained. */
export interface TrainModelOptions extends TrainOptions {
  /** Kind of classifier, such as `random-forest`. */
  readonly kind: string;
  /** Detect ambiguous flows as AppScanner does. */
  readonly ambiguity?: boolean;
}

/**
 * Trains a model on flows. With `ambiguity`, as AppScanner does (Taylor et al., TIFS 2018, section V-B):
 * a first classifier learns from half of the captures; the flows of the other half that it takes for
 * another application become a class of their own, and the model learns from that half.
 */
export async function trainModel(
  data: FlowData,
  settings: FlowSettings,
  options: TrainModelOptions,
): Promise<ClassifierModel> {
  const kind = classifierKind(options.kind);
  const ambiguity = options.ambiguity ?? false;
  const learned = ambiguity ? await relabelAmbiguous(data, options) : data;
  return {
    kind: options.kind,
    features: data.features,
    labels: data.labelNames,
    ambiguity,
    settings,
    trainedOn: data.labelNames.map((_, label) => {
      const captures = new Set<string>();
      let flows = 0;
      for (let i = 0; i < data.labels.length; i++) {
        if (data.labels[i] !== label) continue;
        flows++;
        captures.add(data.groupNames[data.groups[i]!]!);
      }
      return { flows, captures: [...captures] };
    }),
    seed: options.seed,
    classifier: await kind.train(learned, options),
  };
}

/** The second half of the captures, with the errors of a classifier of the first half as a class. */
async function relabelAmbiguous(data: FlowData, options: TrainModelOptions): Promise<FlowData> {
  const kind = classifierKind(options.kind);
  const { fold } = groupedFolds({ ...data, count: data.rows.count }, 2, options.seed);
  const first = await kind.train(selectFlows(data, (i) => fold[i] === 0), options);
  const second = selectFlows(data, (i) => fold[i] !== 0);
  const classes = data.labelNames.length;
  const shares = first.shares(second.rows);
  const labels = second.labels.map((label, i) =>
    likeliest(shares, i, classes) === label ? label : classes
  );
  return { ...second, labelNames: [...data.labelNames, AMBIGUOUS], labels };
}

/** The class with the largest share in one row; the first of equals. */
export function likeliest(shares: Float64Array, row: number, classes: number): number {
  let best = 0;
  for (let c = 1; c < classes; c++) {
    if (shares[row * classes + c]! > shares[row * classes + best]!) best = c;
  }
  return best;
}

/** What a model says of flows. */
export interface FlowVerdicts {
  /** The likeliest application, an index into the model's labels; -1 for an ambiguous flow. */
  readonly labels: Int32Array;
  /** The share of that class, 0 to 1. Under a threshold the flow is unknown. */
  readonly confidence: Float64Array;
}

/** Lets a model judge rows of its features. */
export function judge(model: ClassifierModel, rows: Rows): FlowVerdicts {
  const classes = model.labels.length + +model.ambiguity;
  const shares = model.classifier.shares(rows);
  const labels = new Int32Array(rows.count);
  const confidence = new Float64Array(rows.count);
  for (let i = 0; i < rows.count; i++) {
    const best = likeliest(shares, i, classes);
    labels[i] = best < model.labels.length ? best : -1;
    confidence[i] = Math.min(1, shares[i * classes + best]!);
  }
  return { labels, confidence };
}
