import { largestGap } from "../../base/largest_gap.ts";
import {
  type CaptureSource,
  type Connection,
  exchangesOf,
  messagesOf,
  readConnections,
} from "../../capture/mod.ts";
import { unusable } from "../samples.ts";
import { type Curve, curveOf } from "./curve.ts";
import { sourcesOf, type Traffic } from "./traffic.ts";

/** How like cover is to real traffic, variable by variable. */
export interface FidelityJob {
  /** Real runs. */
  readonly real: Traffic;
  /** Cover runs. */
  readonly cover: Traffic;
}

/** One variable of Swing's. */
export interface VariableFidelity {
  /** Its name. */
  readonly name: string;
  /** Its unit. */
  readonly unit: string;
  /** Distance of the cover's distribution from that of all real runs (Kolmogorov and Smirnov's). */
  readonly ks: number;
  /** The same of each real run from all others: least, median, greatest. */
  readonly ksReal: Range;
  /** Earth mover's distance, in standard deviations of the real values. */
  readonly emd: number;
  /** The same of each real run from all others. */
  readonly emdReal: Range;
  /** Observations, `[real, cover]`. */
  readonly n: readonly [number, number];
  /** Points of both distributions: value, share at or below it. */
  readonly curves: { readonly real: Curve; readonly cover: Curve };
}

/** Least, median and greatest. */
export interface Range {
  /** Least. */
  readonly low: number;
  /** Median. */
  readonly middle: number;
  /** Greatest. */
  readonly high: number;
}

/** A figure of a run, for cover and for real runs. */
export interface RunFigure {
  /** What it is. */
  readonly name: string;
  /** The cover's runs. */
  readonly cover: Range;
  /** Real runs. */
  readonly real: Range;
}

/** What {@linkcode fidelity} found. */
export interface FidelityResult {
  /** Distributions. */
  readonly variables: readonly VariableFidelity[];
  /** Autocorrelations within connections, and dependences between variables. */
  readonly dependences: readonly RunFigure[];
  /** Energy of the bytes in each bin at each time scale, log2, relative to the mean squared. */
  readonly energy: readonly {
    /** Milliseconds. */
    readonly scale: number;
    /** Cover's runs. */
    readonly cover: Range;
    /** Real runs. */
    readonly real: Range;
  }[];
  /** Seconds that runs last, from the first connection's start to the last packet. */
  readonly seconds: {
    /** Cover's runs. */
    readonly cover: Range;
    /** Real runs. */
    readonly real: Range;
  };
}

const VARIABLES: Readonly<Record<string, string>> = {
  "exchanges in a connection (numpairs)": "count",
  "request size (REQ)": "bytes",
  "response size (RESP)": "bytes",
  "requester's think time (reqthink)": "ms",
  "responder's think time": "ms",
  "gap between connections (interConn)": "ms",
  "packet size": "bytes",
  "connection duration": "ms",
  "bytes in a connection": "bytes",
};
const [PAIRS, REQ, RESP, REQTHINK, RESPTHINK, INTERCONN, PACKET, DURATION, BYTES] = Object.keys(
  VARIABLES,
) as [string, string, string, string, string, string, string, string, string];
/** Packets of a run that the distribution of sizes rests on: beyond, every further one changes nothing. */
const MOST_PACKETS = 20_000;
/** Longest series of bytes by millisecond, from the start of a run. */
const SERIES = 2 ** 21;
const SCALES = 18;

/** One run, read. */
interface Run {
  readonly values: Map<string, number[]>;
  readonly figures: Map<string, number>;
  readonly energy: readonly number[];
  readonly seconds: number;
}

