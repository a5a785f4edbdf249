import type { Cell, EvaluationSection } from "../../../report/evaluation_result.ts";
import type { JobResults } from "../jobs.ts";
import type { EvaluationPlan, PlannedJobs, Results } from "../plan.ts";
import { coverIs, interval, number, percent } from "./words.ts";

/** Title of the table that has the seed's numbers. */
export const SEED_TABLE = "The seed's figures, and ours";
/** Title of the chart of the same. */
export const ACCURACY_FIGURE = "Accuracy: protocol identification and const-rate anomaly detection";
/** Title of the first chart of the threshold. */
export const THRESHOLD_FIGURE = "The threshold: held-out real traffic over t";

/** What the seed calls a rate: ours beside it. */
interface Question {
  readonly question: string;
  readonly seed: string;
  readonly here: Cell;
}

/** The seed's section 3: its attacks, its figures beside ours, the threshold. */
export function seedSection(
  plan: EvaluationPlan,
  planned: PlannedJobs,
  results: Results,
): EvaluationSection {
  const { chosen, curve, kmeans, knn, smtp } =
    results[planned.seedAttacks] as JobResults["seed-attacks"];
  const { crossValidation } = knn;
  const claims = new Map(plan.models.map(({ claims, model }) => [model, claims]));
  const models = Object.keys(knn.cover);
  const realistic = models.filter((model) => !model.startsWith("constant-rate"));
  const taken = (model: string) => knn.cover[model]!.labelledAs[claims.get(model)!] ?? 0;
  const usual = realistic.filter((model) => !model.endsWith("-structural"));
  const mean = (own: readonly string[]) =>
    own.reduce((sum, model) => sum + taken(model), 0) / Math.max(1, own.length);
  const constant = knn.cover["constant-rate"];
  const structural = realistic.filter((model) => model.endsWith("-structural"));
  const { confusion } = crossValidation;
  const ownShares = confusion.rows.map((row, i) => {
    const counts = confusion.counts[i]!;
    return `${row} ${percent(counts[i]! / counts.reduce((sum, count) => sum + count, 0))}`;
  });
  const own = (model: string) => `${model} (${coverIs(plan, model)})`;
  const questions: Question[] = [
    {
      question: "Real protocols told apart (knn, cross-validated)",
      seed: "80 to 95 %",
      here: {
        text: percent(crossValidation.accuracy, 1),
        note: `${interval(crossValidation.ci95)}, n = ${crossValidation.n}; ${
          ownShares.join(", ")
        }`,
      },
    },
    {
      question: "Cover taken for what it claims (mean of the default models)",
      seed: "about 73 %",
      here: {
        text: percent(mean(usual), 1),
        note: usual.map((model) => `${own(model)} ${percent(taken(model))}`).join(", "),
      },
    },
    ...(structural.length === 0 ? [] : [{
      question: "The same of the structural models, the seed's kind",
      seed: "about 73 %",
      here: {
        text: percent(mean(structural), 1),
        note: structural.map((model) => `${own(model)} ${percent(taken(model))}`).join(", "),
      },
    }]),
    ...(constant === undefined ? [] : [{
      question: "Constant rate called anomalous (knn)",
      seed: "77.1 %",
      here: {
        text: percent(constant.unknown, 1),
        note: `${interval(constant.unknownCi95)}, n = ${constant.n}, ${
          coverIs(plan, "constant-rate")
        }`,
      },
    }]),
    ...(smtp === undefined ? [] : [{
      question: "SMTP told from constant rate (kmeans)",
      seed: "95 %+",
      here: {
        text: percent(smtp.cover["constant-rate"]!.toldApart, 1),
        note: `flagged: ${percent(smtp.cover["constant-rate"]!.unknown)} of constant rate, ${
          percent(1 - smtp.crossValidation.coverage)
        } of real SMTP`,
      },
    }]),
  ];
  const colours = models.filter((model) => usual.includes(model) || model === "constant-rate");
  return {
    title: "The seed's section 3: attacks",
    text: [
      "The attacks are the seed's: weighted nearest neighbours on bytes and packet sizes each way and the duration, after the handshake, with a threshold t on the distance to the nearest neighbour; and clusters for what is too regular. They have seen real traffic only.",
    ],
    facts: [],
    tables: [
      {
        title: SEED_TABLE,
        head: ["Question", "The seed", "Here"],
        rows: questions.map(({ here, question, seed }) => [question, seed, here]),
      },
      {
        title: "Verdicts on each cover model",
        head: [
          "Model",
          "Connections",
          "Taken for its claim",
          "Called unknown",
          "Flagged by kmeans",
        ],
        rows: models.map((model) => [
          { text: model, note: coverIs(plan, model) },
          String(knn.cover[model]!.n),
          { text: percent(taken(model)), note: `as ${claims.get(model)}` },
          {
            text: percent(knn.cover[model]!.unknown),
            note: interval(knn.cover[model]!.unknownCi95),
          },
          {
            text: percent(kmeans.cover[model]!.unknown),
            note: interval(kmeans.cover[model]!.unknownCi95),
          },
        ]),
      },
      {
        title: "Held-out real connections, as nearest neighbours label them",
        head: ["Truth", ...confusion.columns],
        rows: confusion.rows.map((row, i) => [row, ...confusion.counts[i]!.map(String)]),
      },
    ],
    figures: [
      {
        kind: "bars",
        title: ACCURACY_FIGURE,
        x: "share of connections",
        bars: [
          ...confusion.rows.map((row, i) => ({
            name: `real ${row}, labelled rightly`,
            group: "traffic analysis",
            value: confusion.counts[i]![i]! /
              confusion.counts[i]!.reduce((sum, count) => sum + count, 0),
          })),
          ...colours.filter((model) => model !== "constant-rate").map((model) => ({
            name: `${own(model)}, taken for ${claims.get(model)}`,
            group: "defense detection",
            value: taken(model),
          })),
          ...(constant === undefined ? [] : [{
            name: `${own("constant-rate")}, knn`,
            group: "const-rate anomaly detection",
            value: constant.unknown,
          }]),
          ...(smtp === undefined ? [] : [{
            name: `${own("constant-rate")} against SMTP, kmeans`,
            group: "const-rate anomaly detection",
            value: smtp.cover["constant-rate"]!.toldApart,
          }]),
        ],
      },
      {
        kind: "lines",
        title: THRESHOLD_FIGURE,
        x: "threshold t",
        y: "share",
        log: true,
        range: [0, 1],
        marked: { at: chosen, word: `t = ${number(chosen)}, which cross-validation chose` },
        series: [
          {
            name: "labelled rightly (accuracy)",
            points: curve.map(({ accuracy, t }) => [t, accuracy] as const),
            real: true,
          },
          {
            name: "called unknown",
            points: curve.map(({ t, unknown }) => [t, unknown] as const),
          },
          {
            name: "called unknown, of a protocol that was not learned",
            points: curve.map(({ strangers, t }) => [t, strangers] as const),
          },
        ],
      },
      {
        kind: "lines",
        title: "The threshold: cover called unknown over t",
        x: "threshold t",
        y: "share called unknown",
        log: true,
        range: [0, 1],
        marked: { at: chosen, word: `t = ${number(chosen)}, which cross-validation chose` },
        series: colours.map((model) => ({
          name: own(model),
          real: model === "constant-rate",
          points: curve.map(({ cover, t }) => [t, cover[model]!] as const),
        })),
      },
    ],
  };
}
