import type { Cell, EvaluationSection } from "../../../report/evaluation_result.ts";
import type { JobResults } from "../jobs.ts";
import type { PlannedJobs, Results } from "../plan.ts";
import { number, percent } from "./words.ts";

/** Users over half an hour: pauses, episodes, sessions, energy at long time scales. */
export function longScalesSection(planned: PlannedJobs, results: Results): EvaluationSection {
  const all = planned.longScales.map(({ job, model }) => ({
    model,
    found: results[job] as JobResults["long-scales"],
  }));
  const scale = (milliseconds: number) => `${number(milliseconds / 1000)} s`;
  return {
    title: "Users over half an hour: pauses, and energy up to a minute and more",
    text: [
      "Real users with addresses of their own (samples/users, outlines: when each connection opens, and not what is in it) beside as many users that a model plays, simulated. Energy is that of Haar's wavelet on the openings of each second, relative to the squared mean; at a scale of 64 s it compares neighbours of 64 s, so that pauses of up to two minutes show. The models' episodes and sessions were learned from these very users: nobody else was recorded for so long, and one real run against the other is what there is to measure by.",
    ],
    facts: all.filter(({ found: { pauses } }) =>
      pauses.real.sessions > 0 && pauses.cover.sessions === 0
    ).map(({ found: { openings }, model }) => ({
      good: false,
      text:
        `${model}: no played user pauses for 5 minutes, as real ones do: one session follows the other at once, and users open ${
          number(openings.cover.middle / openings.real.middle)
        } times as many connections.`,
    })),
    tables: [{
      title: "Pauses between one user's connections",
      head: [
        "Model",
        "Openings a run, real → played",
        "KS of all pauses",
        "KS of pauses of 30 s or more",
        "30 s or more, real → played",
        "5 min or more, real → played",
      ],
      rows: all.map(({ found: { minutes, openings, pauses, users }, model }): Cell[] => {
        const share = (what: "episodes" | "sessions") =>
          [pauses.real, pauses.cover].map((own) => percent(own[what] / Math.max(1, own.n), 1))
            .join(" → ");
        return [
          { text: model, note: `${users} users, ${number(minutes)} min` },
          `${number(openings.real.middle)} → ${number(openings.cover.middle)}`,
          { text: pauses.ks.toFixed(2), note: `real against real ${pauses.ksReal.toFixed(2)}` },
          {
            text: pauses.ksEpisodes.toFixed(2),
            note: `real against real ${pauses.ksEpisodesReal.toFixed(2)}`,
          },
          {
            text: share("episodes"),
            note: `n = ${pauses.real.episodes}, ${pauses.cover.episodes}`,
          },
          {
            text: share("sessions"),
            note: `n = ${pauses.real.sessions}, ${pauses.cover.sessions}`,
          },
        ];
      }),
    }, {
      title: "Energy of openings by time scale, real → played",
      head: ["Time scale", ...all.map(({ model }) => model)],
      rows: (all[0]?.found.energy ?? []).map(({ scale: at }): Cell[] => [
        scale(at),
        ...all.map(({ found }): Cell => {
          const own = found.energy.find((one) => one.scale === at);
          if (own === undefined) return "–";
          const { cover, real } = own;
          return {
            text: `${number(real.middle)} → ${number(cover.middle)}`,
            note: `real ${number(real.low)}–${number(real.high)}`,
          };
        }),
      ]),
    }],
    figures: all.map(({ found, model }) => ({
      kind: "lines",
      size: "small",
      row: "Energy of openings, up to neighbours of a minute",
      title: model,
      x: "time scale, ms",
      y: "log2 of energy / squared mean",
      log: true,
      series: [
        {
          name: "real users",
          real: true,
          points: found.energy.map(({ real, scale }) => [scale, real.middle] as const),
        },
        {
          name: "users that the model plays (simulated)",
          points: found.energy.map(({ cover, scale }) => [scale, cover.middle] as const),
        },
      ],
    })),
  };
}
