import type { Cell, EvaluationSection, EvaluationTable } from "../../report/evaluation_result.ts";
import type { JobResults } from "../experiments/jobs.ts";
import type { Results } from "../experiments/plan.ts";
import { interval, number, percent, small } from "../experiments/sections/words.ts";
import { ACTIVITIES } from "./activities.ts";
import type { Accuracy } from "./by_run.ts";
import type { ConnectionsResult } from "./connections.ts";
import type { Correlation } from "./keystrokes.ts";
import { BEYOND_MS, type Disguise, nameOf } from "./observe.ts";
import type { PagesResult } from "./pages.ts";
import type { PlannedContent } from "./plan.ts";
import type { UsersResult } from "./users.ts";

/** Title of the section. */
export const CONTENT_SECTION = "Content: what shows of what is carried";

/** Most that the attacker of nested handshakes may find. */
const NESTED_AIM = 0.02;

type Verdict = "good" | "bad" | undefined;

/** What must be so: strict and constant rate tell nothing, what is bare tells all. */
function judged(disguise: Disguise, low: number, chance: number): Verdict {
  if (disguise.how !== "tunnel" || disguise.schedule !== "strict") return undefined;
  return low <= chance ? "good" : "bad";
}

function accuracyCell(own: Accuracy, mark: Verdict): Cell {
  const { ci95, n, runs, share } = own;
  return {
    text: percent(share, 1),
    note: `${interval(ci95)}, n = ${n}; runs ${interval(runs)}`,
    ...(mark === undefined ? {} : { mark }),
  };
}

function areaCell(
  value: number,
  [low, high]: readonly [number, number],
  mark: Verdict,
): Cell {
  return {
    text: value.toFixed(2),
    note: `${low.toFixed(2)}–${high.toFixed(2)}`,
    ...(mark === undefined ? {} : { mark }),
  };
}

function correlationCell({ chance, ci95, value }: Correlation): Cell {
  return {
    text: value.toFixed(2),
    note: `${ci95[0].toFixed(2)}–${ci95[1].toFixed(2)}, others' keys ${chance.toFixed(2)}`,
  };
}

interface Of<Result> {
  readonly disguise: Disguise;
  readonly found: Result;
}

function pagesTable(all: readonly Of<PagesResult>[], { pages, runs, visits, window }: Sizes) {
  return {
    title: `Website fingerprinting: ${pages} pages, ${runs * visits} visits each in ${runs} runs, ${
      number(window / 1000)
    } s of each (simulated)`,
    head: ["What is seen", "k-FP, forest", "k-FP, leaves and neighbours", "Chance", "Visits ended"],
    rows: all.map(({ disguise, found: { done, packets, telling, told } }): Cell[] => [
      {
        text: nameOf(disguise),
        note: `${number(packets)} packets a window${
          disguise.how === "bare" ? `; told by ${telling.slice(0, 3).join(", ")}` : ""
        }`,
      },
      accuracyOf(told.forest, disguise, told.chance),
      accuracyOf(told.neighbours, disguise, told.chance),
      percent(told.chance, 1),
      { text: percent(done.share), note: interval(done.ci95) },
    ]),
    note:
      "Each run is judged by what the others taught. Intervals: Wilson's, 95 %; behind them the least and the greatest run. Visits ended: the share that was through within the window, without which there is little to recognise.",
  };
}

type Sizes = PlannedContent["sizes"];

function accuracyOf(own: Accuracy, disguise: Disguise, chance: number): Cell {
  return accuracyCell(own, judged(disguise, own.ci95[0], chance));
}

function usersTables(all: readonly Of<UsersResult>[], { runs, times, window }: Sizes) {
  const seconds = number(window / 1000);
  const activities: EvaluationTable = {
    title: `What does a user do: ${ACTIVITIES.join(", ")}; ${
      runs * times
    } windows of ${seconds} s each (simulated)`,
    head: ["What is seen", "Forest", "Leaves and neighbours", "Chance", "Typing or nothing, AUC"],
    rows: all.map(({ disguise, found: { activities, typing } }): Cell[] => [
      nameOf(disguise),
      accuracyOf(activities.forest, disguise, activities.chance),
      accuracyOf(activities.neighbours, disguise, activities.chance),
      percent(activities.chance, 1),
      areaCell(typing.value, typing.ci95, judged(disguise, typing.ci95[0], 0.5)),
    ]),
    note: "AUC: 0.5 is guessing; interval by bootstrap over runs.",
  };
  const keys: EvaluationTable = {
    title: "Keys typed through SSH: what is recovered of their number and times (simulated)",
    head: ["What is seen", "Number of keys, correlation", "Times of keys, correlation", "Keys"],
    rows: all.map(({ disguise, found: { keystrokes: { count, n, times } } }): Cell[] => [
      nameOf(disguise),
      correlationCell(count),
      correlationCell(times),
      { text: String(n[1]), note: `${n[0]} windows` },
    ]),
    note:
      "The attacker learns on other runs which of the client's packets betray keys. Number: with the packets of a window; times: with those of each 50 ms, mean over the windows. Intervals: Fisher's for numbers, bootstrap over windows for times; behind them the same with the keys of another window, which is chance.",
  };
  return [activities, keys];
}

