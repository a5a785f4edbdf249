import { featureSet } from "../capture/mod.ts";
import { Draws } from "../plugins/attacks/draws.ts";
import type { FlowData } from "./flow_data.ts";
import { decided } from "./judgement.ts";
import { type ClassifierModel, judge } from "./model.ts";
import type { Trial, TrialPart } from "./trial.ts";

/** How much one feature has to do with wrong verdicts. */
export interface Pull {
  /** The feature. */
  readonly feature: string;
  /** How much the wrong name's share falls when the feature is what it is in other flows of the true one. */
  readonly pull: number;
  /** Share of the wrong verdicts that are not given any more then. */
  readonly undone: number;
  /** Median over the flows named wrongly. */
  readonly here: number;
  /** Median over the flows that the model learned from and that bear the wrong name. */
  readonly there: number;
  /** Median over those that bear the true names. */
  readonly own: number;
}

/** How much features of one sort, replaced together, have to do with wrong verdicts. */
export type GroupPull = Pick<Pull, "feature" | "pull" | "undone">;

/** The application that flows of others are taken for most often, and why. */
export interface Attraction {
  /** Its name. */
  readonly attractor: string;
  /** Flows of others that were given its name, by application, most first. */
  readonly from: readonly { readonly application: string; readonly flows: number }[];
  /** Flows of others that were given each name, most first. */
  readonly ranking: readonly { readonly application: string; readonly flows: number }[];
  /** The features that pull, strongest first. */
  readonly pulls: readonly Pull[];
  /** The same for all features of a sort together, such as `received lengths`. */
  readonly groups: readonly GroupPull[];
  /** Wrong verdicts that were looked at for `pulls`. */
  readonly looked: number;
}

/** Wrong flows looked at, and values tried for each of their features. */
const FLOWS = 400;
const DRAWS = 3;

/**
 * Finds the application whose name others are given most often, and the features that pull them there:
 * each feature of a wrongly named flow is replaced, by itself, with that of flows of its true application
 * which the model learned from; what the wrong name's share loses is the feature's pull. Features that say
 * the same thing share their pull, since replacing one leaves the others; so all features of a sort are
 * also replaced together, with those of one flow.
 *
 * @returns undefined if no flow was given another's name at `threshold`.
 */
export function attractionOf(
  trial: Trial,
  threshold: number,
  seed: number,
): Attraction | undefined {
  const { labelNames } = trial.tested;
  const counts = labelNames.map(() => new Map<number, number>());
  const given = decided(trial.verdicts, threshold);
  given.forEach((name, i) => {
    const truth = trial.tested.labels[i]!;
    if (name < 0 || name === truth) return;
    counts[name]!.set(truth, (counts[name]!.get(truth) ?? 0) + 1);
  });
  const ranking = counts.map((from, label) => ({
    label,
    application: labelNames[label]!,
    flows: [...from.values()].reduce((sum, own) => sum + own, 0),
  })).filter(({ flows }) => flows > 0).sort((a, b) => b.flows - a.flows);
  const attractor = ranking[0]?.label;
  if (attractor === undefined) return undefined;
  const draws = new Draws(seed);
  const { columns } = featureSet(trial.tested.features);
  const sorts = [...new Set(columns.map(sortOf))];
  const subjects = [
    ...columns.map((_, column) => [column]),
    ...sorts.map((sort) =>
      columns.flatMap((name, column) => sortOf(name) === sort ? [column] : [])
    ),
  ];
  const looks = trial.parts.map((part) => look(part, attractor, threshold, draws, subjects));
  const looked = looks.reduce((sum, own) => sum + own.flows, 0);
  const sum = (subject: number, of: (own: Look) => Float64Array) =>
    looks.reduce((total, own) => total + of(own)[subject]!, 0) / Math.max(1, looked * DRAWS);
  const pulls = columns.map((feature, column) => {
    const all = (of: (own: Look) => number[][]) => median(looks.flatMap((own) => of(own)[column]!));
    return {
      feature,
      pull: sum(column, (own) => own.lost),
      undone: sum(column, (own) => own.undone),
      here: all((own) => own.here),
      there: all((own) => own.there),
      own: all((own) => own.own),
    };
  }).sort((a, b) => b.pull - a.pull);
  return {
    attractor: labelNames[attractor]!,
    from: [...counts[attractor]!].sort((a, b) => b[1] - a[1])
      .map(([label, flows]) => ({ application: labelNames[label]!, flows })),
    ranking: ranking.map(({ application, flows }) => ({ application, flows })),
    pulls,
    groups: sorts.map((feature, i) => ({
      feature,
      pull: sum(columns.length + i, (own) => own.lost),
      undone: sum(columns.length + i, (own) => own.undone),
    })).sort((a, b) => b.pull - a.pull),
    looked,
  };
}

