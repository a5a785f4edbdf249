import type { EvaluationResult } from "../../report/evaluation_result.ts";
import { contentSection } from "../content/section.ts";
import type { EvaluationPlan, PlannedJobs, Results } from "./plan.ts";
import { bulkTransferSection, FIGURE_SECTION } from "./sections/bulk_transfer.ts";
import { fidelitySection } from "./sections/fidelity.ts";
import { longScalesSection } from "./sections/long_scales.ts";
import { modernSection } from "./sections/modern_attackers.ts";
import { roughLinkSection } from "./sections/rough_links.ts";
import { scheduleSection } from "./sections/schedules.ts";
import {
  ACCURACY_FIGURE,
  SEED_TABLE,
  seedSection,
  THRESHOLD_FIGURE,
} from "./sections/seed_attacks.ts";

/** The parts of the report. */
export function assemble(
  plan: EvaluationPlan,
  planned: PlannedJobs,
  results: Results,
  madeAt: string,
): EvaluationResult {
  const bulk = bulkTransferSection(plan, planned, results);
  const recorded = plan.recorded.map(({ label }) => label);
  return {
    title: "TrafficMimic: the evaluation",
    madeAt,
    seed: String(plan.seed),
    quick: plan.quick,
    guide: [
      {
        what:
          "section 3 in numbers: protocols told apart (80 to 95 %), classifier fooled (73 %), constant rate anomalous (77.1 %), SMTP against constant rate (95 %+)",
        heading: SEED_TABLE,
      },
      {
        what: "the poster's accuracy and const-rate anomaly detection, as a chart",
        heading: ACCURACY_FIGURE,
      },
      { what: "the threshold t, tuned by cross-validation", heading: THRESHOLD_FIGURE },
      ...[
        { what: "the paper's figure", at: 0 },
        { what: "the poster's, with 28 kbit/s constant rate", at: 2 },
      ].map(({ at, what }) => ({
        what: `${what}; below it times more bytes than the 100 KB`,
        heading: bulk.figures[at]!.title,
      })),
      { what: "the same in numbers, and which models beat constant rate", heading: FIGURE_SECTION },
    ],
    sections: [
      seedSection(plan, planned, results),
      bulk,
      modernSection(plan, planned, results),
      fidelitySection(plan, planned, results),
      ...(planned.longScales.length === 0 ? [] : [longScalesSection(planned, results)]),
      roughLinkSection(planned, results),
      scheduleSection(planned, results),
      ...(planned.content === undefined ? [] : [contentSection(planned.content, results)]),
    ],
    method: [
      {
        title: "Real traffic",
        text: `${
          plan.real.map(({ captures, label }) => `${label}: ${captures.length} runs`).join(", ")
        } for attackers to learn from and be tested on${
          (plan.moreReal ?? []).length === 0
            ? ""
            : " (recorded in the same minutes as the cover; the seed's attacks have the runs of other hours besides: chosen after a trial in which, without them, they called no constant rate anomalous)"
        }; ${
          plan.learned.map(({ captures, label }) => `${label}: ${captures.length} runs`).join(", ")
        } are those that the models were learned from. No run is in both, and none is split.`,
      },
      {
        title: "Cover",
        text:
          (recorded.length > 0
            ? `Recorded: ${recorded.join(", ")}. Everything else is`
            : "All of it is") +
          " simulated: the same engine, plans and sizes as on sockets, in virtual time over a model of the laboratory's link. Messages and their order are equal to tcpdump's (bench/simulation_likeness.ts), times are a model's: packets are as late as the openings of connections in the learned runs were, machines react in next to no time. Figures that rest on times flatter or harm the cover by what that misses.",
      },
      {
        title: "Intervals",
        text:
          "Shares: Wilson's, 95 %, as if connections were independent. Areas: bootstrap over runs of both kinds; with three runs of either it is too narrow.",
      },
    ],
  };
}
