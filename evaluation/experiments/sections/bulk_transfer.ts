import type {
  Cell,
  EvaluationFigure,
  EvaluationSection,
  EvaluationTable,
} from "../../../report/evaluation_result.ts";
import type { JobResults } from "../jobs.ts";
import {
  CONSTANT_RATES,
  type EvaluationPlan,
  type PlannedJobs,
  type Results,
  TRANSFER,
} from "../plan.ts";
import { median, number } from "./words.ts";

/** The section's title. */
export const FIGURE_SECTION = "The seed's figure 1: bandwidth and overhead";

/** The seed's links: what it calls them, and where. */
const LINKS = [
  { link: "illinois-california", place: "Illinois–California", whose: "the paper's link" },
  { link: "canada-uk", place: "Canada–UK", whose: "the poster's link" },
] as const;

const WAYS = ["client", "server"] as const;
const MEASURES = ["kbps", "overhead"] as const;

/** One model over one link one way; arrays hold one figure a transfer. */
interface Transfers {
  readonly kbps: readonly number[];
  /** TCP payload on the wire for each user byte. */
  readonly overhead: readonly number[];
  /** Transfers that did not end in time. */
  readonly unfinished: number;
  /** Whether the model has changed since. */
  readonly stale: boolean;
}

/** Where figures come from. */
interface Source {
  readonly how: "recorded" | "simulated";
  /** User bytes of each transfer. */
  readonly bytes: number;
  /** What is said of a transfer that did not end in time. */
  readonly late: string;
  readonly models: readonly string[];
  readonly of: (model: string, link: string, from: string) => Transfers;
}

const NONE: Transfers = { kbps: [], overhead: [], unfinished: 0, stale: false };

function simulatedSource(planned: PlannedJobs, results: Results): Source {
  return {
    how: "simulated",
    bytes: TRANSFER,
    late: "over 4 h",
    models: [...new Set(planned.transfers.map(({ cell }) => cell.model))],
    of: (model, link, from) => {
      const job = planned.transfers.find(({ cell }) =>
        cell.model === model && cell.link === link && cell.from === from
      )?.job;
      if (job === undefined) return NONE;
      return { ...NONE, ...results[job] as JobResults["transfer"] };
    },
  };
}

/** What was recorded of the models that are evaluated; undefined if nothing was. */
function recordedSource(plan: EvaluationPlan, wanted: readonly string[]): Source | undefined {
  const { recordedTransfers: file } = plan;
  if (file === undefined) return undefined;
  const models = wanted.filter((name) => file.transfers.some(({ model }) => model === name));
  if (models.length === 0) return undefined;
  const digests = new Map(plan.models.map(({ digest, model }) => [model, digest]));
  const most = Math.max(
    ...file.transfers.filter(({ kbps }) => kbps === undefined).map(({ seconds }) => seconds),
  );
  return {
    how: "recorded",
    bytes: file.bytes,
    late: `over ${number(most / 60)} min`,
    models,
    of: (model, link, from) => {
      const all = file.transfers.filter((one) =>
        one.model === model && one.link === link && one.from === from
      );
      // Of another version of the model only where there is none of this one.
      const fresh = all.filter(({ digest }) => digest === (digests.get(model) ?? digest));
      const own = fresh.length > 0 ? fresh : all;
      const ended = own.filter(({ kbps }) => kbps !== undefined);
      return {
        kbps: ended.map(({ kbps }) => kbps!),
        overhead: ended.map(({ payloadBytes }) => payloadBytes / file.bytes),
        unfinished: own.length - ended.length,
        stale: own.length > 0 && fresh.length === 0,
      };
    },
  };
}

/** Whether figures were recorded or simulated, and whether of the models as they are. */
function howOf({ how, models, of }: Source, link: string): string {
  const stale = models.some((model) => WAYS.some((from) => of(model, link, from).stale));
  return stale ? `${how}, some with another version of the model` : how;
}

const size = ({ bytes }: Source) => `${number(bytes / 1000)} KB`;

const word = (from: "client" | "server") => from === "client" ? "requests" : "responses";

function label(model: string): string {
  if (model === CONSTANT_RATES[1]) return "constant-rate 28 kbit/s";
  return model === CONSTANT_RATES[0] ? "constant-rate 1448 B/500 ms" : model;
}

function cellOf(own: Transfers, measure: typeof MEASURES[number], late: string): Cell {
  const values = own[measure];
  if (values.length === 0) {
    return own.unfinished > 0 ? { text: late, mark: "bad" } : { text: "–" };
  }
  return {
    text: number(median(values)) + (measure === "overhead" ? "×" : ""),
    note: [
      `${number(Math.min(...values))}–${number(Math.max(...values))}`,
      ...(own.unfinished > 0 ? [`${own.unfinished} ${late}`] : []),
    ].join(", "),
  };
}

function tableOf(source: Source, { link, place }: typeof LINKS[number]): EvaluationTable {
  const { how, late, models } = source;
  const cells = models.flatMap((model) => WAYS.map((from) => source.of(model, link, from)));
  const counts = cells.map(({ kbps, unfinished }) => kbps.length + unfinished)
    .filter((count) => count > 0);
  const [least, most] = [Math.min(...counts), Math.max(...counts)];
  return {
    title: `${size(source)} bulk transfer, ${place} (${how}): median of ${
      counts.length === 0 ? "none" : least === most ? least : `${least} to ${most}`
    }, least and greatest below`,
    head: [
      "Model",
      ...["kbit/s", "overhead"].flatMap((what) => [`Requests, ${what}`, `Responses, ${what}`]),
    ],
    rows: models.map((model): Cell[] => [
      WAYS.some((from) => source.of(model, link, from).stale)
        ? { text: label(model), note: "recorded with another version of this model" }
        : label(model),
      ...MEASURES.flatMap((measure) =>
        WAYS.map((from) => cellOf(source.of(model, link, from), measure, late))
      ),
    ]),
    ...(cells.some(({ unfinished }) => unfinished > 0)
      ? { note: `"${late}": not through when time was up; such transfers are in no median.` }
      : {}),
  };
}

