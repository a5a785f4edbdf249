import type {
  Cell,
  EvaluationFigure,
  EvaluationSection,
} from "../../../report/evaluation_result.ts";
import type { JobResults } from "../jobs.ts";
import { CONSTANT_RATES, type PlannedJobs, type Results } from "../plan.ts";
import { median, number } from "./words.ts";

/** The section's title. */
export const FIGURE_SECTION = "The seed's figure 1: bandwidth and overhead";

/** The seed's links: what it calls them, and where. */
const LINKS = [
  { link: "illinois-california", place: "Illinois–California", whose: "the paper's link" },
  { link: "canada-uk", place: "Canada–UK", whose: "the poster's link" },
] as const;

/** The seed's figure 1: bandwidth and overhead of a bulk transfer. */
export function bulkTransferSection(planned: PlannedJobs, results: Results): EvaluationSection {
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
  const facts = LINKS.map(({ link, place }) => {
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
      text: `${place} (simulated): faster than constant rate at either rate: ${
        list(better("kbps", (own, constant) => own > constant))
      }. Less overhead than constant rate: ${
        list(better("overhead", (own, constant) => own < constant))
      }. (The seed: SMTP and HTTP responses outperform constant rate.)`,
    };
  });
  return {
    title: FIGURE_SECTION,
    text: [
      `A bulk transfer of 100 KB, each direction by itself, as the seed drove with iperf (here by the tunnel's own streams): requests are what the client sends, responses what the server sends. One session, strict schedule, simulated. Illinois–California, the paper's link: 60 ms of round trip; Canada–UK, the poster's: 90 ms; 20 Mbit/s. Overhead is TCP payload on the wire both ways, handshakes included, for each user byte. The seed's constant rate is 1448 bytes every 500 ms (23 kbit/s on the wire); its poster calls it 28 kbit/s, which stands beside it.`,
    ],
    facts,
    tables: LINKS.map(({ link, place }) => ({
      title:
        `100 KB bulk transfer, ${place} (simulated): median of the transfers, least and greatest below`,
      note: 'Missing bars in the charts below and "over 4 h" here: not through in four hours.',
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
    figures: LINKS.flatMap(({ link, place, whose }): EvaluationFigure[] =>
      (["kbps", "overhead"] as const).map((what) => ({
        kind: "bars",
        title: `Figure 1, ${place} (${whose}): ${
          what === "kbps" ? "bandwidth of a 100 KB bulk transfer" : "its overhead"
        } (simulated)`,
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
