import type {
  Cell,
  EvaluationFigure,
  EvaluationResult,
  EvaluationSection,
} from "../../report/evaluation_result.ts";
import type { Range } from "./fidelity.ts";
import type { JobKind, JobResults } from "./jobs.ts";
import {
  ATTACKS,
  COARSE,
  CONSTANT_RATES,
  type EvaluationPlan,
  FIGURE_LINKS,
  type PlannedJobs,
  type ToldApartCell,
} from "./plan.ts";
import type { ToldApart } from "./told_apart.ts";

/** Results in the order of the planned jobs. */
export type Results = readonly JobResults[JobKind][];

const percent = (share: number, digits = 0) => `${(100 * share).toFixed(digits)} %`;
const interval = ([low, high]: readonly [number, number]) =>
  `${(100 * low).toFixed(0)}–${(100 * high).toFixed(0)}`;
const number = (value: number) =>
  Number.isFinite(value) ? String(Number(value.toPrecision(3))) : "–";

/** A precision, or a share of false accusations: small ones in words that do not round to nothing. */
function small(share: number): string {
  if (share >= 0.01) return percent(share, 1);
  return share === 0 ? "0 %" : `${(100 * share).toPrecision(2)} %`;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  if (sorted.length === 0) return NaN;
  return (sorted[sorted.length - 1 >> 1]! + sorted[sorted.length >> 1]!) / 2;
}

/** What the seed calls a rate: ours beside it. */
interface Question {
  readonly question: string;
  readonly seed: string;
  readonly here: Cell;
}

/** The parts of the report. */
export function assemble(
  plan: EvaluationPlan,
  planned: PlannedJobs,
  results: Results,
  madeAt: string,
): EvaluationResult {
  const recorded = plan.recorded.map(({ label }) => label);
  return {
    title: "TrafficMimic: the evaluation",
    madeAt,
    seed: String(plan.seed),
    quick: plan.quick,
    sections: [
      seedSection(plan, planned, results),
      figureOne(planned, results),
      modern(plan, planned, results),
      fidelitySection(planned, results),
    ],
    method: [
      {
        title: "Real traffic",
        text: `${
          plan.real.map(({ captures, label }) => `${label}: ${captures.length} runs`).join(", ")
        } for attackers to learn from and be tested on; ${
          plan.learned.map(({ captures, label }) => `${label}: ${captures.length} runs`).join(", ")
        } are those that the models were learned from. No run is in both, and none is split.`,
      },
      {
        title: "Cover",
        text:
          (recorded.length > 0
            ? `Recorded: ${recorded.join(", ")}. Everything else is`
            : "All of it is") +
          " simulated: the same engine, plans and sizes as on sockets, in virtual time over a model of the laboratory's link. Messages and their order are equal to tcpdump's (bench/simulation_likeness.ts), times are a model's and lack the jitter of a machine: figures that rest on times flatter or harm the cover by that much.",
      },
      {
        title: "Intervals",
        text:
          "Shares: Wilson's, 95 %, as if connections were independent. Areas: bootstrap over runs of both kinds; with three runs of either it is too narrow.",
      },
    ],
  };
}

function seedSection(
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
        note: usual.map((model) => `${model} ${percent(taken(model))}`).join(", "),
      },
    },
    ...(structural.length === 0 ? [] : [{
      question: "The same of the structural models, the seed's kind",
      seed: "about 73 %",
      here: {
        text: percent(mean(structural), 1),
        note: structural.map((model) => `${model} ${percent(taken(model))}`).join(", "),
      },
    }]),
    ...(constant === undefined ? [] : [{
      question: "Constant rate called anomalous (knn)",
      seed: "77.1 %",
      here: {
        text: percent(constant.unknown, 1),
        note: `${interval(constant.unknownCi95)}, n = ${constant.n}`,
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
        title: "The seed's figures, and ours",
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
          model,
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
        kind: "lines",
        title: "The threshold: held-out real traffic over t",
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
          name: model,
          real: model === "constant-rate",
          points: curve.map(({ cover, t }) => [t, cover[model]!] as const),
        })),
      },
    ],
  };
}

