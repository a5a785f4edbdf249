import type { LabelledSamples } from "../../plugins/attack.ts";
import { type AttackRun, runAttack } from "../attack_run.ts";
import { indicesWhere, readSamples, selectSamples } from "../samples.ts";
import { splitByCapture } from "../splits.ts";
import { attackInThisThread } from "./local_attack.ts";
import { sourcesOf, type Traffic } from "./traffic.ts";

/** Traffic under a name. */
export interface Named {
  /** The protocol, or the model. */
  readonly name: string;
  /** The protocol that cover claims to be. */
  readonly claims?: string;
  /** The traffic. */
  readonly traffic: Traffic;
}

/** The seed's attacks on all protocols and their cover. */
export interface SeedAttacksJob {
  /** Real traffic, one entry a protocol. */
  readonly real: readonly Named[];
  /** Cover, one entry a model. */
  readonly cover: readonly Named[];
  /** Unsigned 32-bit seed. */
  readonly seed: number;
}

/** Shares at one threshold t. */
export interface AtThreshold {
  /** The threshold: unknown is what is farther than t times its class's radius. */
  readonly t: number;
  /** Share of held-out real connections called unknown. */
  readonly unknown: number;
  /** Share of held-out real connections labelled rightly. */
  readonly accuracy: number;
  /** Share of held-out real connections called unknown when their class was not learned. */
  readonly strangers: number;
  /** Share of each cover called unknown. */
  readonly cover: Readonly<Record<string, number>>;
}

/** What the seed's attacks find. */
export interface SeedAttacksResult {
  /** Nearest neighbours. */
  readonly knn: AttackRun;
  /** Clusters, on all protocols. */
  readonly kmeans: AttackRun;
  /** Clusters on real SMTP alone, against constant rate; if both are there. */
  readonly smtp?: AttackRun;
  /** The threshold that cross-validation chose on all real traffic. */
  readonly chosen: number;
  /** What other thresholds would have done. */
  readonly curve: readonly AtThreshold[];
}

/** So large that nothing is unknown: strangeness divided by it still tells. */
const NONE_UNKNOWN = 1e6;
const THRESHOLDS = Array.from({ length: 31 }, (_, i) => 0.03 * (100 / 0.03) ** (i / 30));

/** Runs the seed's attacks as its section 3 has them. */
export async function seedAttacks(job: SeedAttacksJob): Promise<SeedAttacksResult> {
  const { seed } = job;
  const read = async (named: readonly Named[]) =>
    (await readSamples(
      await Promise.all(named.map(async ({ name, traffic }) => ({
        label: name,
        captures: await sourcesOf(traffic),
      }))),
    )).samples;
  const real = await read(job.real);
  const cover = await read(job.cover);
  const program = attackInThisThread("knn");
  const knn = await runAttack({ program, real, cover, seed });
  const clusters = attackInThisThread("kmeans");
  const kmeans = await runAttack({ program: clusters, real, cover, seed });
  const smtp = only(real, "smtp");
  const constant = only(cover, "constant-rate");
  return {
    knn,
    kmeans,
    ...(smtp === undefined || constant === undefined
      ? {}
      : { smtp: await runAttack({ program: clusters, real: smtp, cover: constant, seed }) }),
    chosen: Number(knn.training.t),
    curve: await thresholds(real, cover, seed),
  };
}

function only(samples: LabelledSamples, name: string): LabelledSamples | undefined {
  const label = samples.labelNames.indexOf(name);
  if (label < 0) return undefined;
  const own = selectSamples(samples, indicesWhere(samples, (i) => samples.labels[i] === label));
  return { ...own, labelNames: [name], labels: new Uint16Array(own.count) };
}

/** Distances in radii of held-out real connections, of classes not learned, and of cover. */
async function thresholds(
  real: LabelledSamples,
  cover: LabelledSamples,
  seed: number,
): Promise<AtThreshold[]> {
  const program = attackInThisThread("knn");
  const judge = async (train: LabelledSamples, test: LabelledSamples) => {
    await using attack = await program.start();
    await attack.train(train, { seed, parameters: { t: NONE_UNKNOWN } });
    const { anomaly, labels } = await attack.classify(test);
    return { radii: anomaly.map((own) => own * NONE_UNKNOWN), labels };
  };
  const known: { radii: number; right: boolean }[] = [];
  const strangers: number[] = [];
  for (const { train, test } of splitByCapture(real, 5, seed).splits) {
    const { radii, labels } = await judge(train, test);
    radii.forEach((own, i) => known.push({ radii: own, right: labels[i] === test.labels[i] }));
    for (const left of real.labelNames.keys()) {
      const others = selectSamples(train, indicesWhere(train, (i) => train.labels[i] !== left));
      const own = selectSamples(test, indicesWhere(test, (i) => test.labels[i] === left));
      if (others.count === 0 || own.count === 0) continue;
      strangers.push(...(await judge(others, own)).radii);
    }
  }
  const judged = await judge(real, cover);
  const share = (values: readonly number[], t: number) =>
    values.filter((own) => own > t).length / Math.max(1, values.length);
  return THRESHOLDS.map((t) => ({
    t,
    unknown: share(known.map(({ radii }) => radii), t),
    accuracy: known.filter(({ radii, right }) => right && radii <= t).length / known.length,
    strangers: share(strangers, t),
    cover: Object.fromEntries(cover.labelNames.map((name, label) => [
      name,
      share([...judged.radii].filter((_, i) => cover.labels[i] === label), t),
    ])),
  }));
}
