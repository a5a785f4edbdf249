/**
 * Whether a busy user looks like a busy user of the real protocol: the sequence of cover connections (starts, counts,
 * sizes, how many at once) beside that of recorded users, in windows of ten seconds. The attackers are trained on
 * other runs than those that they judge; beside them stands what real runs score against other real runs, and cover
 * that carries nothing.
 *
 * @module
 */
import { readConnections } from "../capture/mod.ts";
import { attackInThisThread } from "../evaluation/experiments/local_attack.ts";
import { type Seen, type User, watch } from "../evaluation/experiments/schedule_leak.ts";
import { areaUnderCurve } from "../evaluation/metrics.ts";
import { unusable } from "../evaluation/samples.ts";
import { coverAgainstReal, type TwoClassFigure } from "../evaluation/two_class.ts";
import { builtinModel, substream } from "../models/mod.ts";
import type { Scheduling } from "../playback/mod.ts";
import type { LabelledSamples } from "../plugins/attack.ts";
import { type Benchmark, median } from "./benchmark.ts";

const WINDOW = 10_000;
const STEP = 5_000;
/** Windows with fewer connections tell too little. */
const LEAST = 3;
const RUNS = 6;

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
  readonly end: number;
  readonly up: number;
  readonly down: number;
}

const COLUMNS = [
  "connections",
  "most open",
  "open on average",
  "most in a second",
  "gap, least",
  "gap, median",
  "gap, most",
  "starts within 50 ms",
  "seconds of a connection, median",
  "seconds of a connection, most",
  "bytes up",
  "bytes down",
  "bytes up, median",
  "bytes up, most",
  "bytes down, median",
  "bytes down, most",
] as const;

