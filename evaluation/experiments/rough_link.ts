import { Buffer } from "node:buffer";
import { largestGap } from "../../base/largest_gap.ts";
import { type Connection, messageSequence, readConnections } from "../../capture/mod.ts";
import { LAB_LINK, type LinkProfile } from "../../lab/link_profile.ts";
import { type CoverModel, type End, loadModel } from "../../models/mod.ts";
import type { WireEvent } from "../../playback/mod.ts";
import { coverSeed } from "../demo/play.ts";
import { simulateCapture, simulatedSource } from "../simulation/simulated_capture.ts";
import { SimulatedTunnel } from "../simulation/simulated_tunnel.ts";

/** A link that treats packets badly. */
export interface RoughLink {
  /** What it does, in words. */
  readonly words: string;
  /** Delay, rate and queue. */
  readonly link: LinkProfile;
  /** How many milliseconds packets are late: quantiles, evenly spaced. */
  readonly lateness: readonly number[];
}

/** Steps of the quantiles of lateness: one is half a percent of the packets. */
const STEPS = 200;
const quantiles = (late: (share: number) => number) =>
  Array.from({ length: STEPS + 1 }, (_, step) => late(step / STEPS));
const LOSS = 0.02;
const JITTER = 30;
/** Milliseconds until a lost packet is sent again: a round trip, or a timeout where nothing follows it. */
const REPAIR = [40, 240] as const;

const repaired = (share: number) =>
  share <= 1 - LOSS ? 0 : REPAIR[0] + (share - 1 + LOSS) / LOSS * (REPAIR[1] - REPAIR[0]);

/**
 * Rough links, by name. A lost packet is one that comes as late as its repetition would; what was sent after it waits,
 * on other connections too, as behind a link that repeats frames by itself.
 */
export const ROUGH_LINKS: Readonly<Record<string, RoughLink>> = {
  "loss": {
    words: `${100 * LOSS} % of packets lost and repeated ${REPAIR.join(" to ")} ms later`,
    link: LAB_LINK,
    lateness: quantiles(repaired),
  },
  "jitter": {
    words: `packets late by 0 to ${JITTER} ms`,
    link: LAB_LINK,
    lateness: quantiles((share) => share * JITTER),
  },
  "rate-drop": {
    words: "0.5 Mbit/s in place of 20",
    link: { ...LAB_LINK, name: "rate-drop", rateMbit: 0.5 },
    lateness: [],
  },
};

/** A model played over the laboratory's link and over a rough one. Plain data. */
export interface RoughLinkJob {
  /** The model, by name or path. */
  readonly model: string;
  /** Which of {@linkcode ROUGH_LINKS}. */
  readonly link: string;
  /** Cover connections to compare. */
  readonly connections: number;
  /** Text that seeds are drawn from. */
  readonly seed: string;
}

/** How playback was on one link. */
export interface PlaybackFigures {
  /** Milliseconds by which records were written after the plan's time: median, 99 % and most. */
  readonly late: readonly [number, number, number];
  /** Milliseconds between messages as a recorder at the client's end sees them: median and 95 %. */
  readonly gaps: readonly [number, number];
  /** Median milliseconds that a connection lasts after its handshake. */
  readonly duration: number;
  /** Cover connections that were given up. */
  readonly faults: number;
}

/** What a rough link does to playback. */
export interface RoughLinkResult {
  /** Connections that both plays have. */
  readonly connections: number;
  /** Those in which each side writes records of the same sizes in the same order. */
  readonly same: number;
  /** Those in which a recorder at the client's end sees the same bytes in turn: what crosses may change places. */
  readonly sameTurns: number;
  /** Largest gap between the distributions of the times between messages. */
  readonly gapsKs: number;
  /** The same between two plays of other seeds over the laboratory's link: what chance does. */
  readonly gapsKsFloor: number;
  /** The laboratory's link. */
  readonly smooth: PlaybackFigures;
  /** The rough one. */
  readonly rough: PlaybackFigures;
}

interface Played {
  readonly figures: PlaybackFigures;
  readonly gaps: Float64Array;
  /** Signed bytes of each turn after the handshake, by session and serial number in the model. */
  readonly turns: ReadonlyMap<string, string>;
  /** Sizes of each side's records, likewise. */
  readonly records: ReadonlyMap<string, string>;
}

