import { SupportVectorClassifier } from "../plugins/attacks/svm.ts";
import type { ClassifierKind, FlowClassifier } from "./kind.ts";

/** A support vector classifier whose kernel has this degree: 1 is linear. */
export function supportVectors(name: string, degree: number): ClassifierKind {
  return {
    name,
    summary: degree === 1
      ? "a plane between each two applications; needs features of one scale"
      : `a polynomial of degree ${degree} between each two applications; needs features of one scale`,
    train(data, { scaling = "standard", balanced = false, onProgress }) {
      const classes = data.labelNames.length;
      const counts = new Float64Array(classes);
      for (const label of data.labels) counts[label]!++;
      const svm = SupportVectorClassifier.train(data.rows, data.labels, classes, {
        degree,
        scaling,
        ...(balanced
          ? { weights: Array.from(counts, (n) => data.rows.count / (classes * Math.max(1, n))) }
          : {}),
        ...(onProgress === undefined ? {} : { onProgress }),
      });
      return Promise.resolve(classifierOf(svm, {
        scaling,
        supportVectors: svm.supportVectors,
        iterations: svm.iterations,
        converged: svm.givenUp === 0,
      }));
    },
    decode: (bytes) => {
      const svm = SupportVectorClassifier.decode(bytes);
      return classifierOf(svm, { supportVectors: svm.supportVectors });
    },
  };
}

function classifierOf(
  svm: SupportVectorClassifier,
  notes: FlowClassifier["notes"],
): FlowClassifier {
  return { notes, shares: (rows) => svm.shares(rows), encode: () => svm.encode() };
}
