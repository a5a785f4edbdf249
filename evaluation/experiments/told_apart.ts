import type { LabelledSamples } from "../../plugins/attack.ts";
import { Draws } from "../../plugins/attacks/draws.ts";
import type { AttackProgram } from "../../plugins/host/mod.ts";
import { areaUnderCurve, secondClassScores } from "../metrics.ts";
import { asTwoClasses, indicesWhere, selectSamples } from "../samples.ts";
import type { TellingColumn } from "./telling_columns.ts";

/** What {@linkcode toldApart} is run with. */
export interface ToldApartOptions {
  /** The attack; it learns two classes. */
  readonly program: AttackProgram;
  /** Real traffic in several runs. */
  readonly real: LabelledSamples;
  /** What is to be told from it, in several runs. */
  readonly other: LabelledSamples;
  /** Unsigned 32-bit seed. */
  readonly seed: number;
  /** The attack's own parameters. */
  readonly parameters?: Readonly<Record<string, number>>;
  /** Runs of either that are held out in turn, at most. */
  readonly most?: number;
}

/** How well an attack finds the other among real traffic at one base rate. */
export interface AtBaseRate {
  /** Real connections for each other one. */
  readonly realForEach: number;
  /** Share of the other that is found, at a threshold that finds half of it or more. */
  readonly found: number;
  /** Share of real connections accused at that threshold. */
  readonly accused: number;
  /** Of all accused, the share that is rightly accused. */
  readonly precision: number;
  /**
   * With no real connection accused among n, the share that may be is up to 3/n (95 %): what the precision is at
   * least then. Absent where some were accused.
   */
  readonly precisionAtBound?: number;
}

/** How well two kinds of traffic are told apart. */
export interface ToldApart {
  /** Area under the ROC curve, mean over pairs of held-out runs; one half is guessing. */
  readonly auc: number;
  /** 95 % interval by bootstrap over runs of both kinds. */
  readonly ci95: readonly [number, number];
  /** Runs held out, `[real, other]`. */
  readonly runs: readonly [number, number];
  /** Connections judged, `[real, other]`. */
  readonly n: readonly [number, number];
  /** The least share of false accusations that so many real connections can show: 3/n. */
  readonly bound: number;
  /** At 1:1, 1:100 and 1:10,000. */
  readonly baseRates: readonly AtBaseRate[];
  /** Columns that told most, by the attack's own account. */
  readonly telling: readonly string[];
  /** Columns and their share of the attack's gain, mean over the pairs, greatest first; empty if it does not say. */
  readonly importances: readonly (readonly [name: string, share: number])[];
  /** The worst columns with their distributions; filled by who knows the attack's columns. */
  readonly columns: readonly TellingColumn[];
}

const RESAMPLES = 1000;
const BASE_RATES = [1, 100, 10_000];
const MOST_RUNS = 4;

/** Numbers of the runs that occur, at most `most`: larger runs first would favour long ones, so the first. */
function runsOf({ groups }: LabelledSamples, most: number): number[] {
  return [...new Set(groups)].sort((a, b) => a - b).slice(0, most);
}

/**
 * How well an attack that is trained on both tells two kinds of traffic apart. Each run of the one is held out with
 * each run of the other; the attack is trained on all other runs and judges these two. The interval resamples runs of
 * both kinds, for connections of one run resemble each other.
 */
