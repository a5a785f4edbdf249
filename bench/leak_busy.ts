/**
 * Whether a busy user looks like a busy user of the real protocol: the sequence of cover connections (starts, counts,
 * lengths, sizes, how many at once) beside that of recorded users, in windows of ten seconds while somebody is busy:
 * inside an episode, that is while no connection starts more than 30 s after the one before.
 *
 * Like is compared with like. Cover is written down as tcpdump has it, and one reader reads both: after the carrier's
 * handshake, up to the FIN, without the alerts that close TLS, which are of one size in cover and often missing in
 * real traffic. One simulated user stands beside one recorded client: behind its address the runs of `samples/` have
 * two people (https, smtp) or three (ssh), and so have the models that were learned from them; the models named
 * `-users` were learned from `samples/users/`, where everybody has an address of his own. Those recordings are
 * outlines that do not show where a long handshake ends, so that they are compared by starts alone.
 *
 * The attackers are trained on other runs than those that they judge; beside them stands what real runs score against
 * other real runs, and cover that carries nothing.
 *
 * @module
 */
import { LinkType } from "../capture/link_type.ts";
import {
  type CaptureSource,
  type Connection,
  messageSequence,
  readConnections,
} from "../capture/mod.ts";
import { encodeCapture } from "../capture/write_capture.ts";
import { attackInThisThread } from "../evaluation/experiments/local_attack.ts";
import { act, type User, WARM_UP } from "../evaluation/experiments/schedule_leak.ts";
import { areaUnderCurve } from "../evaluation/metrics.ts";
import { unusable } from "../evaluation/samples.ts";
import { SimulatedTunnel } from "../evaluation/simulation/mod.ts";
import { coverAgainstReal, type TwoClassFigure } from "../evaluation/two_class.ts";
import { LAB_LINK } from "../lab/link_profile.ts";
import { CLIENT_ADDRESS, SERVER_ADDRESS } from "../lab/network.ts";
import { pathRecords } from "../lab/path_capture.ts";
import { builtinModel, type CoverModel, substream } from "../models/mod.ts";
import type { Scheduling } from "../playback/mod.ts";
import type { LabelledSamples } from "../plugins/attack.ts";
import { type Benchmark, median } from "./benchmark.ts";

const WINDOW = 10_000;
const STEP = 5_000;
/** Windows with fewer connections tell too little. */
const LEAST = 3;
/** Fewer recorded windows tell nothing: mail and shells are seen by single gaps then. */
const FEWEST = 20;
/** A connection that starts later than this after the one before begins another episode. */
const EPISODE = 30_000;
/** Recorded runs of a protocol, and those of users. */
const RUNS = 6;
const USER_RUNS = 2;
/** A close_notify of TLS 1.3. */
const CLOSE_ALERT = 24;
/** Milliseconds after the last start: its connection ends. */
const FAREWELL = 30_000;
const FIRST_PORT = 32_768;

const CELLS: readonly (readonly [Scheduling, User])[] = [
  ["strict", "idle"],
  ["demand", "busy"],
  ["demand", "greedy"],
  ["adaptive", "busy"],
  ["adaptive", "greedy"],
];

/** A connection as an observer of sequences has it: milliseconds, and bytes after the handshake. */
interface Outline {
  readonly start: number;
  /** The end of the handshake. */
  readonly ready: number;
  readonly end: number;
  readonly up: number;
  readonly down: number;
}

const COLUMNS = [
  "connections",
  "most in a second",
  "gap, least",
  "gap, median",
  "gap, most",
  "starts within 50 ms",
  "most open",
  "open on average",
  "seconds of a connection, median",
  "seconds of a connection, most",
  "bytes up",
  "bytes down",
  "bytes up, median",
  "bytes up, most",
  "bytes down, median",
  "bytes down, most",
] as const;

/** The first so many columns know starts only. */
const STARTS = 6;

/** What an attacker makes of the connections that begin in one window. */
function columnsOf(own: readonly Outline[]): number[] {
  const starts = own.map(({ start }) => start);
  const gaps = starts.slice(1).map((start, i) => start - starts[i]!);
  const changes = own.flatMap(({ end, ready }) => [[ready, 1], [end, -1]] as const)
    .sort(([a, x], [b, y]) => a - b || x - y);
  let [open, most] = [0, 0];
  for (const [, change] of changes) most = Math.max(most, open += change);
  const sum = (of: (outline: Outline) => number) =>
    own.reduce((total, outline) => total + of(outline), 0);
  const lasted = own.map(({ end, ready }) => (end - ready) / 1000);
  const [up, down] = [own.map(({ up }) => up), own.map(({ down }) => down)];
  return [
    own.length,
    Math.max(...starts.map((from) => starts.filter((at) => at >= from && at < from + 1000).length)),
    Math.min(...gaps),
    median(gaps),
    Math.max(...gaps),
    gaps.filter((gap) => gap < 50).length / gaps.length,
    most,
    sum(({ end, ready }) => end - ready) / WINDOW,
    median(lasted),
    Math.max(...lasted),
    sum(({ up }) => up),
    sum(({ down }) => down),
    median(up),
    Math.max(...up),
    median(down),
    Math.max(...down),
  ];
}

