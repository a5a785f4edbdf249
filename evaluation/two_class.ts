import type { LabelledSamples } from "../plugins/attack.ts";
import type { AttackProgram } from "../plugins/host/mod.ts";
import { Draws } from "../plugins/attacks/draws.ts";
import { areaUnderCurve, secondClassScores } from "./metrics.ts";
import { asTwoClasses, indicesWhere, selectSamples } from "./samples.ts";
import { splitByCapture } from "./splits.ts";

/** What {@linkcode coverAgainstReal} is run with. */
export interface TwoClassOptions {
  /** The attack; it learns two classes. */
  readonly program: AttackProgram;
  /** Real traffic of one protocol. */
  readonly real: LabelledSamples;
  /** Cover that claims to be it. */
  readonly cover: LabelledSamples;
  /** Unsigned 32-bit seed. */
  readonly seed: number;
  /** The attack's own parameters. */
  readonly parameters?: Readonly<Record<string, number>>;
  /** Folds; 5 unless told, fewer where there are fewer captures. */
  readonly folds?: number;
  /** Whether real captures are compared with each other, too; true if absent. */
  readonly floor?: boolean;
}

/** An area under the curve with what it rests on. */
export interface TwoClassFigure {
  /** Mean area within the folds, weighted by their pairs; one half is guessing. */
  readonly auc: number;
  /** 95 % interval by bootstrap, resampling what {@linkcode TwoClassFigure.resampled} says. */
  readonly ci95: readonly [number, number];
  /** `capture` where each class has five captures or more, else `connection` (too narrow then). */
  readonly resampled: "capture" | "connection";
  /** How the folds were made; `block` is optimistic for the attacker. */
  readonly grouping: "capture" | "block";
  /** Samples of each class, `[real, cover]`. */
  readonly n: readonly [number, number];
}

/** Cover against real traffic, beside what real traffic scores against itself. */
export interface CoverAgainstReal extends TwoClassFigure {
  /**
   * The floor: real captures against other real captures, the same attack and folds. Above one half it
   * measures how much captures differ anyway. Undefined with fewer than three real captures, or if not wanted.
   */
  readonly floor: TwoClassFigure | undefined;
}

/** Halvings of the real captures that the floor is a mean over. */
const HALVINGS = 5;
const RESAMPLES = 400;

/**
 * How well an attack that is trained on both tells cover from real traffic, on captures that it has not
 * seen: the area under its ROC curve, and the floor that any such figure must be read against.
 */
export async function coverAgainstReal(options: TwoClassOptions): Promise<CoverAgainstReal> {
  const figure = await twoClassFigure(
    asTwoClasses(options.real, options.cover, ["real", "cover"]),
    options,
  );
  const captures = [...new Set(options.real.groups)].sort((a, b) => a - b);
  if (captures.length < 3 || options.floor === false) return { ...figure, floor: undefined };
  const draws = new Draws(options.seed);
  const floors: TwoClassFigure[] = [];
  for (let halving = 0; halving < HALVINGS; halving++) {
    const half = new Set(draws.shuffle(captures.slice()).slice(0, captures.length >> 1));
    const part = (inside: boolean) =>
      selectSamples(
        options.real,
        indicesWhere(options.real, (i) => half.has(options.real.groups[i]!) === inside),
      );
    floors.push(
      await twoClassFigure(asTwoClasses(part(false), part(true), ["real", "cover"]), options),
    );
  }
  const mean = (value: (floor: TwoClassFigure) => number) =>
    floors.reduce((sum, floor) => sum + value(floor), 0) / floors.length;
  return {
    ...figure,
    floor: {
      ...floors[0]!,
      auc: mean((floor) => floor.auc),
      ci95: [mean((floor) => floor.ci95[0]), mean((floor) => floor.ci95[1])],
    },
  };
}

/** A held-out sample: its fold, score, class and capture. */
interface Scored {
  readonly fold: number;
  readonly score: number;
  readonly cover: number;
  readonly group: number;
}

async function twoClassFigure(
  samples: LabelledSamples,
  { program, seed, parameters = {}, folds = 5 }: TwoClassOptions,
): Promise<TwoClassFigure> {
  const captures = [0, 1].map((label) =>
    new Set(samples.groups.filter((_, i) => samples.labels[i] === label)).size
  );
  // Each fold should hold captures of both classes: otherwise it has no area.
  const fewest = Math.min(...captures.map((count) => count === 1 ? folds : count));
  const { splits, grouping } = splitByCapture(samples, Math.max(2, Math.min(folds, fewest)), seed);
  const scored: Scored[] = [];
  for (const [fold, { train, test }] of splits.entries()) {
    await using attack = await program.start();
    await attack.train(train, { seed, parameters });
    const scores = secondClassScores(await attack.classify(test));
    scores.forEach((score, i) =>
      scored.push({ fold, score, cover: test.labels[i]!, group: test.groups[i]! })
    );
  }
  const resampled = Math.min(...captures) >= 5 ? "capture" : "connection";
  return {
    auc: areaWithinFolds(scored, splits.length) ?? 0.5,
    ci95: bootstrap(scored, splits.length, resampled, new Draws(seed)),
    resampled,
    grouping,
    n: [0, 1].map((label) => samples.labels.filter((own) => own === label).length) as [
      number,
      number,
    ],
  };
}

function areaWithinFolds(scored: readonly Scored[], folds: number): number | undefined {
  let sum = 0;
  let pairs = 0;
  for (let fold = 0; fold < folds; fold++) {
    const own = scored.filter((sample) => sample.fold === fold);
    const positives = own.reduce((count, { cover }) => count + cover, 0);
    const weight = positives * (own.length - positives);
    if (weight === 0) continue;
    sum += weight *
      areaUnderCurve(own.map(({ score }) => score), own.map(({ cover }) => cover));
    pairs += weight;
  }
  return pairs === 0 ? undefined : sum / pairs;
}

function bootstrap(
  scored: readonly Scored[],
  folds: number,
  resampled: "capture" | "connection",
  draws: Draws,
): [number, number] {
  // Captures are drawn from all folds of a class: within a fold there are too few of them to tell how they scatter.
  const strata = new Map<string, Map<number, Scored[]>>();
  scored.forEach((sample, i) => {
    const stratum = resampled === "capture" ? `${sample.cover}` : `${sample.fold} ${sample.cover}`;
    const unit = resampled === "capture" ? sample.group : i;
    const units = strata.get(stratum) ?? new Map<number, Scored[]>();
    strata.set(stratum, units);
    units.set(unit, [...(units.get(unit) ?? []), sample]);
  });
  const areas: number[] = [];
  for (let round = 0; round < RESAMPLES; round++) {
    const drawn: Scored[] = [];
    for (const units of strata.values()) {
      const list = [...units.values()];
      for (let i = 0; i < list.length; i++) drawn.push(...list[draws.integer(list.length)]!);
    }
    // A resample whose folds hold one class each says nothing.
    const area = areaWithinFolds(drawn, folds);
    if (area !== undefined) areas.push(area);
  }
  if (areas.length === 0) return [0, 1];
  areas.sort((a, b) => a - b);
  const at = (share: number) =>
    areas[Math.min(areas.length - 1, Math.floor(share * areas.length))]!;
  return [at(0.025), at(0.975)];
}
