import type {
  Confusion,
  FeatureComparison,
  ModelResult,
  Rate,
  Score,
} from "../../report/result.ts";
import { type CaptureSource, SEED_FEATURES } from "../../capture/mod.ts";
import type { LabelledSamples } from "../../plugins/attack.ts";
import { loadAttack } from "../../plugins/mod.ts";
import { type AttackRun, runAttack } from "../attack_run.ts";
import { shareOf } from "../metrics.ts";
import { indicesWhere, type LabelledCaptures, readSamples, selectSamples } from "../samples.ts";
import { coverAgainstReal } from "../two_class.ts";

/** A recording of cover, and what it claims to be. */
export interface CoverRecording {
  /** Name of the model that was played. */
  readonly model: string;
  /** The protocol that an observer is meant to see: constant rate, inside TLS, claims `https`. */
  readonly claims: string;
  /** The recording. */
  readonly capture: CaptureSource;
}

/** What the attacks say of one recording. */
export type Judgement = Pick<
  ModelResult,
  "model" | "connections" | "asClaimed" | "anomalous" | "kmeansFlagged" | "auc"
>;

/** What the attacks say of all recordings, and of the real traffic beside them. */
export interface Judgements {
  /** One a recording, in their order. */
  readonly models: readonly Judgement[];
  /** The nearest-neighbour attack, cross-validated on real traffic. */
  readonly knn: AttackRun;
  /** The clustering attack, on all protocols. */
  readonly kmeans: AttackRun;
  /** Clustering on real SMTP alone against constant rate, as the seed has it; if both are there. */
  readonly smtpAgainstConstantRate?: {
    /** Balanced accuracy, with held-out real SMTP. */
    readonly accuracy: number;
    /** Share of constant-rate connections flagged. */
    readonly flagged: Rate;
    /** Share of held-out real SMTP connections flagged. */
    readonly realFlagged: Rate;
  };
  /** Held-out real connections labelled as what they are. */
  readonly realAsClaimed: readonly { readonly protocol: string; readonly rate: Rate }[];
  /** Real against cover, a feature at a time. */
  readonly features: readonly FeatureComparison[];
  /** The nearest-neighbour attack's verdicts, real and cover. */
  readonly confusion: Confusion;
}

/** How {@linkcode judgeRecordings} is run. */
export interface JudgeOptions {
  /** Real captures for the attacks to learn and be tested on: none that a model was learned from. */
  readonly real: readonly LabelledCaptures[];
  /** The recordings. */
  readonly cover: readonly CoverRecording[];
  /** Unsigned 32-bit seed. */
  readonly seed: number;
  /** How far it is: steps done, of how many, and what is done now. */
  readonly onProgress?: (done: number, total: number, what: string) => void;
}

/** `count` of `n` with its interval, as reports have it. */
export function rateOf(count: number, n: number): Rate {
  const { share, ci95: [low, high] } = shareOf(count, n);
  return { share, count, n, low, high };
}

/**
 * Lets the attacks judge recordings of cover: nearest neighbours and clustering as the seed has them, and
 * a random forest that is trained on both real traffic and cover.
 */