function figureOne(planned: PlannedJobs, results: Results): EvaluationSection {
  const cells = planned.transfers.map(({ cell, job }) => {
    const { kbps, overhead, unfinished } = results[job] as JobResults["transfer"];
    return { ...cell, kbps, overhead, unfinished };
  });
  const names = [...new Set(cells.map(({ model }) => model))];
  const word = (from: "client" | "server") => from === "client" ? "requests" : "responses";
  const label = (model: string) =>
    model === CONSTANT_RATES[1]
      ? "constant-rate 28 kbit/s"
      : model === CONSTANT_RATES[0]
      ? "constant-rate 1448 B/500 ms"
      : model;
  const of = (model: string, link: string, from: string) =>
    cells.find((cell) => cell.model === model && cell.link === link && cell.from === from)!;
  const spread = (values: readonly number[], unfinished: number, unit = ""): Cell => {
    if (values.length === 0) return { text: "over 4 h", mark: "bad" };
    return {
      text: number(median(values)) + unit,
      note: `${number(Math.min(...values))}–${number(Math.max(...values))}${
        unfinished > 0 ? `, ${unfinished} over 4 h` : ""
      }`,
    };
  };
  const facts = FIGURE_LINKS.map((link) => {
    const better = (
      what: "kbps" | "overhead",
      wins: (own: number, constant: number) => boolean,
    ) =>
      names.filter((model) => !model.startsWith("constant-rate")).flatMap((model) =>
        (["client", "server"] as const).filter((from) => {
          const own = median(of(model, link, from)[what]);
          return CONSTANT_RATES.filter((rate) => names.includes(rate)).every((rate) =>
            wins(own, median(of(rate, link, from)[what]))
          );
        }).map((from) => `${model} ${word(from)}`)
      );
    const list = (own: readonly string[]) => own.length === 0 ? "none" : own.join(", ");
    return {
      text: `${link}: faster than constant rate at either rate: ${
        list(better("kbps", (own, constant) => own > constant))
      }. Less overhead than constant rate: ${
        list(better("overhead", (own, constant) => own < constant))
      }. (The seed: SMTP and HTTP responses outperform constant rate.)`,
    };
  });
  return {
    title: "The seed's figure 1: bandwidth and overhead",
    text: [
      `A bulk transfer of 100 KB, as the seed drove with iperf, each direction by itself: requests are what the client sends, responses what the server sends. One session, strict schedule, simulated. Canada–UK: 90 ms of round trip; Illinois–California: 60 ms; 20 Mbit/s. Overhead is TCP payload on the wire both ways, handshakes included, for each user byte. The seed's constant rate is 1448 bytes every 500 ms (23 kbit/s on the wire); its poster calls it 28 kbit/s, which stands beside it.`,
    ],
    facts,
    tables: FIGURE_LINKS.map((link) => ({
      title: `100 KB over ${link} (simulated): median of the transfers, least and greatest below`,
      head: [
        "Model",
        "Requests, kbit/s",
        "Responses, kbit/s",
        "Requests, overhead",
        "Responses, overhead",
      ],
      rows: names.map((model) => [
        label(model),
        ...(["kbps", "overhead"] as const).flatMap((what) =>
          (["client", "server"] as const).map((from) => {
            const { unfinished, ...cell } = of(model, link, from);
            return spread(cell[what], unfinished, what === "overhead" ? "×" : "");
          })
        ),
      ]),
    })),
    figures: FIGURE_LINKS.flatMap((link): EvaluationFigure[] =>
      (["kbps", "overhead"] as const).map((what) => ({
        kind: "bars",
        title: `Figure 1, ${link}: ${what === "kbps" ? "bandwidth" : "overhead"} (simulated)`,
        x: what === "kbps" ? "kbit/s of user data" : "bytes on the wire for each user byte",
        log: true,
        bars: names.flatMap((model) =>
          (["client", "server"] as const).map((from) => ({
            name: label(model),
            group: word(from),
            value: median(of(model, link, from)[what]),
          }))
        ),
      }))
    ),
  };
}