/** Compares cover with real traffic beside what real runs differ by. */
export async function fidelity(job: FidelityJob): Promise<FidelityResult> {
  const read = async (traffic: Traffic) => {
    const runs: Run[] = [];
    for (const source of await sourcesOf(traffic)) runs.push(await readRun(source));
    return runs;
  };
  const real = await read(job.real);
  const cover = await read(job.cover);
  const all = (runs: readonly Run[], name: string) =>
    Float64Array.from(runs.flatMap(({ values }) => values.get(name)!)).sort();
  const variables = Object.entries(VARIABLES).flatMap(([name, unit]) => {
    const whole = all(real, name);
    const own = all(cover, name);
    if (whole.length < 5 || own.length < 5) return [];
    const deviation = deviationOf(whole);
    const ownKs: number[] = [];
    const ownEmd: number[] = [];
    for (const run of real) {
      const one = all([run], name);
      const rest = all(real.filter((other) => other !== run), name);
      if (one.length < 2 || rest.length < 2) continue;
      ownKs.push(largestGap(one, rest));
      ownEmd.push(earthMover(one, rest) / deviation);
    }
    return [{
      name,
      unit,
      ks: largestGap(own, whole),
      ksReal: rangeOf(ownKs),
      emd: earthMover(own, whole) / deviation,
      emdReal: rangeOf(ownEmd),
      n: [whole.length, own.length] as const,
      curves: { real: curveOf(whole), cover: curveOf(own) },
    }];
  });
  const names = [...real[0]?.figures.keys() ?? []];
  return {
    variables,
    dependences: names.map((name) => ({
      name,
      cover: rangeOf(cover.map(({ figures }) => figures.get(name)!)),
      real: rangeOf(real.map(({ figures }) => figures.get(name)!)),
    })),
    energy: Array.from({ length: SCALES }, (_, scale) => ({
      scale: 2 ** scale,
      cover: rangeOf(cover.map(({ energy }) => energy[scale]!)),
      real: rangeOf(real.map(({ energy }) => energy[scale]!)),
    })).filter(({ cover, real }) => Number.isFinite(cover.middle) && Number.isFinite(real.middle)),
    seconds: {
      cover: rangeOf(cover.map(({ seconds }) => seconds)),
      real: rangeOf(real.map(({ seconds }) => seconds)),
    },
  };
}

async function readRun(source: CaptureSource): Promise<Run> {
  const values = new Map<string, number[]>(Object.keys(VARIABLES).map((name) => [name, []]));
  const add = (name: string, value: number) => values.get(name)!.push(value);
  const connections: Connection[] = [];
  await readConnections(source, {
    onConnection: (connection) => {
      if (unusable(connection) === undefined) connections.push(connection);
    },
  });
  connections.sort((a, b) => a.startTime - b.startTime);
  const first = connections[0]?.startTime ?? 0;
  const series = new Float64Array(SERIES);
  let last = 0;
  let end = first;
  const sizes: number[][] = [];
  const thinks: number[][] = [];
  const pairs: [number, number][] = [];
  const thinkPairs: [number, number][] = [];
  const lastStart = new Map<string, number>();
  for (const connection of connections) {
    const { clientAddress, endTime, segments, startTime } = connection;
    end = Math.max(end, endTime);
    for (let row = 0; row < segments.length; row++) {
      const at = Math.floor(startTime - first + segments.time[row]!);
      if (at < SERIES) {
        series[at]! += segments.size[row]!;
        last = Math.max(last, at);
      }
      if (values.get(PACKET)!.length < MOST_PACKETS) add(PACKET, segments.size[row]!);
    }
    const before = lastStart.get(clientAddress);
    if (before !== undefined) add(INTERCONN, startTime - before);
    lastStart.set(clientAddress, startTime);
    const messages = messagesOf(connection);
    const exchanges = exchangesOf(messages);
    if (exchanges.length === 0) continue;
    add(PAIRS, exchanges.length);
    add(DURATION, endTime - startTime - connection.handshake.duration);
    add(BYTES, messages.reduce((sum, { size }) => sum + size, 0));
    sizes.push(messages.map(({ size }) => Math.log(size)));
    thinks.push(exchanges.slice(1).map(({ request }) => Math.log1p(request.think)));
    for (const [i, { request, responses }] of exchanges.entries()) {
      add(REQ, request.size);
      if (i > 0) add(REQTHINK, request.think);
      const response = responses.reduce((sum, { size }) => sum + size, 0);
      if (responses.length === 0) continue;
      add(RESP, response);
      add(RESPTHINK, responses[0]!.think);
      pairs.push([request.size, response]);
      thinkPairs.push([response, responses[0]!.think]);
    }
  }
  return {
    values,
    figures: new Map([
      ["message sizes, autocorrelation at lag 1", autocorrelation(sizes, 1)],
      ["message sizes, autocorrelation at lag 2", autocorrelation(sizes, 2)],
      ["think times, autocorrelation at lag 1", autocorrelation(thinks, 1)],
      ["request and response size, rank correlation", rankCorrelation(pairs)],
      ["response size and its think time, rank correlation", rankCorrelation(thinkPairs)],
    ]),
    energy: energyOf(series.subarray(0, last + 1)),
    seconds: (end - first) / 1000,
  };
}

