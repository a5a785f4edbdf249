import type {
  Cell,
  EvaluationFigure,
  EvaluationSection,
} from "../../../report/evaluation_result.ts";
import type { Range } from "../fidelity.ts";
import type { JobResults } from "../jobs.ts";
import type { EvaluationPlan, PlannedJobs, Results } from "../plan.ts";
import { coverIs, number, rangeText } from "./words.ts";

/** The longest time scale that is asked for, in milliseconds. */
const LONGEST = 100_000;

const scaleText = (scale: number) =>
  scale < 1000 ? `${number(scale)} ms` : `${number(scale / 1000)} s`;

/** Swing's variables, dependences and energy, beside what real runs differ by. */
export function fidelitySection(
  plan: EvaluationPlan,
  planned: PlannedJobs,
  results: Results,
): EvaluationSection {
  const all = planned.fidelity.map(({ job, model, protocol }) => ({
    model,
    protocol,
    found: results[job] as JobResults["fidelity"],
  }));
  const cover = (model: string) => `${model}, ${coverIs(plan, model)}`;
  const plain = all.filter(({ model }) => !model.endsWith("-structural"));
  const lasting = ({ high, low }: Range) => `${number(low)} to ${number(high)} s`;
  const facts = all.map(({ found, model }) => {
    const within = found.variables.filter(({ ks, ksReal }) => ks <= ksReal.high).length;
    return {
      text:
        `${
          cover(model)
        }: ${within} of ${found.variables.length} variables are no farther from real ` +
        `traffic than the farthest real run is from the others (KS). Real runs last ${
          lasting(found.seconds.real)
        }, cover's ${lasting(found.seconds.cover)}: energy is known up to ${
          scaleText(found.energy.at(-1)?.scale ?? NaN)
        }${
          (found.energy.at(-1)?.scale ?? 0) < LONGEST / 2
            ? ", not up to 100 s, which needs runs of half an hour"
            : ""
        }.`,
    };
  });
  const figures: EvaluationFigure[] = plain.flatMap(({ found, model, protocol }) => [
    ...found.variables.map(({ curves, ks, name, unit }): EvaluationFigure => ({
      kind: "lines",
      size: "small",
      row: `${cover(model)}: distributions`,
      title: `${name}, ${unit}; KS ${ks.toFixed(2)}`,
      x: `${name}, ${unit}`,
      y: "share at or below",
      log: curves.real.at(-1)![0] > 30 * Math.max(1, curves.real[0]![0]),
      range: [0, 1],
      series: [
        { name: `real ${protocol}`, real: true, steps: true, points: curves.real },
        { name: cover(model), steps: true, points: curves.cover },
      ],
    })),
    {
      kind: "lines",
      title: `${model}: energy of the traffic by time scale`,
      x: "time scale, ms",
      y: "log2 of energy / squared mean",
      log: true,
      series: [
        {
          name: `real ${protocol} (median of the runs)`,
          real: true,
          points: found.energy.map(({ real, scale }) => [scale, real.middle] as const),
        },
        {
          name: `${cover(model)} (median of the runs)`,
          points: found.energy.map(({ cover, scale }) => [scale, cover.middle] as const),
        },
      ],
    },
  ]);
  return {
    title: "Fidelity, variable by variable",
    text: [
      "Swing's variables, cover against all real runs that attackers have, beside what one real run differs from the others by. KS is the largest gap between the distribution functions; EMD the earth mover's distance in standard deviations of the real values. Energy is that of Haar's wavelet on the bytes of each millisecond, at scales from 1 ms to 100 s or to a sixteenth of what the shortest runs last, relative to the squared mean so that a busier link has no more of it: flat is noise, a rise at long scales is bursts within bursts.",
    ],
    facts,
    tables: all.flatMap(({ found, model }) => [
      {
        title: `${cover(model)}: distances between distributions`,
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
        title: `${cover(model)}: dependences, and energy at time scales`,
        head: ["Figure of a run", "Cover", "Real runs"],
        rows: [
          ...found.dependences.map(({ cover, name, real }) => [
            name,
            rangeText(cover),
            rangeText(real),
          ]),
          ...found.energy.filter((_, i) => i % 3 === 0).map(({ cover, real, scale }) => [
            `energy at ${scaleText(scale)}`,
            rangeText(cover),
            rangeText(real),
          ]),
        ],
      },
    ]),
    figures,
  };
}