/** What an attacker makes of the connections that begin in one window. */
function columnsOf(own: readonly Outline[]): number[] {
  const starts = own.map(({ start }) => start);
  const gaps = starts.slice(1).map((start, i) => start - starts[i]!);
  const changes = own.flatMap(({ end, start }) => [[start, 1], [end, -1]] as const)
    .sort(([a, x], [b, y]) => a - b || x - y);
  let [open, most] = [0, 0];
  for (const [, change] of changes) most = Math.max(most, open += change);
  const sum = (of: (outline: Outline) => number) =>
    own.reduce((total, outline) => total + of(outline), 0);
  const lasted = own.map(({ end, start }) => (end - start) / 1000);
  const [up, down] = [own.map(({ up }) => up), own.map(({ down }) => down)];
  return [
    own.length,
    most,
    sum(({ end, start }) => end - start) / WINDOW,
    Math.max(...starts.map((from) => starts.filter((at) => at >= from && at < from + 1000).length)),
    Math.min(...gaps),
    median(gaps),
    Math.max(...gaps),
    gaps.filter((gap) => gap < 50).length / gaps.length,
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

/** The windows of runs, each run a capture of its own. */
function windowsOf(label: string, runs: readonly (readonly Outline[])[]): LabelledSamples {
  const features: number[] = [];
  const groups: number[] = [];
  const sizes: number[] = [];
  const times: number[] = [];
  const offsets = [0];
  for (const [run, unsorted] of runs.entries()) {
    const outlines = unsorted.toSorted((a, b) => a.start - b.start);
    const [first, last] = [outlines[0]?.start ?? 0, outlines.at(-1)?.start ?? 0];
    for (let from = first; from + WINDOW <= last; from += STEP) {
      const own = outlines.filter(({ start }) => start >= from && start < from + WINDOW);
      if (own.length < LEAST) continue;
      features.push(...columnsOf(own));
      for (const { down, start, up } of own) {
        sizes.push(up, -down);
        times.push(start - own[0]!.start, start - own[0]!.start);
      }
      offsets.push(sizes.length);
      groups.push(run);
    }
  }
  return {
    count: groups.length,
    featureNames: [...COLUMNS],
    features: new Float64Array(features),
    offsets: new Uint32Array(offsets),
    sizes: new Float64Array(sizes),
    times: new Float64Array(times),
    labelNames: [label],
    labels: new Uint16Array(groups.length),
    groupNames: runs.map((_, run) => `${label} ${run}`),
    groups: new Uint16Array(groups),
  };
}

/** Recorded runs of a protocol that ship. */
async function recorded(protocol: string): Promise<Outline[][]> {
  const runs: Outline[][] = [];
  for (let run = 1; run <= RUNS; run++) {
    const outlines: Outline[] = [];
    await readConnections(`samples/${protocol}/run-${run}.pcap.gz`, {
      onConnection: (connection) => {
        if (unusable(connection) !== undefined) return;
        const { endTime: end, handshake, segments, startTime: start } = connection;
        const bytes = [0, 0];
        for (let i = 0; i < segments.length; i++) bytes[segments.side[i]!]! += segments.size[i]!;
        const [up, down] = bytes.map((all, side) => all - handshake.bytes[side as 0 | 1]);
        if (up! > 0) outlines.push({ start, end, up: up!, down: down! });
      },
    });
    runs.push(outlines);
  }
  return runs;
}

function outlineOf({ closed, opened, sizes }: Seen): Outline {
  const sum = (sign: 1 | -1) => sizes.reduce((all, size) => all + Math.max(0, sign * size), 0);
  return { start: opened, end: closed ?? opened, up: sum(1), down: sum(-1) };
}

const column = ({ count, features }: LabelledSamples, index: number) =>
  Array.from({ length: count }, (_, i) => features[i * COLUMNS.length + index]!);

/** The columns that tell most by themselves, with the medians of both sides. */
function telling(real: LabelledSamples, cover: LabelledSamples, count: number) {
  return COLUMNS.map((name, index) => {
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
    for (const name of quick ? ["https"] : ["https", "smtp", "ssh"]) {
      const model = await builtinModel(name);
      const real = windowsOf("real", await recorded(model.description.protocol));
      for (const [schedule, user] of CELLS) {
        const runs = Array.from({ length: RUNS }, (_, run) => {
          const key = new TextEncoder().encode(seed.padEnd(16));
          const own = substream(key, "busy", name, schedule, user, run);
          return watch(model, schedule, user, own, quick ? 1 : 2).map(outlineOf);
        });
        const cover = windowsOf("cover", runs);
        const judge = async (attack: string, parameters: Record<string, number>) =>
          await coverAgainstReal({
            program: attackInThisThread(attack),
            real,
            cover,
            seed: 1,
            parameters,
          });
        const forest = await judge("random-forest", { trees: 200 });
        const boosting = await judge("gradient-boosting", {});
        const tells = telling(real, cover, 4);
        const most = Math.max(...column(cover, 1));
        const mostReal = Math.max(...column(real, 1));
        data.push({ model: name, schedule, user, forest, boosting, tells, most, mostReal });
        const text = ({ auc, ci95 }: TwoClassFigure) =>
          `${auc.toFixed(2)} [${ci95[0].toFixed(2)}, ${ci95[1].toFixed(2)}]`;
        rows.push([
          name,
          `${schedule}, ${user}`,
          forest.n.join(" / "),
          text(forest),
          text(boosting),
          forest.floor === undefined ? "" : text(forest.floor),
          `${mostReal}, ${most}`,
          tells.map(({ auc, cover, name, real }) =>
            `${name} ${auc.toFixed(2)} (${round(real)}, ${round(cover)})`
          ).join("\n"),
        ]);
        note(rows.at(-1)!.join("  "));
      }
    }
    return {
      tables: [{
        title: `Windows of ${WINDOW / 1000} s, recorded users against cover: AUC by run, 95 %`,
        head: [
          "model",
          "schedule, user",
          "windows",
          "random forest",
          "boosting",
          "real - real",
          "most open: real, cover",
          "what tells: AUC by itself (medians: real, cover)",
        ],
        rows,
      }],
      notes: [
        "Idle users carry nothing, busy ones read pages, greedy ones want all that is carried.",
      ],
      data,
    };
  },
};