/** Mean distance between two distributions, in their unit: the area between the distribution functions. */
export function earthMover(first: Float64Array, second: Float64Array): number {
  let area = 0;
  let i = 0;
  let j = 0;
  let before = 0;
  while (i < first.length || j < second.length) {
    const value = Math.min(first[i] ?? Infinity, second[j] ?? Infinity);
    const gap = Math.abs(i / first.length - j / second.length);
    if (i + j > 0) area += gap * (value - before);
    while (i < first.length && first[i] === value) i++;
    while (j < second.length && second[j] === value) j++;
    before = value;
  }
  return area;
}

/** Correlation of values with those `lag` later in the same sequence, over all sequences; 0 without any. */
export function autocorrelation(sequences: readonly (readonly number[])[], lag: number): number {
  const pairs = sequences.flatMap((sequence) =>
    sequence.slice(lag).map((value, i): [number, number] => [sequence[i]!, value])
  );
  return correlation(pairs);
}

function correlation(pairs: readonly (readonly [number, number])[]): number {
  const n = pairs.length;
  if (n < 3) return 0;
  const mean = [0, 1].map((which) => pairs.reduce((sum, pair) => sum + pair[which]!, 0) / n);
  let both = 0;
  let first = 0;
  let second = 0;
  for (const [a, b] of pairs) {
    both += (a - mean[0]!) * (b - mean[1]!);
    first += (a - mean[0]!) ** 2;
    second += (b - mean[1]!) ** 2;
  }
  return first * second === 0 ? 0 : both / Math.sqrt(first * second);
}

/** Spearman's correlation: that of the ranks, equal values sharing theirs. */
export function rankCorrelation(pairs: readonly (readonly [number, number])[]): number {
  const ranks = [0, 1].map((which) => {
    const order = [...pairs.keys()].sort((a, b) => pairs[a]![which]! - pairs[b]![which]!);
    const rank = new Float64Array(pairs.length);
    for (let from = 0; from < order.length;) {
      let to = from;
      while (to < order.length && pairs[order[to]!]![which] === pairs[order[from]!]![which]) to++;
      for (let i = from; i < to; i++) rank[order[i]!] = (from + to - 1) / 2;
      from = to;
    }
    return rank;
  });
  return correlation(pairs.map((_, i): [number, number] => [ranks[0]![i]!, ranks[1]![i]!]));
}

/**
 * Energy of Haar's wavelet at scales of 1, 2, 4, ... bins: log2 of the mean square of the differences between
 * neighbours, relative to the squared mean of the series (so that a busier link has no more of it). NaN where fewer
 * than eight pairs are left.
 */
export function energyOf(series: Float64Array): number[] {
  let own = series.slice();
  let mean = 0;
  for (const value of own) mean += value / own.length;
  const energies: number[] = [];
  for (let scale = 0; scale < SCALES; scale++) {
    const half = own.length >> 1;
    let sum = 0;
    const next = new Float64Array(half);
    for (let i = 0; i < half; i++) {
      const [a, b] = [own[2 * i]!, own[2 * i + 1]!];
      sum += (a - b) ** 2 / 2;
      next[i] = (a + b) / Math.SQRT2;
    }
    energies.push(
      half < 8 || mean === 0 ? NaN : Math.log2(Math.max(1e-12, sum / half)) -
        2 * Math.log2(mean),
    );
    own = next;
  }
  return energies;
}

function deviationOf(values: Float64Array): number {
  let mean = 0;
  for (const value of values) mean += value / values.length;
  let squares = 0;
  for (const value of values) squares += (value - mean) ** 2 / values.length;
  return Math.sqrt(squares) || 1;
}

/** Least, median and greatest of what is a number; NaN of none. */
export function rangeOf(values: readonly number[]): Range {
  const sorted = values.filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
  if (sorted.length === 0) return { low: NaN, middle: NaN, high: NaN };
  const middle = (sorted[sorted.length - 1 >> 1]! + sorted[sorted.length >> 1]!) / 2;
  return { low: sorted[0]!, middle, high: sorted.at(-1)! };
}