export async function judgeRecordings(options: JudgeOptions): Promise<Judgements> {
  const { seed } = options;
  const steps = 4 + options.cover.length;
  const step = (done: number, what: string) => options.onProgress?.(done, steps, what);
  step(0, "reading");
  const labelled = options.cover.map(({ model, capture }) => ({
    label: model,
    captures: [capture],
  }));
  const real = (await readSamples(options.real, { reads: "messages" })).samples;
  const cover = (await readSamples(labelled, { reads: "messages" })).samples;
  step(1, "knn");
  const knn = await runAttack({ program: await loadAttack("knn"), real, cover, seed });
  step(2, "kmeans");
  const kmeansProgram = await loadAttack("kmeans");
  const kmeans = await runAttack({ program: kmeansProgram, real, cover, seed });
  step(3, "kmeans");
  const smtp = classOf(real, "smtp");
  const constantRate = classOf(cover, "constant-rate");
  const pair = smtp.count > 0 && constantRate.count > 0
    ? await runAttack({ program: kmeansProgram, real: smtp, cover: constantRate, seed })
    : undefined;
  const forest = await loadAttack("random-forest");
  const models: Judgement[] = [];
  for (const [index, { model, claims }] of options.cover.entries()) {
    step(4 + index, `random forest on ${model}`);
    const judged = knn.cover[model]!;
    const count = (share: number) => Math.round(share * judged.n);
    const figure = await coverAgainstReal({
      program: forest,
      real: classOf(real, claims),
      cover: classOf(cover, model),
      seed,
    });
    const auc: Score = {
      value: figure.auc,
      low: figure.ci95[0],
      high: figure.ci95[1],
      ...(figure.floor === undefined ? {} : { floor: figure.floor.auc }),
    };
    models.push({
      model,
      connections: judged.n,
      asClaimed: rateOf(count(judged.labelledAs[claims] ?? 0), judged.n),
      anomalous: rateOf(count(judged.unknown), judged.n),
      kmeansFlagged: rateOf(count(kmeans.cover[model]!.unknown), judged.n),
      auc,
    });
  }
  step(steps, "judged");
  return {
    models,
    knn,
    kmeans,
    ...(pair === undefined ? {} : { smtpAgainstConstantRate: pairFigure(pair) }),
    realAsClaimed: knn.crossValidation.confusion.rows.map((protocol, row) => {
      const counts = knn.crossValidation.confusion.counts[row]!;
      return { protocol, rate: rateOf(counts[row]!, counts.reduce((a, b) => a + b, 0)) };
    }),
    features: compareFeatures(options.cover, real, cover),
    confusion: confusionOf(knn, options.cover),
  };
}

function classOf(samples: LabelledSamples, name: string): LabelledSamples {
  const label = samples.labelNames.indexOf(name);
  const own = selectSamples(samples, indicesWhere(samples, (i) => samples.labels[i] === label));
  return { ...own, labelNames: [name], labels: new Uint16Array(own.count) };
}

function pairFigure({ cover, crossValidation }: AttackRun): {
  accuracy: number;
  flagged: Rate;
  realFlagged: Rate;
} {
  const judged = cover["constant-rate"]!;
  const flaggedReal = crossValidation.confusion.counts[0]!.at(-1)!;
  return {
    accuracy: judged.toldApart,
    flagged: rateOf(Math.round(judged.unknown * judged.n), judged.n),
    realFlagged: rateOf(flaggedReal, crossValidation.n),
  };
}

function columnsOf(samples: LabelledSamples): number[][] {
  const width = samples.featureNames.length;
  return samples.featureNames.map((_, column) =>
    Array.from({ length: samples.count }, (_, row) => samples.features[row * width + column]!)
  );
}

function compareFeatures(
  recordings: readonly CoverRecording[],
  real: LabelledSamples,
  cover: LabelledSamples,
): FeatureComparison[] {
  return real.labelNames.flatMap((protocol) => {
    const claiming = recordings.filter(({ claims }) => claims === protocol);
    if (claiming.length === 0) return [];
    return [{
      protocol,
      features: SEED_FEATURES.map((name) => ({ name, unit: name === "duration" ? "ms" : "bytes" })),
      real: { name: "real", values: columnsOf(classOf(real, protocol)) },
      cover: claiming.map(({ model }) => ({
        name: model,
        values: columnsOf(classOf(cover, model)),
      })),
    }];
  });
}

function confusionOf(run: AttackRun, recordings: readonly CoverRecording[]): Confusion {
  const { confusion } = run.crossValidation;
  return {
    attack: run.plugin.name,
    verdicts: confusion.columns,
    rows: [
      ...confusion.rows.map((truth, row) => ({
        truth,
        source: "real" as const,
        counts: confusion.counts[row]!,
      })),
      ...recordings.map(({ model }) => {
        const { n, labelledAs } = run.cover[model]!;
        return {
          truth: model,
          source: "cover" as const,
          counts: confusion.columns.map((column) => Math.round((labelledAs[column] ?? 0) * n)),
        };
      }),
    ],
  };
}
