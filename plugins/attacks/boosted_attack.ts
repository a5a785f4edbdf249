import type { AttackOptions, AttackPlugin, LabelledSamples, SampleSet } from "../attack.ts";
import { BoostedTrees, BOOSTING } from "./gradient_boosting_trees.ts";
import { type Parameter, readParameters } from "./parameters.ts";
import type { Rows } from "./scaler.ts";
import { verdictsOf } from "./verdicts.ts";

/** Parameters of boosting, as `--set` knows them. */
const PARAMETERS = {
  /** Rounds. */
  rounds: { default: BOOSTING.rounds, min: 1, max: 10_000, integer: true },
  /** Share of each tree's values that counts. */
  rate: { default: BOOSTING.rate, min: 0.001, max: 1 },
  /** Most leaves of a tree. */
  leaves: { default: BOOSTING.leaves, min: 2, max: 255, integer: true },
  /** Samples that a leaf must hold. */
  leaf: { default: BOOSTING.leaf, min: 1, max: 1e6, integer: true },
  /** Share of the samples that each round sees. */
  rows: { default: BOOSTING.rows, min: 0.05, max: 1 },
  /** Share of the columns that each tree chooses among. */
  columns: { default: BOOSTING.columns, min: 0.01, max: 1 },
  /** What pulls the values of small leaves to 0. */
  ridge: { default: BOOSTING.ridge, min: 0, max: 1e6 },
  /** Samples whose likeliest class is less probable than this are unknown. */
  unknown: { default: 0, min: 0, max: 1 },
  /** Milliseconds to which times are read; 0 takes them as they were recorded. */
  clock: { default: 0, min: 0, max: 60_000 },
} as const;

/** What an attack with boosted trees looks at. */
export interface BoostedColumns<Own extends Record<string, Parameter>> {
  /** Its name. */
  readonly name: string;
  /** Parameters of its own. */
  readonly parameters: Own;
  /** The columns of samples, times read to `clock` milliseconds. */
  readonly rows: (samples: SampleSet, values: Record<keyof Own | "clock", number>) => Rows;
  /** Their names. */
  readonly columns: (
    samples: SampleSet,
    values: Record<keyof Own | "clock", number>,
  ) => readonly string[];
}

/** Columns named in the training notes. */
const TOLD = 8;

/**
 * An attack that boosts trees on columns of its own. Confidence is the likeliest class's probability, anomaly what is
 * missing from it to 1; the training notes name the columns that told most.
 */
export function boostedAttack<Own extends Record<string, Parameter>>(
  { name, parameters: own, rows, columns }: BoostedColumns<Own>,
): AttackPlugin {
  const known = { ...PARAMETERS, ...own };
  let trained:
    | { trees: BoostedTrees; values: Record<keyof typeof known, number> }
    | undefined;
  return {
    contract: 1,
    name,
    reads: "messages",

    train(samples: LabelledSamples, options: AttackOptions) {
      const values = readParameters(known, options.parameters);
      const table = rows(samples, values);
      const classes = Math.max(2, samples.labelNames.length);
      const trees = BoostedTrees.fit(table, samples.labels, classes, {
        rounds: values.rounds,
        rate: values.rate,
        leaves: values.leaves,
        leaf: values.leaf,
        rows: values.rows,
        columns: values.columns,
        ridge: values.ridge,
        seed: options.seed,
      });
      trained = { trees, values };
      const names = columns(samples, values);
      const told = [...trees.importance.keys()]
        .sort((a, b) => trees.importance[b]! - trees.importance[a]!)
        .slice(0, TOLD);
      return {
        rounds: values.rounds,
        columns: table.width,
        samples: samples.count,
        mostTelling: told.map((column) => names[column]!),
        importance: told.map((column) => Number(trees.importance[column]!.toFixed(4))),
      };
    },

    classify(samples: SampleSet) {
      if (trained === undefined) throw new Error("classify was called before train");
      const { trees, values } = trained;
      return verdictsOf(trees.shares(rows(samples, values)), trees.classes, values.unknown);
    },
  };
}
