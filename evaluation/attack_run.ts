import { UserError } from "../base/mod.ts";
import type { LabelledSamples, TrainingNotes } from "../plugins/attack.ts";
import type { AttackProgram } from "../plugins/host/mod.ts";
import {
  balancedAccuracy,
  type Confusion,
  confusion,
  type Share,
  shareOf,
  type Spread,
  spreadOf,
} from "./metrics.ts";
import { indicesWhere, selectSamples } from "./samples.ts";
import { splitByCapture } from "./splits.ts";

/** What an attack is run with. */
export interface AttackRunOptions {
  /** The attack. */
  readonly program: AttackProgram;
  /** Real traffic: what the attack learns. */
  readonly real: LabelledSamples;
  /** Cover to judge; its classes are compared with the real ones by name. */
  readonly cover?: LabelledSamples;
  /** Unsigned 32-bit seed of the split and of the attack. */
  readonly seed: number;
  /** The attack's own parameters. */
  readonly parameters?: Readonly<Record<string, number>>;
  /**
   * Folds of the cross-validation. Unless told, as many as the class with the most captures has of them,
   * from 5 to 10; fewer where there are fewer captures.
   */
  readonly folds?: number;
  /** Called before each training: how many are done, of how many. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** How an attack does on real traffic that it has not learned. */
export interface CrossValidation {
  /** Share labelled as what they are; `unknown` counts as wrong. */
  readonly accuracy: number;
  /** Wilson's 95 % interval of the accuracy, as if connections were independent. */
  readonly ci95: readonly [number, number];
  /** Mean of the classes' accuracies. */
  readonly balancedAccuracy: number;
  /** Accuracy among those that got a label. */
  readonly labelledAccuracy: number;
  /** Share that got a label. */
  readonly coverage: number;
  /** Samples. */
  readonly n: number;
  /** Accuracy of each fold, with its number of samples. */
  readonly folds: readonly { readonly accuracy: number; readonly n: number }[];
  /** Spread of the folds' accuracies. */
  readonly spread: Spread;
  /** `capture`: no capture in two folds. `block`: a class had one capture only, cut into blocks. */
  readonly grouping: "capture" | "block";
  /** Classes with one capture only. */
  readonly singleCapture: readonly string[];
  /** Verdicts by class. */
  readonly confusion: Confusion;
}

/** How an attack judges one label of cover. */
export interface CoverJudgement {
  /** Samples. */
  readonly n: number;
  /** Share labelled as the class of the same name; 0 where there is no real class of this name. */
  readonly asClaimed: number;
  /** 95 % interval of {@linkcode CoverJudgement.asClaimed}. */
  readonly asClaimedCi95: readonly [number, number];
  /** Share called unknown, or flagged. */
  readonly unknown: number;
  /** 95 % interval of {@linkcode CoverJudgement.unknown}. */
  readonly unknownCi95: readonly [number, number];
  /** Share labelled as each class, and as `unknown`. */
  readonly labelledAs: Readonly<Record<string, number>>;
  /**
   * How well unknown or not tells this cover from real traffic: the mean of the share of the cover that
   * is unknown and of the share of held-out real traffic (of the claimed class where there is one) that
   * is not. One half is guessing.
   */
  readonly toldApart: number;
}

/** What an attack found. */
export interface AttackRun {
  /** Which attack, and the digest of its source if it is not one of our own. */
  readonly plugin: { readonly name: string; readonly sha256?: string };
  /** The seed. */
  readonly seed: number;
  /** What it tells of its training on all real samples. */
  readonly training: TrainingNotes;
  /** On real traffic. */
  readonly crossValidation: CrossValidation;
  /** On cover, by label. */
  readonly cover: Readonly<Record<string, CoverJudgement>>;
}

/** Too little real traffic to learn from and test on. */
export class TooFewSamplesError extends UserError {}

/**
 * Runs an attack: cross-validated on real traffic by capture, then trained on all of it and let loose on
 * the cover, each label by itself. Every training is a fresh start of the plugin.
 *
 * @throws {TooFewSamplesError} if the real samples cannot be split in two.
 * @throws {UserError} for whatever the plugin does wrong.
 */
export async function runAttack(options: AttackRunOptions): Promise<AttackRun> {
  const { program, real, cover, seed } = options;
  const attackOptions = { seed, parameters: options.parameters ?? {} };
  const { splits, grouping, singleCapture } = splitByCapture(
    real,
    options.folds ?? usualFolds(real),
    seed,
  );
  if (splits.length < 2) {
    throw new TooFewSamplesError(
      `${real.count} real connection${
        real.count === 1 ? "" : "s"
      } cannot be split into a part to ` +
        "learn from and a part to test on: give more captures",
    );
  }
  const trainings = splits.length + 1;
  const verdicts = new Int32Array(real.count);
  const folds: { accuracy: number; n: number }[] = [];
  for (const [index, { train, test, tested }] of splits.entries()) {
    options.onProgress?.(index, trainings);
    await using attack = await program.start();
    await attack.train(train, attackOptions);
    const { labels } = await attack.classify(test);
    let right = 0;
    tested.forEach((sample, i) => {
      verdicts[sample] = labels[i]!;
      if (labels[i] === test.labels[i]) right++;
    });
    folds.push({ accuracy: right / test.count, n: test.count });
  }
  options.onProgress?.(splits.length, trainings);
  await using attack = await program.start();
  const training = await attack.train(real, attackOptions);
  const judgements: [string, CoverJudgement][] = [];
  for (const [label, name] of (cover?.labelNames ?? []).entries()) {
    const own = selectSamples(cover!, indicesWhere(cover!, (i) => cover!.labels[i] === label));
    const { labels } = await attack.classify(own);
    judgements.push([name, judge(name, labels, real, verdicts)]);
  }
  options.onProgress?.(trainings, trainings);
  const table = confusion(real.labels, verdicts, real.labelNames, real.labelNames);
  const right = shareOf(sumOver(table.counts, (row, label) => row[label]!), real.count);
  const labelled = real.count - sumOver(table.counts, (row) => row.at(-1)!);
  return {
    plugin: {
      name: attack.name,
      ...(program.sha256 === undefined ? {} : { sha256: program.sha256 }),
    },
    seed,
    training,
    crossValidation: {
      accuracy: right.share,
      ci95: right.ci95,
      balancedAccuracy: balancedAccuracy(table),
      labelledAccuracy: labelled === 0 ? 0 : right.share * real.count / labelled,
      coverage: labelled / real.count,
      n: real.count,
      folds,
      spread: spreadOf(folds.map(({ accuracy }) => accuracy)),
      grouping,
      singleCapture,
      confusion: table,
    },
    cover: Object.fromEntries(judgements),
  };
}

/** One capture of the class with the most of them at a time, from 5 to 10 folds. */
function usualFolds(real: LabelledSamples): number {
  const captures = real.labelNames.map((_, label) =>
    new Set(real.groups.filter((_, i) => real.labels[i] === label)).size
  );
  return Math.max(5, Math.min(10, Math.max(...captures)));
}

function sumOver(
  counts: readonly (readonly number[])[],
  part: (row: readonly number[], label: number) => number,
): number {
  return counts.reduce((sum, row, label) => sum + part(row, label), 0);
}

function judge(
  name: string,
  labels: Int32Array,
  real: LabelledSamples,
  realVerdicts: Int32Array,
): CoverJudgement {
  const n = labels.length;
  const share = (wanted: number): Share =>
    shareOf(labels.reduce((count, label) => count + (label === wanted ? 1 : 0), 0), n);
  const claimed = real.labelNames.indexOf(name);
  const asClaimed = claimed < 0 ? shareOf(0, n) : share(claimed);
  const unknown = share(-1);
  const compared = indicesWhere(real, (i) => claimed < 0 || real.labels[i] === claimed);
  const known = compared.filter((i) => realVerdicts[i]! >= 0).length / compared.length;
  return {
    n,
    asClaimed: asClaimed.share,
    asClaimedCi95: asClaimed.ci95,
    unknown: unknown.share,
    unknownCi95: unknown.ci95,
    labelledAs: Object.fromEntries([
      ...real.labelNames.map((label, index) => [label, share(index).share]),
      ["unknown", unknown.share],
    ]),
    toldApart: (unknown.share + known) / 2,
  };
}