/** A model over a link that is smooth, and over one that is not: what changes, and what must not. */
export async function roughLink(job: RoughLinkJob): Promise<RoughLinkResult> {
  const rough = ROUGH_LINKS[job.link]!;
  const model = await loadModel(job.model);
  const seedOf = (text: string) => new Uint8Array(Buffer.from(coverSeed(text, job.model), "hex"));
  const smoothLink: RoughLink = { words: "", link: LAB_LINK, lateness: [] };
  const smooth = await played(model, smoothLink, job.connections, seedOf(job.seed));
  const other = await played(model, smoothLink, job.connections, seedOf(`${job.seed} again`));
  const bad = await played(model, rough, job.connections, seedOf(job.seed));
  const both = [...smooth.turns.keys()].filter((name) => bad.turns.has(name));
  const alike = (what: "turns" | "records") =>
    both.filter((name) => smooth[what].get(name) === bad[what].get(name)).length;
  return {
    connections: both.length,
    same: alike("records"),
    sameTurns: alike("turns"),
    gapsKs: largestGap(smooth.gaps, bad.gaps),
    gapsKsFloor: largestGap(smooth.gaps, other.gaps),
    smooth: smooth.figures,
    rough: bad.figures,
  };
}

async function played(
  model: CoverModel,
  { lateness, link }: RoughLink,
  connections: number,
  seed: Uint8Array,
): Promise<Played> {
  const late = lateness.length === 0 ? {} : { lateness };
  const capture = simulateCapture({ model, link, seed, connections, ...late });
  const gaps: number[] = [];
  const durations: number[] = [];
  const turns = new Map<string, string>();
  const add = (connection: Connection) => {
    const name = capture.names.get(connection.clientPort);
    if (name === undefined) return;
    const { sizes, times } = messageSequence(connection);
    turns.set(name, turnsOf(sizes).join());
    times.forEach((time, i) => i > 0 && gaps.push(time - times[i - 1]!));
    durations.push(
      connection.endTime - connection.startTime - connection.handshake.duration,
    );
  };
  await readConnections(simulatedSource(capture, "played.pcap"), { onConnection: add });
  gaps.sort((a, b) => a - b);
  durations.sort((a, b) => a - b);
  const { late: lateOf, records } = watched(model, link, late, seed, capture.duration);
  return {
    figures: {
      late: [at(lateOf, 0.5), at(lateOf, 0.99), lateOf.at(-1) ?? 0],
      gaps: [at(gaps, 0.5), at(gaps, 0.95)],
      duration: at(durations, 0.5),
      faults: capture.faults.length,
    },
    gaps: Float64Array.from(gaps),
    turns,
    records,
  };
}

/** What both ends wrote: sizes by connection, and how many milliseconds after the plan's time, in order. */
function watched(
  model: CoverModel,
  link: LinkProfile,
  options: { readonly lateness?: readonly number[] },
  seed: Uint8Array,
  span: number,
): { readonly late: readonly number[]; readonly records: ReadonlyMap<string, string> } {
  const late: number[] = [];
  const sizes = new Map<string, { readonly client: number[]; readonly server: number[] }>();
  const onWire = (end: End) => ({ planned, serial, session, size, time, what }: WireEvent) => {
    if (what !== "record") return;
    late.push(time - planned);
    const name = `${session}/${serial}`;
    const own = sizes.get(name) ?? { client: [], server: [] };
    sizes.set(name, own);
    own[end].push(size);
  };
  const tunnel = new SimulatedTunnel({
    model,
    link,
    seed,
    onWire: onWire("client"),
    onServerWire: onWire("server"),
    ...options,
  });
  tunnel.run(span);
  tunnel.stop();
  return {
    late: late.sort((a, b) => a - b),
    records: new Map([...sizes].map(([name, own]) => [name, JSON.stringify(own)])),
  };
}

/** Signed bytes that each side says before the other does. */
function turnsOf(sizes: ArrayLike<number>): number[] {
  const turns: number[] = [];
  for (let i = 0; i < sizes.length; i++) {
    if (i > 0 && Math.sign(sizes[i]!) === Math.sign(turns.at(-1)!)) {
      turns[turns.length - 1]! += sizes[i]!;
    } else turns.push(sizes[i]!);
  }
  return turns;
}

function at(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN;
}