/** What a column is about: `received lengths`, `both gaps`, `first lengths`, `counts and duration`. */
function sortOf(column: string): string {
  const split = /^(received|sent|both)(Length|Gap)/.exec(column);
  if (split !== null) return `${split[1]} ${split[2]!.toLowerCase()}s`;
  const plain = /^(length|time|gap)(\d?)/.exec(column);
  if (plain !== null) return `${plain[2] === "" ? "" : "first "}${plain[1]}s`;
  return "counts and duration";
}

/** What replacing each subject did to the wrong flows of one part, and the values on all sides. */
interface Look {
  readonly flows: number;
  readonly lost: Float64Array;
  readonly undone: Float64Array;
  readonly here: number[][];
  readonly there: number[][];
  readonly own: number[][];
}

function look(
  { model, trained, tested }: TrialPart,
  attractor: number,
  threshold: number,
  draws: Draws,
  subjects: readonly (readonly number[])[],
): Look {
  const { width } = tested.rows;
  const given = decided(judge(model, tested.rows), threshold);
  const wrong: number[] = [];
  given.forEach((name, i) => {
    if (name === attractor && tested.labels[i] !== attractor) wrong.push(i);
  });
  const flows = draws.shuffle(wrong).slice(0, FLOWS);
  const members = trained.labelNames.map((_, label) => indicesOf(trained, label));
  const truths = new Set(flows.map((flow) => tested.labels[flow]!));
  const column = (data: FlowData, own: readonly number[], c: number) =>
    own.map((flow) => data.rows.values[flow * width + c]!);
  const lost = new Float64Array(subjects.length);
  const undone = new Float64Array(subjects.length);
  const base = sharesOf(model, attractor, rowsOf(tested, flows));
  const trueMembers = [...truths].flatMap((label) => members[label]!);
  for (const [subject, columns] of subjects.entries()) {
    for (let draw = 0; draw < DRAWS; draw++) {
      const rows = rowsOf(tested, flows);
      flows.forEach((flow, i) => {
        const own = members[tested.labels[flow]!] ?? [];
        // An application that the model has not learned has no flows to take a value from.
        if (own.length === 0) return;
        const donor = own[draws.integer(own.length)]!;
        for (const c of columns) {
          rows.values[i * width + c] = trained.rows.values[donor * width + c]!;
        }
      });
      const after = sharesOf(model, attractor, rows);
      const names = decided(judge(model, rows), threshold);
      flows.forEach((_, i) => {
        lost[subject]! += base[i]! - after[i]!;
        undone[subject]! += +(names[i] !== attractor);
      });
    }
  }
  const each = Array.from({ length: width }, (_, c) => c);
  return {
    flows: flows.length,
    lost,
    undone,
    here: each.map((c) => column(tested, flows, c)),
    there: each.map((c) => column(trained, members[attractor]!, c)),
    own: each.map((c) => column(trained, trueMembers, c)),
  };
}

function indicesOf(data: FlowData, label: number): number[] {
  const found: number[] = [];
  for (let i = 0; i < data.rows.count; i++) if (data.labels[i] === label) found.push(i);
  return found;
}

function rowsOf({ rows: { width, values } }: FlowData, flows: readonly number[]) {
  const own = new Float64Array(flows.length * width);
  flows.forEach((flow, i) => own.set(values.subarray(flow * width, (flow + 1) * width), i * width));
  return { count: flows.length, width, values: own };
}

function sharesOf(
  model: ClassifierModel,
  label: number,
  rows: ReturnType<typeof rowsOf>,
): Float64Array {
  const classes = model.labels.length + +model.ambiguity;
  const shares = model.classifier.shares(rows);
  return Float64Array.from({ length: rows.count }, (_, i) => shares[i * classes + label]!);
}

function median(values: number[]): number {
  const sorted = Float64Array.from(values).sort();
  if (sorted.length === 0) return NaN;
  return (sorted[(sorted.length - 1) >>> 1]! + sorted[sorted.length >>> 1]!) / 2;
}