/** What starts at most {@linkcode EPISODE} after the one before. */
function episodesOf(outlines: readonly Outline[]): Outline[][] {
  const episodes: Outline[][] = [];
  for (const outline of outlines.toSorted((a, b) => a.start - b.start)) {
    const last = episodes.at(-1);
    if (last !== undefined && outline.start - last.at(-1)!.start <= EPISODE) last.push(outline);
    else episodes.push([outline]);
  }
  return episodes;
}

/** What an attacker is given at a time: windows, by so many columns of each, or single gaps. */
type View = number | "gaps";

/** The windows of runs, each run a capture of its own; or, seen by gaps, those between starts inside episodes. */
function windowsOf(
  label: string,
  runs: readonly (readonly Outline[])[],
  view: View,
): LabelledSamples {
  const features: number[] = [];
  const groups: number[] = [];
  for (const [run, outlines] of runs.entries()) {
    for (const episode of episodesOf(outlines)) {
      if (view === "gaps") {
        features.push(...episode.slice(1).map(({ start }, i) => start - episode[i]!.start));
        groups.push(...episode.slice(1).map(() => run));
        continue;
      }
      const last = episode.at(-1)!.start;
      for (let from = episode[0]!.start; from + WINDOW <= last; from += STEP) {
        const own = episode.filter(({ start }) => start >= from && start < from + WINDOW);
        if (own.length < LEAST) continue;
        features.push(...columnsOf(own).slice(0, view));
        groups.push(run);
      }
    }
  }
  return {
    count: groups.length,
    featureNames: view === "gaps" ? ["gap"] : COLUMNS.slice(0, view),
    features: new Float64Array(features),
    offsets: new Uint32Array(groups.length + 1),
    sizes: new Float64Array(0),
    times: new Float64Array(0),
    labelNames: [label],
    labels: new Uint16Array(groups.length),
    groupNames: runs.map((_, run) => `${label} ${run}`),
    groups: new Uint16Array(groups),
  };
}

/** Bytes each way after the handshake; those of an outline, where most are missing, as far as the handshake is known. */
function bytesOf(connection: Connection): readonly [number, number] {
  const { handshake, missingBytes, segments } = connection;
  if (missingBytes[0] + missingBytes[1] === 0) {
    const { sizes } = messageSequence(connection, { handshake: "excluded" });
    const sum = (sign: 1 | -1) => sizes.reduce((all, size) => all + Math.max(0, sign * size), 0);
    return [sum(1), sum(-1)];
  }
  const bytes: [number, number] = [0, 0];
  for (let i = 0; i < segments.length; i++) bytes[segments.side[i] as 0 | 1] += segments.size[i]!;
  const after = (side: 0 | 1) =>
    Math.max(0, bytes[side] + missingBytes[side] - handshake.bytes[side]);
  return [after(0), after(1)];
}

/** The connections of a capture whose clients said something, by client. */
async function outlinesOf(source: CaptureSource): Promise<Outline[][]> {
  const clients = new Map<string, Outline[]>();
  await readConnections(source, {
    onConnection: (connection) => {
      if (unusable(connection) !== undefined) return;
      const { clientAddress, endTime, handshake, startTime: start } = connection;
      const [up, down] = bytesOf(connection);
      if (up <= CLOSE_ALERT) return;
      const ready = start + handshake.duration;
      const end = Math.max(ready, start + (connection.end.time ?? endTime - start));
      const own = clients.get(clientAddress) ?? [];
      clients.set(clientAddress, own);
      own.push({ start, ready, end, up, down });
    },
  });
  return [...clients.values()];
}

/** Recorded clients of a protocol: those that a model was learned from, and others. */
async function recorded(protocol: string, users: boolean): Promise<Outline[][]> {
  const runs: Outline[][] = [];
  for (let run = 1; run <= (users ? USER_RUNS : RUNS); run++) {
    const folder = users ? `samples/users/${protocol}` : `samples/${protocol}`;
    runs.push(...await outlinesOf(`${folder}/run-${run}.pcap.gz`));
  }
  return runs;
}

