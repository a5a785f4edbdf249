import type {
  Cell,
  EvaluationFigure,
  EvaluationSection,
} from "../../../report/evaluation_result.ts";
import type { Curve } from "../curve.ts";
import type { JobResults } from "../jobs.ts";
import {
  ATTACKS,
  COARSE,
  type EvaluationPlan,
  type PlannedJobs,
  type Results,
  type ToldApartCell,
} from "../plan.ts";
import { coverIs, percent, small } from "./words.ts";
import type { Distances } from "../repeats.ts";
import type { ToldApart } from "../told_apart.ts";

/** Real connections that a false-positive rate of 0.1 % takes to be shown: no error among n bounds it at 3/n. */
const NEGATIVES = 3000;

/** The columns that tell gradient boosting most, and their distributions: what gives each model's cover away. */
function importanceFigures(
  plan: EvaluationPlan,
  cells: readonly { readonly cell: ToldApartCell; readonly found: ToldApart }[],
): EvaluationFigure[] {
  const own = cells.filter(({ cell, found }) =>
    cell.model !== undefined && !cell.model.endsWith("-structural") && found.columns.length > 0 &&
    cell.attack === "gradient-boosting" && cell.handshake === "excluded" && cell.clock === 0
  );
  return own.flatMap(({ cell: { protocol, model }, found }): EvaluationFigure[] => [
    {
      kind: "bars",
      title: `${model}, ${
        coverIs(plan, model!)
      }: what gives it away (importances, gradient boosting)`,
      x: "share of the attack's gain",
      bars: found.importances.slice(0, 8).map(([name, value]) => ({ name, group: "share", value })),
    },
    ...found.columns.map(({ curves, importance, ks, name, present }): EvaluationFigure => {
      const end = Math.max(quantile(curves.real, MOST_SHOWN), quantile(curves.other, MOST_SHOWN));
      const shown = (curve: Curve) => curve.filter(([value]) => value <= end);
      const [real, other] = [shown(curves.real), shown(curves.other)];
      return {
        kind: "lines",
        size: "small",
        row: `${model}: the worst columns, real against cover`,
        title: `${name}: ${percent(importance)} of the gain, KS ${ks.toFixed(2)}${
          present.every((share) => share === 1)
            ? ""
            : `; in ${percent(present[0])} of real, ${percent(present[1])} of cover`
        }`,
        x: name,
        y: "share at or below; the last twentieth is cut off",
        log: wide(real) || wide(other),
        range: [0, 1],
        series: [
          { name: `real ${protocol}`, real: true, steps: true, points: real },
          { name: `${model}, ${coverIs(plan, model!)}`, steps: true, points: other },
        ],
      };
    }),
  ]);
}

/** Share of a distribution that is drawn: what attacks go by is seldom in the tail. */
const MOST_SHOWN = 0.95;

const quantile = (curve: Curve, share: number) =>
  curve.find(([, reached]) => reached >= share)?.[0] ?? -Infinity;

/** Whether a distribution of what is never negative spans more than a decade and a half. */
const wide = (curve: Curve) =>
  curve.length > 0 && curve[0]![0] >= 0 && curve.at(-1)![0] > 30 * Math.max(1, curve[0]![0]);