function modern(
  plan: EvaluationPlan,
  planned: PlannedJobs,
  results: Results,
): EvaluationSection {
  const cells = planned.toldApart.map(({ cell, job }) => ({
    cell,
    found: results[job] as ToldApart,
  }));
  const find = (wanted: Partial<ToldApartCell>) =>
    cells.find(({ cell }) =>
      Object.entries(wanted).every(([key, value]) => cell[key as keyof ToldApartCell] === value)
    )?.found;
  const floorOf = (cell: ToldApartCell) => find({ ...cell, model: undefined, simulated: false });
  const models = plan.models.filter(({ model }) => find({ model }) !== undefined);
  const strongest = (model: string) =>
    cells.filter(({ cell }) =>
      cell.model === model && cell.handshake === "excluded" && cell.clock === 0
    )
      .sort((a, b) => b.found.auc - a.found.auc)[0]!;
  const facts = models.filter(({ model }) => !model.endsWith("-structural")).map(({ model }) => {
    const { cell, found } = strongest(model);
    const floor = floorOf(cell)?.auc;
    const constant = model.startsWith("constant-rate");
    return {
      good: constant ? found.auc >= 0.99 : found.auc <= 0.6,
      text: `${model}: the strongest attacker is ${cell.attack}, AUC ${found.auc.toFixed(2)} (${
        found.ci95[0].toFixed(2)
      }–${found.ci95[1].toFixed(2)})${
        floor === undefined ? "" : `, real against real ${floor.toFixed(2)}`
      }; ${constant ? "it must be found" : "the aim is 0.60 or less"}.${
        found.telling.length > 0 && !constant
          ? ` What tells most: ${found.telling.slice(0, 3).join(", ")}.`
          : ""
      }`,
    };
  });
  const aucCell = (wanted: Partial<ToldApartCell>): Cell => {
    const found = find(wanted);
    if (found === undefined) return "–";
    const cell = cells.find(({ found: own }) => own === found)!.cell;
    const floor = floorOf(cell)?.auc;
    return {
      text: found.auc.toFixed(2),
      note: `${found.ci95[0].toFixed(2)}–${found.ci95[1].toFixed(2)}${
        floor === undefined ? "" : `, floor ${floor.toFixed(2)}`
      }`,
    };
  };
  const how = (model: string) =>
    cells.find(({ cell }) => cell.model === model)!.cell.simulated ? "simulated" : "recorded";
  const aucTable = (handshake: "excluded" | "included", clock: number, title: string) => {
    const attacks = ATTACKS.filter((attack) => find({ attack, handshake, clock }) !== undefined);
    return {
      title,
      head: ["Model", ...attacks],
      rows: models.map(({ model }): Cell[] => [
        { text: model, note: how(model) },
        ...attacks.map((attack) => aucCell({ model, attack, handshake, clock })),
      ]),
    };
  };
  const baseRates = models.map(({ model }): Cell[] => {
    const { cell, found } = strongest(model);
    return [
      { text: model, note: cell.attack },
      ...found.baseRates.map(({ accused, found, precision, precisionAtBound }): Cell => ({
        text: precisionAtBound === undefined
          ? small(precision)
          : `${small(precisionAtBound)} or more`,
        note: `finds ${percent(found)}, accuses ${
          accused === 0 ? "no real one" : `${small(accused)} of real`
        }`,
      })),
      { text: small(found.bound), note: `3/n, n = ${found.n[0]}` },
    ];
  });
  const repeated = planned.repeats.map(({ job, model }): Cell[] => {
    const own = results[job] as JobResults["repeats"];
    return [
      model,
      { text: percent(own.cover, 1), note: `n = ${own.n[0]}` },
      { text: percent(own.real, 1), note: `n = ${own.n[1]}` },
      percent(own.coverLong, 1),
      percent(own.realLong, 1),
    ];
  });
  return {
    title: "Today's attackers",
    text: [
      "Each attacker is trained on real traffic and on this very cover, and judges a run of either that it has not seen: every pair of runs in turn. AUC is the area under its ROC curve; 0.5 is guessing. The floor is the same attack between real runs and the real runs that the model was learned from: what a perfect copy of these would score.",
    ],
    facts,
    tables: [
      aucTable("excluded", 0, "AUC after the handshake"),
      aucTable(
        "excluded",
        COARSE.clock,
        `AUC after the handshake, by a clock that reads times to ${COARSE.clock} ms`,
      ),
      aucTable("included", 0, "AUC with the carrier's handshake"),
      {
        title: "The strongest attacker's precision at base rates of cover to real",
        head: ["Model", "1:1", "1:100", "1:10,000", "Least provable false-positive rate"],
        rows: baseRates,
        note:
          "The share of accused connections that are cover, at the threshold of best precision that finds half of the cover or more. Where no real connection was accused, the false-positive rate is still only known to be between 0 and 3/n: at the worse end the precision is what stands here, or more. No claim below the last column is possible with so few real connections.",
      },
      ...(repeated.length === 0 ? [] : [{
        title: "Connections that repeat a learned one verbatim",
        head: [
          "Model",
          "Cover",
          "Other real runs",
          "Cover, over 4 messages",
          "Other real runs, over 4 messages",
        ],
        rows: repeated,
        note:
          "The same sizes of messages in the same order, handshake left out, as a connection that the model was learned from.",
      }]),
    ],
    figures: [{
      kind: "intervals",
      title: "AUC of each attacker after the handshake",
      x: "AUC",
      range: [0.4, 1],
      rows: models.flatMap(({ model }) =>
        ATTACKS.flatMap((attack) => {
          const found = find({ model, attack, handshake: "excluded", clock: 0 });
          if (found === undefined) return [];
          const cell = cells.find(({ found: own }) => own === found)!.cell;
          const floor = floorOf(cell)?.auc;
          return [{
            name: `${model}: ${attack}`,
            value: found.auc,
            low: found.ci95[0],
            high: found.ci95[1],
            ...(floor === undefined ? {} : { floor }),
          }];
        })
      ),
    }],
  };
}