/** What one simulated user's cover looks like in a recording, while he acts. */
async function simulated(
  model: CoverModel,
  schedule: Scheduling,
  user: User,
  seed: Uint8Array,
  minutes: number,
): Promise<Outline[]> {
  let connections = 0;
  const tunnel = new SimulatedTunnel({
    model,
    link: LAB_LINK,
    schedule,
    seed,
    keep: true,
    onWire: ({ what }) => connections += what === "open" ? 1 : 0,
  });
  tunnel.run(WARM_UP);
  const from = tunnel.clock.now();
  act(tunnel, user, seed, minutes * 60_000);
  const to = tunnel.clock.now();
  tunnel.run(FAREWELL);
  tunnel.stop();
  const { path } = tunnel;
  const records = pathRecords(
    path.packets,
    // Some are still being opened.
    Array.from({ length: connections + 64 }, (_, id) => ({
      clientPort: FIRST_PORT + id,
      payload: path.payload.bind(path, id),
    })),
    {
      clientAddress: CLIENT_ADDRESS,
      serverAddress: SERVER_ADDRESS,
      serverPort: 443,
      epoch: 0,
      oneWayDelayMs: LAB_LINK.oneWayDelayMs,
      mss: LAB_LINK.mss,
    },
  );
  const stream = ReadableStream.from(records)
    .pipeThrough(encodeCapture({ format: "pcap", linkType: LinkType.raw }));
  const outlines = (await outlinesOf({ name: "cover", stream })).flat();
  return outlines.filter(({ start }) => start >= from && start < to);
}

const column = ({ count, featureNames, features }: LabelledSamples, index: number) =>
  Array.from({ length: count }, (_, i) => features[i * featureNames.length + index]!);

/** The columns that tell most by themselves, with the medians of both sides. */
function telling(real: LabelledSamples, cover: LabelledSamples, count: number) {
  return real.featureNames.map((name, index) => {
    const [of, against] = [column(real, index), column(cover, index)];
    const auc = areaUnderCurve([...of, ...against], [
      ...of.map(() => 0),
      ...against.map(() => 1),
    ]);
    return { name, auc: Math.max(auc, 1 - auc), real: median(of), cover: median(against) };
  }).sort((a, b) => b.auc - a.auc).slice(0, count);
}

const round = (value: number) => Number(value.toPrecision(3));

/** How near busy cover comes to busy users. */
export const benchmark: Benchmark = {
  about: "busy users of a tunnel beside busy users of the real protocol, in virtual time",
  async run({ note, quick, seed }) {
    const rows: string[][] = [];
    const data = [];
    const names = ["https", "smtp", "ssh", "https-users", "smtp-users", "ssh-users"];
    for (const name of quick ? names.slice(0, 1) : names) {
      const model = await builtinModel(name);
      const users = name.endsWith("-users");
      const real = await recorded(model.description.protocol, users);
      for (const [schedule, user] of CELLS) {
        const cover: Outline[][] = [];
        // Somebody with pauses is rarely busy.
        const minutes = users ? (user === "idle" ? 40 : 5) : quick ? 1 : 2;
        for (let run = 0; run < RUNS; run++) {
          const key = new TextEncoder().encode(seed.padEnd(16));
          const own = substream(key, "busy", name, schedule, user, run);
          cover.push(await simulated(model, schedule, user, own, minutes));
        }
        const judge = async (attack: string, view: View, floor: boolean) =>
          await coverAgainstReal({
            program: attackInThisThread(attack),
            real: windowsOf("real", real, view),
            cover: windowsOf("cover", cover, view),
            seed: 1,
            parameters: attack === "random-forest" ? { trees: 200 } : {},
            floor,
          });
        const first = user === "idle";
        const startsOf: View = windowsOf("real", real, STARTS).count < FEWEST ? "gaps" : STARTS;
        const all: View = users ? startsOf : COLUMNS.length;
        const starts = await judge("random-forest", startsOf, first);
        const forest = users ? undefined : await judge("random-forest", all, first);
        const boosting = await judge("gradient-boosting", all, false);
        const tells = telling(windowsOf("real", real, all), windowsOf("cover", cover, all), 3);
        data.push({ model: name, schedule, user, starts, forest, boosting, tells });
        const text = (figure: TwoClassFigure | undefined) =>
          figure === undefined
            ? ""
            : `${figure.auc.toFixed(2)} [${
              figure.ci95.map((bound) => bound.toFixed(2)).join(", ")
            }]`;
        rows.push([
          name,
          `${schedule}, ${user}`,
          starts.n.join(" / "),
          text(starts),
          text(starts.floor),
          text(forest),
          text(forest?.floor),
          text(boosting),
          tells.map(({ auc, cover, name, real }) =>
            `${name} ${auc.toFixed(2)} (${round(real)}, ${round(cover)})`
          ).join("\n"),
        ]);
        note(rows.at(-1)!.join("  "));
      }
    }
    return {
      tables: [{
        title: `Windows of ${
          WINDOW / 1000
        } s inside episodes, recorded users against cover: AUC by run, 95 %`,
        head: [
          "model",
          "schedule, user",
          "windows",
          "forest, starts",
          "real - real",
          "forest, all",
          "real - real",
          "boosting",
          "what tells: AUC by itself (medians: real, cover)",
        ],
        rows,
      }],
      notes: [
        "Idle users carry nothing, busy ones read pages, greedy ones want all that is carried.",
        "Users' recordings are outlines: starts alone; where they have too few windows, single gaps in episodes.",
      ],
      data,
    };
  },
};