/** Today's attackers: how well each tells cover from real traffic, beside the floor. */
export function modernSection(
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
      text: `${model}, ${coverIs(plan, model)}: the strongest attacker is ${cell.attack}, AUC ${
        found.auc.toFixed(2)
      } (${found.ci95[0].toFixed(2)}–${found.ci95[1].toFixed(2)})${
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
        floor === undefined ? "" : `\nfloor ${floor.toFixed(2)}`
      }`,
    };
  };
  const aucTable = (handshake: "excluded" | "included", clock: number, title: string) => {
    const attacks = ATTACKS.filter((attack) => find({ attack, handshake, clock }) !== undefined);
    return {
      title,
      head: ["Model", ...attacks],
      rows: models.map(({ model }): Cell[] => [
        { text: model, note: coverIs(plan, model) },
        ...attacks.map((attack) => aucCell({ model, attack, handshake, clock })),
      ]),
    };
  };
  const baseRates = models.map(({ model }): Cell[] => {
    const { cell, found } = strongest(model);
    return [
      { text: model, note: `${cell.attack}\n${coverIs(plan, model)}` },
      ...found.baseRates.map(({ accused, found, precision, precisionAtBound }): Cell => ({
        text: precisionAtBound === undefined
          ? small(precision)
          : `${small(precisionAtBound)} or more`,
        note: `finds ${percent(found)}\naccuses ${
          accused === 0 ? "no real one" : `${small(accused)} of real`
        }`,
      })),
      { text: small(found.bound), note: `3/n, n = ${found.n[0]}` },
    ];
  });
  const negatives = plan.real.map(({ label }) => {
    const own = cells.find(({ cell }) => cell.protocol === label)?.found;
    return { label, n: own?.n[0] ?? 0, bound: own?.bound ?? 1 };
  });
  const few = negatives.filter(({ n }) => n < NEGATIVES);
  const ownRepeats = planned.repeats.map(({ job, model }) => ({
    model,
    found: results[job] as JobResults["repeats"],
  }));
  const distance = ({ high, low, middle }: Distances): Cell => ({
    text: middle.toFixed(2),
    note: `5 %: ${low.toFixed(2)}\n95 %: ${high.toFixed(2)}`,
  });
  const nearness = ownRepeats.filter(({ model }) => !model.endsWith("-structural")).map((
    { found: { coverDistance, realDistance }, model },
  ) => ({
    text: `${model}: half of the cover is within ${
      coverDistance.middle.toFixed(2)
    } doublings of a learned connection, half of other real runs within ${
      realDistance.middle.toFixed(2)
    } (5 %: ${coverDistance.low.toFixed(2)} and ${realDistance.low.toFixed(2)})${
      coverDistance.middle < realDistance.middle / 2 || coverDistance.low < realDistance.low / 2
        ? ": nearer than real traffic comes, the model keeps close to what it learned"
        : ""
    }.`,
  }));
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
      ...((plan.moreReal ?? []).length === 0 ? [] : [
        "Recorded cover and the real traffic that attackers have are of the same minutes, the learned runs are of other hours: the floor has that difference in it, the cover has not, so that it may lie below the floor and still be told apart.",
      ]),
      "Columns that attackers name: sizeN and gapN are the size of message N (the first is 0) and the milliseconds before it; reactionN those since the other side last spoke; gapQ50 the median of all gaps, clientQ10 the 10 % quantile of the client's sizes, and so on.",
    ],
    facts: [
      ...facts,
      {
        text: `${
          few.length === 0
            ? "A false-positive rate of 0.1 % could be shown"
            : "No false-positive rate of 0.1 % is claimed anywhere here: that needs 3,000 real connections that an attacker has not learned, without one error"
        }. There are ${
          negatives.map(({ bound, label, n }) => `${n} of ${label} (3/n = ${small(bound)})`)
            .join(", ")
        }.`,
      },
      ...nearness,
    ],
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
      }, {
        title: "Distance to the nearest learned connection",
        head: ["Model", "Cover, median", "Other real runs, median", "Cover, n", "Real, n"],
        rows: ownRepeats.map(({ found, model }): Cell[] => [
          { text: model, note: coverIs(plan, model) },
          distance(found.coverDistance),
          distance(found.realDistance),
          String(found.n[0]),
          String(found.n[1]),
        ]),
        note:
          "Euclidean, in doublings: over the signed sizes of the first 20 messages, the bytes each way and the number of messages (times left out). A model that memorised would be nearer to what it learned than real traffic is, above all at 5 %.",
      }]),
    ],
    figures: [
      {
        kind: "intervals",
        title: "AUC of each attacker after the handshake",
        x: "AUC",
        range: [0.3, 1],
        rows: models.flatMap(({ model }) =>
          ATTACKS.flatMap((attack) => {
            const found = find({ model, attack, handshake: "excluded", clock: 0 });
            if (found === undefined) return [];
            const cell = cells.find(({ found: own }) => own === found)!.cell;
            const floor = floorOf(cell)?.auc;
            return [{
              name: `${model} (${coverIs(plan, model)}): ${attack}`,
              value: found.auc,
              low: found.ci95[0],
              high: found.ci95[1],
              ...(floor === undefined ? {} : { floor }),
            }];
          })
        ),
      },
      ...importanceFigures(plan, cells),
      ...ownRepeats.filter(({ model }) => !model.endsWith("-structural")).map((
        { found, model },
      ): EvaluationFigure => ({
        kind: "lines",
        size: "small",
        row: "How near connections come to a learned one",
        title: `${model} (${
          coverIs(plan, model)
        }): distance to the nearest learned connection, doublings`,
        x: "distance, doublings",
        y: "share at or below",
        range: [0, 1],
        series: [
          { name: "other real runs", real: true, steps: true, points: found.realDistance.curve },
          { name: "cover", steps: true, points: found.coverDistance.curve },
        ],
      })),
    ],
  };
}