function connectionsTables(found: ConnectionsResult): EvaluationTable[] {
  const { bound, firstPayloads, of, settings } = found;
  const [{ accused }] = settings as [typeof settings[number]];
  const isTunnel = (name: string) => name !== "bare" && name !== "plain relay";
  return [
    {
      title:
        "Is there a TLS handshake inside? The attacker of Xue et al. on connections opened during visits",
      head: [
        "Connections",
        ...settings.flatMap(({ rate }) => [`Named, set for ${small(rate)}`, "Visits with one"]),
      ],
      rows: [
        [
          "real TLS, not learned from",
          ...settings.flatMap(({ accused }): Cell[] => [
            { text: small(accused.share), note: `${accused.n} connections, ${range(accused)}` },
            "–",
          ]),
        ],
        ...of.map(({ name, nested }): Cell[] => [
          name === "bare" ? "bare (made)" : name,
          ...nested.flatMap(({ connections: { n, share }, overRuns, visits }, i): Cell[] => [
            {
              text: small(share),
              note: `n = ${n}, ${range({ ci95: overRuns })} over runs`,
              ...(isTunnel(name) && i === 0
                ? { mark: share <= NESTED_AIM ? "good" as const : "bad" as const }
                : {}),
            },
            { text: percent(visits.share), note: `n = ${visits.n}` },
          ]),
        ]),
      ],
      note:
        `Thresholds are set so that at most this share of the real connections of one half of the runs is accused (less than one of them on the left), and asked about the other half, both ways. With ${accused.n} of them a false-positive rate below ${
          small(bound)
        } (3/n) cannot be shown, whatever is found. A plain relay (made: each connection inside a TLS connection of its own, unpadded) is what has to be found. Idle: the same tunnel with nobody in it. All models are played inside TLS here, smtp's and ssh's too.`,
    },
    {
      title: "Round trip of what is said against the transport's",
      head: ["Connections", "AUC against real https", "Median, ms", "Real, ms"],
      rows: of.flatMap(({ name, roundTrips }): Cell[][] => {
        if (roundTrips === undefined) return [];
        const { auc, ci95, medians, n } = roundTrips;
        return [[
          name === "bare" ? "bare (made)" : name,
          areaCell(auc, ci95, undefined),
          { text: medians[1].toFixed(1), note: `n = ${n[1]}` },
          { text: medians[0].toFixed(1), note: `n = ${n[0]}` },
        ]];
      }),
      note: `The relay and the tunnel's server are ${
        2 * BEYOND_MS
      } ms of round trip away from where users go. A connection's difference is that of its quickest answer to its TCP handshake. Above 0.5: answers come later than real ones do; below: sooner. Made servers need longer than the recorded ones.`,
    },
    {
      title: "First payloads under the rules against fully encrypted traffic",
      head: ["First payload of the client", "Would be blocked", "Passes because of"],
      rows: firstPayloads.map(({ blocked, n, name, passed }): Cell[] => [
        name,
        { text: percent(blocked / Math.max(1, n), 1), note: `n = ${n}` },
        Object.entries(passed).map(([rule, count]) => `${rule} ${percent(count / n)}`).join(", ") ||
        "–",
      ]),
      note:
        "Cover in TLS is the simulation's hello with random keys; the rule TLS reads its head alone. In `ssh` and `smtp` carriers the first payload is the genuine program's.",
    },
  ];
}

function range({ ci95 }: { readonly ci95: readonly [number, number] }): string {
  return ci95.map((share) => (100 * share).toFixed(2)).join("–") + " %";
}