function factOf(source: Source, { link, place }: typeof LINKS[number]) {
  const { models } = source;
  const constant = CONSTANT_RATES.filter((rate) => models.includes(rate));
  const list = (
    measure: typeof MEASURES[number],
    wins: (own: number, constant: number) => boolean,
  ) => {
    const all = models.filter((model) => !model.startsWith("constant-rate"))
      .flatMap((model) => WAYS.map((from) => ({ model, from })));
    const found = all.filter(({ from, model }) => {
      const own = median(source.of(model, link, from)[measure]);
      return constant.every((rate) => wins(own, median(source.of(rate, link, from)[measure])));
    });
    const words = (cases: typeof all) =>
      cases.map(({ from, model }) => `${model} ${word(from)}`).join(", ");
    const others = all.filter((one) => !found.includes(one));
    if (found.length === 0) return "none";
    if (others.length === 0) return "all";
    return found.length > 2 * others.length ? `all but ${words(others)}` : words(found);
  };
  const text = constant.length === 0
    ? "no constant rate to compare with"
    : `faster than constant rate at either rate: ${
      list("kbps", (own, other) => own > other)
    }. Less overhead than constant rate: ${list("overhead", (own, other) => own < other)}`;
  return {
    text: `${place} (${
      howOf(source, link)
    }): ${text}. (The seed: SMTP and HTTP responses outperform constant rate.)`,
  };
}

function figuresOf(source: Source, { link, place, whose }: typeof LINKS[number]) {
  return MEASURES.map((measure): EvaluationFigure => ({
    kind: "bars",
    title: `Figure 1, ${place} (${whose}): ${
      measure === "kbps" ? `bandwidth of a ${size(source)} bulk transfer` : "its overhead"
    } (${howOf(source, link)})`,
    x: measure === "kbps" ? "kbit/s of user data" : "bytes on the wire for each user byte",
    log: true,
    bars: source.models.flatMap((model) =>
      WAYS.map((from) => ({
        name: label(model),
        group: word(from),
        value: median(source.of(model, link, from)[measure]),
      }))
    ),
  }));
}

/** What stands around a model in each carrier. */
const AROUND: Readonly<Record<string, string>> = {
  tls: "TLS",
  fronted: "TLS behind nginx",
  smtp: "smtp around Postfix",
  ssh: "ssh around OpenSSH",
};

/** How the recorded transfers of these models were made. */
function howRecorded({ recordedTransfers }: EvaluationPlan, { models }: Source): string {
  const { programs, warmUp } = recordedTransfers!;
  const transfers = recordedTransfers!.transfers.filter(({ model }) => models.includes(model));
  const carriers = [...Map.groupBy(transfers, ({ carrier }) => carrier)].map(([carrier, own]) =>
    `in ${AROUND[carrier] ?? carrier} ${
      [...new Set(own.map(({ model }) => label(model)))].join(", ")
    }`
  );
  const loads = transfers.map(({ load }) => load);
  const days = [...new Set(transfers.map(({ date }) => date.slice(0, 10)))].sort();
  return `Recorded: ${
    programs["iperf"]?.split(" (")[0] ?? "iperf"
  } through a forwarded port of a tunnel between a tm-client and a tm-server (${
    carriers.join("; ")
  }) over the laboratory's link, after ${
    number(warmUp)
  } s of cover; kbit/s are what iperf's receiving end says, bytes what tcpdump counts at the client's end from iperf's start to its end, both ways, with headers ${
    number(median(transfers.map(({ payloadBytes, wireBytes }) => wireBytes / payloadBytes)))
  } times as many (${days.join(", ")}; the machine's load ${number(Math.min(...loads))} to ${
    number(Math.max(...loads))
  }).`;
}

/** The seed's figure 1: bandwidth and overhead of a bulk transfer, recorded where recordings are given. */
export function bulkTransferSection(
  plan: EvaluationPlan,
  planned: PlannedJobs,
  results: Results,
): EvaluationSection {
  const simulated = simulatedSource(planned, results);
  const recorded = recordedSource(plan, simulated.models);
  const sources = recorded === undefined ? [simulated] : [recorded, simulated];
  return {
    title: FIGURE_SECTION,
    figuresFirst: true,
    text: [
      "A bulk transfer, each direction by itself: requests are what the client sends, responses what the server sends. One session, strict schedule. Illinois–California, the paper's link: 60 ms of round trip; Canada–UK, the poster's: 90 ms; 20 Mbit/s. Overhead is TCP payload on the wire both ways, handshakes included, for each user byte. The seed's constant rate is 1448 bytes every 500 ms (23 kbit/s on the wire); its poster calls it 28 kbit/s, which stands beside it.",
      ...(recorded === undefined ? [] : [howRecorded(plan, recorded)]),
      "Simulated: the tunnel's own streams in virtual time, every model inside TLS.",
    ],
    facts: LINKS.map((link) => factOf(sources[0]!, link)),
    tables: sources.flatMap((source) => LINKS.map((link) => tableOf(source, link))),
    figures: LINKS.flatMap((link) => figuresOf(sources[0]!, link)),
  };
}
