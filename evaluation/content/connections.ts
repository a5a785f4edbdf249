import { Draws } from "../../plugins/attacks/draws.ts";
import { shareOf } from "../metrics.ts";
import { bootstrapMean } from "./by_run.ts";
import { type FirstPayloads, judgeFirstPayloads } from "./first_payloads.ts";
import { type FlowStart, readFlowStarts } from "./flow.ts";
import { learnNestedHandshakes, type NestedHandshakes } from "./nested_handshake.ts";
import { type Disguise, nameOf, type Scene } from "./observe.ts";
import { seenInRuns } from "./pages.ts";
import { type RoundTrips, tellByRoundTrips } from "./round_trips.ts";
import { drawPages, visitPage } from "./web_visits.ts";

/** Captures by protocol. */
export interface ProtocolFiles {
  /** The protocol. */
  readonly label: string;
  /** Captures, each a run. */
  readonly files: readonly string[];
}

/** What is asked of single connections that carry TLS inside. */
export interface ConnectionsJob {
  /**
   * Captures of real TLS connections in two halves, no run in both: an attacker that has learned from the one, and set
   * its thresholds with it, is asked about the other.
   */
  readonly plain: readonly [readonly string[], readonly string[]];
  /** Real https recorded on the link that is simulated: what round trips are compared with. */
  readonly near: readonly string[];
  /** Real traffic whose first payloads are judged. */
  readonly first: readonly ProtocolFiles[];
  /** What the visits go through. */
  readonly disguises: readonly Disguise[];
  /** Pages. */
  readonly pages: number;
  /** Visits of each page in each run. */
  readonly visits: number;
  /** Runs. */
  readonly runs: number;
  /** Milliseconds of each visit in which connections are looked at. */
  readonly window: number;
  /** Unsigned 32-bit seed. */
  readonly seed: number;
}

/** A share of some cases. */
interface Counted {
  readonly share: number;
  readonly ci95: readonly [number, number];
  readonly n: number;
}

/** How often handshakes are found inside. */
export interface Nested {
  /** Of the connections opened during visits. */
  readonly connections: Counted;
  /** The same, 95 % by bootstrap over runs: connections of a run resemble each other. */
  readonly overRuns: readonly [number, number];
  /** Visits with such a connection. */
  readonly visits: Counted;
}

/** What the attackers of single connections say of one disguise. */
export interface ConnectionsOf {
  /** Its name. */
  readonly name: string;
  /** Handshakes found inside, at each of the attacker's settings. */
  readonly nested: readonly Nested[];
  /** Transport against application; absent where nothing was answered. */
  readonly roundTrips?: RoundTrips;
}

/** What it came to. */
export interface ConnectionsResult {
  /**
   * The attacker's settings: the share of false accusations that thresholds were set for, and what it came to among
   * real connections not learned from.
   */
  readonly settings: readonly { readonly rate: number; readonly accused: Counted }[];
  /** The least rate that so many real connections can show: 3/n, where none was accused. */
  readonly bound: number;
  /** Disguise by disguise; plain relays are what has to be found. */
  readonly of: readonly ConnectionsOf[];
  /** Rules against fully encrypted traffic. */
  readonly firstPayloads: readonly FirstPayloads[];
}

/**
 * Shares of false accusations that the attacker allows itself among what it learns from: less than one connection of
 * the samples, so that 0.1 % may hold for others, and a careless 1 %.
 */
const RATES = [0.0005, 0.01] as const;

async function readAll(files: readonly string[]): Promise<FlowStart[]> {
  const found: FlowStart[] = [];
  for (const file of files) found.push(...await readFlowStarts(file));
  return found.filter(({ sizes }) => sizes.length > 0);
}

/** Connection by connection: is there a handshake inside, and is somebody farther away than the transport says? */
export async function connections(job: ConnectionsJob): Promise<ConnectionsResult> {
  const plain = [await readAll(job.plain[0]), await readAll(job.plain[1])];
  const near = await readAll(job.near);
  const scenes = (seed: number) =>
    drawPages(job.pages, seed).map((page, label): Scene => ({
      label,
      perform: (stage, random) => visitPage(stage, page, random),
    }));
  const watch = async (disguise: Disguise, shown: readonly Scene[], name: string) =>
    await seenInRuns(shown, {
      disguise,
      times: job.visits,
      runs: job.runs,
      window: job.window,
      seed: `content connections ${job.seed} ${name}`,
    });
  // The attacker has made relayed connections of its own, to other pages.
  const taught = await watch({ how: "relay" }, scenes(job.seed + 1), "taught");
  const relayed = taught.seen.flatMap(({ flows }) => flows);
  const attackers = RATES.map((rate) =>
    plain.map((own) => learnNestedHandshakes(relayed, own, rate))
  );
  const of: ConnectionsOf[] = [];
  for (const disguise of job.disguises) {
    const shows: { readonly name: string; readonly shown: readonly Scene[] }[] = [
      { name: nameOf(disguise), shown: scenes(job.seed) },
    ];
    if (disguise.how === "tunnel" && disguise.schedule === "strict") {
      shows.push({ name: `${nameOf(disguise)}, idle`, shown: IDLE });
    }
    for (const { name, shown } of shows) {
      const { runs, seen } = await watch(disguise, shown, "asked");
      const visits = seen.map(({ flows }) => flows);
      const byRun = [...new Set(runs)].map((run) =>
        visits.filter((_, i) => runs[i] === run).flat()
      );
      const roundTrips = tellByRoundTrips(near, byRun, job.seed);
      of.push({
        name,
        nested: attackers.map((own) => verdicts(own, visits, runs, job.seed)),
        ...(roundTrips === undefined ? {} : { roundTrips }),
      });
    }
  }
  return {
    settings: RATES.map((rate, i) => ({
      rate,
      accused: count(plain.flatMap((own, half) => own.map(attackers[i]![1 - half]!.accuses))),
    })),
    bound: Math.min(1, 3 / Math.max(1, plain[0]!.length + plain[1]!.length)),
    of,
    firstPayloads: await judgeFirstPayloads(job.first, job.seed),
  };
}

/** Nobody does anything, and never ends. */
const IDLE: readonly Scene[] = [{
  label: 0,
  perform: function* () {
    yield () => {};
  },
}];

function count(hits: readonly boolean[]): Counted {
  return shareOf(hits.filter((hit) => hit).length, hits.length);
}

function verdicts(
  attackers: readonly NestedHandshakes[],
  visits: readonly (readonly FlowStart[])[],
  runs: Uint16Array,
  seed: number,
): Nested {
  // Each visit is judged by one of the two.
  const found = visits.map((flows, i) => flows.map(attackers[i % attackers.length]!.accuses));
  const byRun = [...new Set(runs)].map((run) =>
    count(found.filter((_, i) => runs[i] === run).flat()).share
  );
  return {
    connections: count(found.flat()),
    overRuns: bootstrapMean(byRun, new Draws(seed)),
    visits: count(found.filter((flows) => flows.length > 0).map((flows) => flows.includes(true))),
  };
}
