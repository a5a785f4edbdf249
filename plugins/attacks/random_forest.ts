import type { AttackOptions, AttackPlugin, LabelledSamples, SampleSet } from "../attack.ts";
import { RandomForest } from "./forest.ts";
import { messageRows } from "./message_features.ts";
import { readParameters } from "./parameters.ts";
import { verdictsOf } from "./verdicts.ts";

const PARAMETERS = {
  /** Trees. */
  trees: { default: 300, min: 1, max: 100_000, integer: true },
  /** Columns tried at a split; 0 takes the square root of their number. */
  tries: { default: 0, min: 0, max: 100_000, integer: true },
  /** Samples that a leaf must hold. */
  leaf: { default: 1, min: 1, max: 1e6, integer: true },
  /** Samples whose likeliest class has a smaller share of the votes are unknown. */
  unknown: { default: 0, min: 0, max: 1 },
  /** Milliseconds to which times are read; 0 takes them as they were recorded. */
  clock: { default: 0, min: 0, max: 60_000 },
} as const;

let trained: { forest: RandomForest; classes: number; unknown: number; clock: number } | undefined;

/**
 * A stronger attacker than the seed's: a random forest over the features and over sizes and times of
 * messages. Confidence is the likeliest class's share, anomaly what is missing from it to 1.
 */
const randomForest: AttackPlugin = {
  contract: 1,
  name: "random-forest",
  reads: "messages",

  train(samples: LabelledSamples, options: AttackOptions) {
    const { trees, tries, leaf, unknown, clock } = readParameters(PARAMETERS, options.parameters);
    const rows = messageRows(samples, clock);
    const classes = samples.labelNames.length;
    const forest = RandomForest.grow(rows, samples.labels, classes, {
      trees,
      leaf,
      seed: options.seed,
      ...(tries > 0 ? { tries } : {}),
    });
    trained = { forest, classes, unknown, clock };
    return {
      trees,
      columns: rows.width,
      samples: samples.count,
      outOfBagAccuracy: forest.outOfBagAccuracy || 0,
    };
  },

  classify(samples: SampleSet) {
    if (trained === undefined) throw new Error("classify was called before train");
    const { forest, classes, unknown, clock } = trained;
    return verdictsOf(forest.shares(messageRows(samples, clock)), classes, unknown);
  },
};

export default randomForest;
