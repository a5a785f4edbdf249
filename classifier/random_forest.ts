import type { RandomForest } from "../plugins/attacks/forest.ts";
import { decodeForest, encodeForest } from "../plugins/attacks/forest_file.ts";
import { growForest } from "../plugins/attacks/forest_workers.ts";
import type { ClassifierKind, FlowClassifier } from "./kind.ts";

/** Our random forest, grown on all processors. */
export const randomForest: ClassifierKind = {
  name: "random-forest",
  summary: "decision trees on bootstrap samples; no feature needs scaling",
  async train(data, { seed, trees = 100, balanced = false, workers, onProgress }) {
    const forest = await growForest(data.rows, data.labels, data.labelNames.length, {
      trees,
      seed,
      ...(balanced ? { weights: "balanced" as const } : {}),
    }, {
      ...(workers === undefined ? {} : { workers }),
      ...(onProgress === undefined ? {} : { onProgress }),
    });
    return classifierOf(forest);
  },
  decode: (bytes) => classifierOf(decodeForest(bytes)),
};

function classifierOf(forest: RandomForest): FlowClassifier {
  return {
    notes: {
      trees: forest.parts.trees.length,
      nodes: forest.parts.trees.reduce((sum, { column }) => sum + column.length, 0),
      outOfBagAccuracy: forest.outOfBagAccuracy || 0,
    },
    importance: forest.importance,
    shares: (rows) => forest.shares(rows),
    encode: () => encodeForest(forest),
  };
}
