/**
 * What each schedule lets an observer of whole sequences learn: idle users against busy ones, in virtual time. The
 * attacker is a random forest that is trained on other runs than those that it judges.
 *
 * @module
 */
import { scheduleLeak, SEQUENCE } from "../evaluation/experiments/schedule_leak.ts";
import type { Scheduling } from "../playback/mod.ts";
import type { Benchmark } from "./benchmark.ts";

const SCHEDULES: readonly Scheduling[] = ["strict", "demand", "adaptive"];

/** Kinds of models that name none. */
const KINDS = ["any", "download", "upload"];

/** What a schedule tells of a user. */
export const benchmark: Benchmark = {
  about: "what an observer of whole sequences learns under each schedule, in virtual time",
  async run({ note, quick, seed }) {
    const rows: string[][] = [];
    const data = [];
    for (const model of quick ? ["https"] : ["https", "smtp", "ssh"]) {
      for (const schedule of SCHEDULES) {
        const job = { model, schedule, users: quick ? 6 : 12, minutes: 5, seed };
        const { across, amount, gaps, inside, kinds } = await scheduleLeak(job);
        const [idleGap, busyGap] = gaps;
        const ofKinds = (text: (kind: typeof kinds[number]) => string) =>
          kinds.map((kind) => `${KINDS[kind.kind] ?? kind.kind} ${text(kind)}`).join("\n");
        const text = ({ auc, ci95 }: { auc: number; ci95: readonly [number, number] }) =>
          `${auc.toFixed(2)} [${ci95[0].toFixed(2)}, ${ci95[1].toFixed(2)}]`;
        data.push({ model, schedule, inside, across, amount, kinds, idleGap, busyGap });
        rows.push([
          model,
          schedule,
          inside.n.join(" / "),
          text(inside),
          inside.floor === undefined ? "" : text(inside.floor),
          text(across),
          across.floor === undefined ? "" : text(across.floor),
          text(amount),
          ofKinds(text),
          ofKinds(({ sizes }) => text(sizes)),
          (idleGap / 1000).toFixed(2),
          (busyGap / 1000).toFixed(2),
        ]);
        note(rows.at(-1)!.join("  "));
      }
    }
    return {
      tables: [{
        title: "Idle users against busy ones: AUC of a random forest by run, 95 % (virtual time)",
        head: [
          "model",
          "schedule",
          "connections",
          "one connection",
          "idle - idle",
          `${SEQUENCE} in a row`,
          "idle - idle",
          `busy - greedy, ${SEQUENCE}`,
          "one of a kind",
          "its sizes",
          "gap idle s",
          "gap busy s",
        ],
        rows,
      }],
      notes: [
        "A connection: sizes and times of its records. In a row: bytes each way and times of starts.",
        "Greedy users want all that is carried; one of a kind: busy against greedy, connections of the same kind.",
      ],
      data,
    };
  },
};