function facts(
  pages: readonly Of<PagesResult>[],
  users: readonly Of<UsersResult>[],
  connections: ConnectionsResult | undefined,
): EvaluationSection["facts"] {
  const list: { text: string; good?: boolean }[] = [];
  const bare = pages.find(({ disguise }) => disguise.how === "bare");
  if (bare !== undefined) {
    const { forest, neighbours } = bare.found.told;
    list.push({
      text: `On bare TLS the page is named in ${
        percent(Math.max(forest.share, neighbours.share))
      } of the visits: the attacker works.`,
    });
  }
  for (const { disguise, found: { told } } of pages) {
    if (disguise.how !== "tunnel") continue;
    const best = told.forest.share >= told.neighbours.share ? told.forest : told.neighbours;
    const low = Math.max(told.forest.ci95[0], told.neighbours.ci95[0]);
    list.push({
      text: `Website fingerprinting, ${nameOf(disguise)}: ${percent(best.share, 1)} (${
        interval(best.ci95)
      }), chance ${percent(told.chance, 1)}.`,
      ...(disguise.schedule === "strict" ? { good: low <= told.chance } : {}),
    });
  }
  for (const { disguise, found: { activities } } of users) {
    if (disguise.how !== "tunnel" || disguise.schedule !== "strict") continue;
    const { chance, forest } = activities;
    list.push({
      good: Math.max(forest.ci95[0], activities.neighbours.ci95[0]) <= chance,
      text: `What a user does, ${nameOf(disguise)}: ${percent(forest.share, 1)} (${
        interval(forest.ci95)
      }), chance ${percent(chance, 1)}.`,
    });
  }
  if (connections === undefined) return list;
  const { bound, of, settings } = connections;
  const [{ accused }] = settings as [typeof settings[number]];
  for (const { name, nested: [strictest] } of of) {
    const nested = strictest!.connections;
    if (name === "bare" || name.endsWith("idle") || name.startsWith("constant")) continue;
    const said = `${small(nested.share)} of ${nested.n} connections`;
    if (name === "plain relay") {
      list.push({ text: `Handshakes inside are found in ${said} of a plain relay.` });
      continue;
    }
    list.push({
      good: nested.share <= NESTED_AIM,
      text:
        `Handshakes inside, ${name}: ${said} are named; the aim is 2 % or less. Of ${accused.n} ` +
        `real ones ${small(accused.share)} (${range(accused)}) are accused at the same ` +
        `thresholds; with so many nothing below ${small(bound)} can be shown.`,
    });
  }
  return list;
}

/** What shows of the content: pages, activities, keys, handshakes inside, round trips, first payloads. */
export function contentSection(planned: PlannedContent, results: Results): EvaluationSection {
  const { sizes } = planned;
  const pages = planned.pages.map(({ disguise, job }) => ({
    disguise,
    found: results[job] as JobResults["content-pages"],
  }));
  const users = planned.users.map(({ disguise, job }) => ({
    disguise,
    found: results[job] as JobResults["content-users"],
  }));
  const connections = planned.connections === undefined
    ? undefined
    : results[planned.connections] as JobResults["content-connections"];
  return {
    title: CONTENT_SECTION,
    text: [
      "Users are made: pages after published statistics of the web (visits differ in timing, order, cache, advertisements and what applications answer), SSH sessions with the gaps of human typing, copies, mails, calls with a packet each 20 ms; sizes of handshakes, records and packets are those of the recorded samples. Everything runs in virtual time over the laboratory's link: bare, under constant rate of 28 kbit/s, and as streams of a tunnel under cover. The observer sees the packets of all connections, is told when a scene begins, and gets as many seconds of each.",
      "Fingerprints are those of Hayes and Danezis (k-FP), with sizes, the cumulative curve of bytes and slots of time besides: a random forest, and nearest neighbours among its leaves by Hamming's distance. Handshakes inside are looked for as Xue et al. do: trigrams of packet sizes by chi-squared and bursts by Mahalanobis' distance, both of which have to agree.",
    ],
    facts: facts(pages, users, connections) ?? [],
    tables: [
      pagesTable(pages, sizes),
      ...usersTables(users, sizes),
      ...(connections === undefined ? [] : connectionsTables(connections)),
    ],
    figures: [{
      kind: "bars",
      title: "Website fingerprinting and activities: accuracy (simulated)",
      x: "share named rightly",
      bars: pages.flatMap(({ disguise, found }) => {
        const name = nameOf(disguise);
        const user = users.find((one) => nameOf(one.disguise) === name);
        return [
          { name, group: "pages", value: found.told.forest.share },
          ...(user === undefined
            ? []
            : [{ name, group: "activities", value: user.found.activities.forest.share }]),
        ];
      }),
    }],
  };
}