export async function toldApart(options: ToldApartOptions): Promise<ToldApart> {
  const { other, program, real, seed } = options;
  const realRuns = runsOf(real, options.most ?? MOST_RUNS);
  const otherRuns = runsOf(other, options.most ?? MOST_RUNS);
  const part = (samples: LabelledSamples, run: number, inside: boolean) =>
    selectSamples(samples, indicesWhere(samples, (i) => (samples.groups[i] === run) === inside));
  const areas: number[][] = [];
  const scored: { score: number; other: boolean }[] = [];
  const telling = new Map<string, number>();
  const importances = new Map<string, number>();
  for (const realRun of realRuns) {
    const row: number[] = [];
    for (const otherRun of otherRuns) {
      const train = asTwoClasses(part(real, realRun, false), part(other, otherRun, false), [
        "real",
        "other",
      ]);
      const test = asTwoClasses(part(real, realRun, true), part(other, otherRun, true), [
        "real",
        "other",
      ]);
      await using attack = await program.start();
      const notes = await attack.train(train, { seed, parameters: options.parameters ?? {} });
      const scores = secondClassScores(await attack.classify(test));
      row.push(areaUnderCurve(scores, test.labels));
      scores.forEach((score, i) => scored.push({ score, other: test.labels[i] === 1 }));
      if (Array.isArray(notes.mostTelling)) {
        const shares: readonly unknown[] = Array.isArray(notes.importance) ? notes.importance : [];
        notes.mostTelling.forEach((name, rank) => {
          telling.set(String(name), (telling.get(String(name)) ?? 0) + 1 / (1 + rank));
          if (typeof shares[rank] === "number") {
            const mean = shares[rank] / (realRuns.length * otherRuns.length);
            importances.set(String(name), (importances.get(String(name)) ?? 0) + mean);
          }
        });
      }
    }
    areas.push(row);
  }
  const n = [real, other].map((samples, which) => {
    const runs = which === 0 ? realRuns : otherRuns;
    return indicesWhere(samples, (i) => runs.includes(samples.groups[i]!)).length;
  }) as [number, number];
  const bound = Math.min(1, 3 / n[0]);
  return {
    auc: meanOver(areas, realRuns.keys(), [...otherRuns.keys()]),
    ci95: bootstrap(areas, new Draws(seed)),
    runs: [realRuns.length, otherRuns.length],
    n,
    bound,
    baseRates: BASE_RATES.map((realForEach) => atBaseRate(scored, realForEach, bound)),
    telling: [...telling].sort((a, b) => b[1] - a[1]).slice(0, 5).map(([name]) => name),
    importances: [...importances].sort((a, b) => b[1] - a[1]),
    columns: [],
  };
}

function meanOver(
  areas: readonly (readonly number[])[],
  rows: Iterable<number>,
  columns: readonly number[],
): number {
  let sum = 0;
  let count = 0;
  for (const row of rows) {
    for (const column of columns) {
      sum += areas[row]![column]!;
      count++;
    }
  }
  return sum / count;
}

function bootstrap(areas: readonly (readonly number[])[], draws: Draws): [number, number] {
  const rows = areas.length;
  const columns = areas[0]!.length;
  const drawn = (count: number) => Array.from({ length: count }, () => draws.integer(count));
  const means = Array.from(
    { length: RESAMPLES },
    () => meanOver(areas, drawn(rows), drawn(columns)),
  ).sort((a, b) => a - b);
  const at = (share: number) => means[Math.min(RESAMPLES - 1, Math.floor(share * RESAMPLES))]!;
  return [at(0.025), at(0.975)];
}

/** The best precision of a threshold that finds half of the other or more. */
function atBaseRate(
  scored: readonly { readonly score: number; readonly other: boolean }[],
  realForEach: number,
  bound: number,
): AtBaseRate {
  const sorted = scored.toSorted((a, b) => b.score - a.score);
  const others = scored.filter(({ other }) => other).length;
  const reals = scored.length - others;
  let best: AtBaseRate = { realForEach, found: 1, accused: 1, precision: 1 / (1 + realForEach) };
  let found = 0;
  let accused = 0;
  for (let i = 0; i < sorted.length; i++) {
    if (sorted[i]!.other) found++;
    else accused++;
    // Equal scores cannot be parted.
    if (sorted[i + 1]?.score === sorted[i]!.score) continue;
    if (found < others / 2) continue;
    const share = { found: found / others, accused: accused / reals };
    const precision = precisionOf(share.found, share.accused, realForEach);
    if (precision > best.precision || precision === best.precision && share.found > best.found) {
      best = {
        realForEach,
        ...share,
        precision,
        ...(accused > 0 ? {} : { precisionAtBound: precisionOf(share.found, bound, realForEach) }),
      };
    }
  }
  return best;
}

function precisionOf(found: number, accused: number, realForEach: number): number {
  const all = found + accused * realForEach;
  return all === 0 ? 0 : found / all;
}