function rangeText({ high, low, middle }: Range): string {
  return `${number(middle)} (${number(low)}–${number(high)})`;
}

function fidelitySection(planned: PlannedJobs, results: Results): EvaluationSection {
  const all = planned.fidelity.map(({ job, model, protocol }) => ({
    model,
    protocol,
    found: results[job] as JobResults["fidelity"],
  }));
  const plain = all.filter(({ model }) => !model.endsWith("-structural"));
  const facts = all.map(({ found, model }) => {
    const within = found.variables.filter(({ ks, ksReal }) => ks <= ksReal.high).length;
    return {
      text: `${model}: ${within} of ${found.variables.length} variables are no farther from real ` +
        `traffic than the farthest real run is from the others (KS).`,
    };
  });
  const figures: EvaluationFigure[] = plain.flatMap(({ found, model, protocol }) => [
    ...found.variables.map(({ curves, ks, name, unit }): EvaluationFigure => ({
      kind: "lines",
      size: "small",
      title: `${model}: ${name}, ${unit}; KS ${ks.toFixed(2)}`,
      x: `${name}, ${unit}`,
      y: "share at or below",
      log: curves.real.at(-1)![0] > 30 * Math.max(1, curves.real[0]![0]),
      range: [0, 1],
      series: [
        { name: `real ${protocol}`, real: true, steps: true, points: curves.real },
        { name: model, steps: true, points: curves.cover },
      ],
    })),
    {
      kind: "lines",
      size: "small",
      title: `${model}: energy by time scale, 1 ms to 100 s (log2, relative)`,
      x: "time scale, ms",
      y: "energy",
      log: true,
      series: [
        {
          name: `real ${protocol}`,
          real: true,
          points: found.energy.map(({ real, scale }) => [scale, real.middle] as const),
        },
        {
          name: model,
          points: found.energy.map(({ cover, scale }) => [scale, cover.middle] as const),
        },
      ],
    },
  ]);
  return {
    title: "Fidelity, variable by variable",
    text: [
      "Swing's variables, cover against all real runs that attackers have, beside what one real run differs from the others by. KS is the largest gap between the distribution functions; EMD the earth mover's distance in standard deviations of the real values. Energy is that of Haar's wavelet on bytes by millisecond.",
    ],
    facts,
    tables: all.flatMap(({ found, model }) => [
      {
        title: `${model}: distributions`,
        head: ["Variable", "KS", "KS, real runs", "EMD", "EMD, real runs", "n real / cover"],
        rows: found.variables.map(({ emd, emdReal, ks, ksReal, n, name, unit }): Cell[] => [
          { text: name, note: unit },
          { text: ks.toFixed(3), mark: ks <= ksReal.high ? "good" : "bad" },
          rangeText(ksReal),
          { text: emd.toFixed(3), mark: emd <= emdReal.high ? "good" : "bad" },
          rangeText(emdReal),
          `${n[0]} / ${n[1]}`,
        ]),
      },
      {
        title: `${model}: dependences, and energy at time scales`,
        head: ["Figure of a run", "Cover", "Real runs"],
        rows: [
          ...found.dependences.map(({ cover, name, real }) => [
            name,
            rangeText(cover),
            rangeText(real),
          ]),
          ...found.energy.filter((_, i) => i % 3 === 0).map(({ cover, real, scale }) => [
            `energy at ${scale < 1000 ? `${scale} ms` : `${number(scale / 1000)} s`}`,
            rangeText(cover),
            rangeText(real),
          ]),
        ],
      },
    ]),
    figures,
  };
}
