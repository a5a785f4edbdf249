import type { Cell, EvaluationSection } from "../../../report/evaluation_result.ts";
import type { JobResults } from "../jobs.ts";
import type { PlannedJobs, Results } from "../plan.ts";
import { SEQUENCE } from "../schedule_leak.ts";

/** What `demand` and `adaptive` reveal of a user, compared with `strict`. */
export function scheduleSection(planned: PlannedJobs, results: Results): EvaluationSection {
  const all = planned.leaks.map(({ job, model, schedule }) => ({
    model,
    schedule,
    found: results[job] as JobResults["schedule-leak"],
  }));
  const area = ({ auc, ci95, floor }: (typeof all)[number]["found"]["inside"]): Cell => ({
    text: auc.toFixed(2),
    note: `${ci95[0].toFixed(2)}–${ci95[1].toFixed(2)}${
      floor === undefined ? "" : `\nidle against idle ${floor.auc.toFixed(2)}`
    }`,
  });
  const strict = all.filter(({ schedule }) => schedule === "strict");
  return {
    title: "What schedules reveal: demand and adaptive against strict",
    text: [
      `Idle users against busy ones (a request of some hundred bytes, an answer of 20 to 420 KB, a pause, again), simulated. The attacker is a random forest that is trained on other users than those that it judges: on one connection (sizes and times of its records), and on ${SEQUENCE} connections in a row (bytes each way, times of their starts). 0.5 is guessing.`,
    ],
    facts: strict.map(({ found, model }) => {
      const low = Math.max(found.inside.ci95[0], found.across.ci95[0]);
      return {
        good: low <= 0.5,
        text: `${model} under strict: ${found.inside.auc.toFixed(2)} by one connection, ${
          found.across.auc.toFixed(2)
        } by ${SEQUENCE} in a row; it must be guessing.`,
      };
    }),
    tables: all.length === 0 ? [] : [{
      title: "AUC, idle against busy users (simulated)",
      head: [
        "Model and schedule",
        "One connection",
        `${SEQUENCE} connections in a row`,
        "Connections, idle users",
        "Connections, busy users",
      ],
      rows: all.map(({ found, model, schedule }): Cell[] => [
        `${model}, ${schedule}`,
        area(found.inside),
        area(found.across),
        String(found.inside.n[0]),
        String(found.inside.n[1]),
      ]),
    }],
    figures: all.length === 0 ? [] : [{
      kind: "intervals",
      title: `AUC, idle against busy users, ${SEQUENCE} connections in a row (simulated)`,
      x: "AUC",
      range: [0.3, 1],
      floor: "idle users against idle users",
      rows: all.map(({ found, model, schedule }) => ({
        name: `${model}, ${schedule}`,
        value: found.across.auc,
        low: found.across.ci95[0],
        high: found.across.ci95[1],
        ...(found.across.floor === undefined ? {} : { floor: found.across.floor.auc }),
      })),
    }],
  };
}
