import type {
  Cell,
  EvaluationFigure,
  EvaluationSection,
} from "../../../report/evaluation_result.ts";
import type { JobResults } from "../jobs.ts";
import type { PlannedJobs, Results } from "../plan.ts";
import { number, rangeText, type small } from "./words.ts";

/** Swing's variables, dependences and energy, beside what real runs differ by. */
export function fidelitySection(planned: PlannedJobs, results: Results): EvaluationSection {
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
