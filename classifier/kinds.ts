import { UsageError } from "../base/mod.ts";
import type { ClassifierKind } from "./kind.ts";
import { nearestNeighbours } from "./neighbours.ts";
import { randomForest } from "./random_forest.ts";
import { supportVectors } from "./support_vectors.ts";

/** The kinds of classifier, by name. */
export const CLASSIFIER_KINDS: Readonly<Record<string, ClassifierKind>> = {
  "random-forest": randomForest,
  "knn": nearestNeighbours,
  "svm-linear": supportVectors("svm-linear", 1),
  "svm-poly": supportVectors("svm-poly", 3),
};

/**
 * The kind of classifier called `name`.
 *
 * @throws {UsageError} if there is none; it lists those there are.
 */
export function classifierKind(name: string): ClassifierKind {
  const kind = Object.hasOwn(CLASSIFIER_KINDS, name) ? CLASSIFIER_KINDS[name] : undefined;
  if (kind === undefined) {
    const names = Object.keys(CLASSIFIER_KINDS).join(", ");
    throw new UsageError(`there is no classifier ${JSON.stringify(name)} (there are ${names})`);
  }
  return kind;
}
