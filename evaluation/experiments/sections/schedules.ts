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
  const area = (
    { auc, ci95, floor }: (typeof all)[number]["found"]["inside"],
    same = "idle against idle",
  ): Cell => ({
    text: auc.toFixed(2),
    note: `${ci95[0].toFixed(2)}–${ci95[1].toFixed(2)}${
      floor === undefined ? "" : `\n${same} ${floor.auc.toFixed(2)}`
    }`,
  });
  const kinds = all.flatMap(({ found, model, schedule }) =>
    found.kinds.map((kind) => ({ kind, model, schedule }))
  );
  const strict = all.filter(({ schedule }) => schedule === "strict");
  return {
    title: "What schedules reveal: demand and adaptive against strict",
    text: [
      `Idle users against busy ones (a request of some hundred bytes, an answer of 20 to 420 KB, a pause, again), and users who want all that is carried, simulated. The attacker is a random forest that is trained on other users than those that it judges: on one connection (sizes and times of its records), and on ${SEQUENCE} connections in a row (bytes each way, times of their starts). 0.5 is guessing.`,
    ],
    facts: strict.map(({ found, model }) => {
      const low = Math.max(found.inside.ci95[0], found.across.ci95[0]);
      return {
        ...(low <= 0.5 ? { good: true } : {}),
        text: `${model} under strict: ${found.inside.auc.toFixed(2)} by one connection, ${
          found.across.auc.toFixed(2)
        } by ${SEQUENCE} in a row; it must be guessing.${
          low <= 0.5
            ? ""
            : " With so few users the interval is one over connections, which is too narrow: users of other seeds differ. With one seed the wire is the same idle and busy, event by event (tests/playback)."
        }`,
      };
    }),
    tables: all.length === 0 ? [] : [{
      title: "AUC, idle against busy users (simulated)",
      head: [
        "Model and schedule",
        "One connection",
        `${SEQUENCE} connections in a row`,
        "How much: readers against those who want all",
        "Connections, idle users",
        "Connections, busy users",
      ],
      rows: all.map(({ found, model, schedule }): Cell[] => [
        `${model}, ${schedule}`,
        area(found.inside),
        area(found.across),
        area(found.amount, "readers against readers"),
        String(found.inside.n[0]),
        String(found.inside.n[1]),
      ]),
    }, {
      title:
        "AUC within connections of one kind, users who read against users who want all (simulated)",
      head: ["Model, schedule and kind", "Sizes and times", "Sizes alone", "Connections"],
      rows: kinds.map(({ kind, model, schedule }): Cell[] => [
        { text: `${model}, ${schedule}`, note: kind.kind === 0 ? "any kind" : `kind ${kind.kind}` },
        area(kind, "readers against readers"),
        area(kind.sizes, "readers against readers"),
        kind.n.join(" / "),
      ]),
      note:
        "adaptive chooses among kinds of episode by how much waits: which kind shows, what is in its connections must not. Times differ as far as connections that are open together share a link.",
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
