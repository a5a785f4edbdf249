import { UsageError } from "../base/mod.ts";
import type { FlowRecord } from "./flow.ts";
import { PacketStatistics, STATISTICS } from "./packet_statistics.ts";

/** A list of numbers that describe a flow record. Chosen by name, see {@linkcode featureSet}. */
export interface FeatureSet {
  /** Its name, such as `appscanner54`. */
  readonly name: string;
  /** What it is, in a line. */
  readonly summary: string;
  /** Names of the columns, in the order of the values. Bytes and milliseconds. */
  readonly columns: readonly string[];
  /**
   * Writes the flow's values to `into` at `at`. Reads the flow's packets
   * ({@linkcode FlowRecord.lengths}); allocates nothing for a packet.
   *
   * @throws {TypeError} if the flow was recorded without its packets.
   */
  fill(flow: FlowRecord, into: Float64Array, at?: number): void;
}

/** The packets of the flow being looked at, by direction: lengths, and gaps to the packet before. */
const lengths = { sent: new PacketStatistics(), received: new PacketStatistics() };
const gaps = { sent: new PacketStatistics(), received: new PacketStatistics() };
const bothLengths = new PacketStatistics();
const bothGaps = new PacketStatistics();

function collect(flow: FlowRecord): { sizes: Int32Array; times: Float64Array } {
  const { lengths: sizes, times } = flow;
  if (sizes === undefined || times === undefined) {
    throw new TypeError("the flow has no packets: record flows with `packets: true`");
  }
  return { sizes, times };
}

function collectLengths(sizes: Int32Array, split: boolean): void {
  lengths.sent.clear();
  lengths.received.clear();
  bothLengths.clear();
  for (let i = 0; i < sizes.length; i++) {
    const size = sizes[i]!;
    bothLengths.add(Math.abs(size));
    if (split) (size > 0 ? lengths.sent : lengths.received).add(Math.abs(size));
  }
}

/** Gaps between packets one after the other, and (split) between those of one direction. */
function collectGaps(sizes: Int32Array, times: Float64Array, split: boolean): void {
  gaps.sent.clear();
  gaps.received.clear();
  bothGaps.clear();
  let sent = NaN;
  let received = NaN;
  for (let i = 0; i < sizes.length; i++) {
    const time = times[i]!;
    // A capture may hold packets out of order.
    if (i > 0) bothGaps.add(Math.max(0, time - times[i - 1]!));
    if (!split) continue;
    if (sizes[i]! > 0) {
      if (sent === sent) gaps.sent.add(Math.max(0, time - sent));
      sent = time;
    } else {
      if (received === received) gaps.received.add(Math.max(0, time - received));
      received = time;
    }
  }
}

function fillCounts(flow: FlowRecord, into: Float64Array, at: number): number {
  into[at] = flow.protocol;
  into[at + 1] = flow.packetsSent;
  into[at + 2] = flow.packetsReceived;
  into[at + 3] = flow.bytesSent;
  into[at + 4] = flow.bytesReceived;
  return at + 5;
}

const COUNTS = ["protocol", "packetsSent", "packetsReceived", "bytesSent", "bytesReceived"];
const FEW = ["Min", "Max", "Mean", "Std"];

const seed5: FeatureSet = {
  name: "seed5",
  summary: "what the seed prints of a flow: protocol, packets and bytes each way",
  columns: COUNTS,
  fill: (flow, into, at = 0) => {
    fillCounts(flow, into, at);
  },
};

const seed14: FeatureSet = {
  name: "seed14",
  summary: "seed5, the duration, and statistics of packet lengths and of gaps",
  columns: [
    ...COUNTS,
    "duration",
    ...FEW.map((name) => `length${name}`),
    ...FEW.map((name) => `gap${name}`),
  ],
  fill(flow, into, at = 0) {
    const { sizes, times } = collect(flow);
    let next = fillCounts(flow, into, at);
    into[next++] = flow.last - flow.first;
    collectLengths(sizes, false);
    next = bothLengths.writeFew(into, next);
    collectGaps(sizes, times, false);
    bothGaps.writeFew(into, next);
  },
};

const capital = (name: string) => name[0]!.toUpperCase() + name.slice(1);
const DIRECTIONS = ["received", "sent", "both"];
const named = (what: string) =>
  DIRECTIONS.flatMap((side) => STATISTICS.map((name) => `${side}${what}${capital(name)}`));

function fillLengths(sizes: Int32Array, into: Float64Array, at: number): number {
  collectLengths(sizes, true);
  return bothLengths.write(into, lengths.sent.write(into, lengths.received.write(into, at)));
}

const appscanner54: FeatureSet = {
  name: "appscanner54",
  summary: "AppScanner's: 18 statistics of packet lengths received, sent, and both together",
  columns: named("Length"),
  fill(flow, into, at = 0) {
    fillLengths(collect(flow).sizes, into, at);
  },
};

/** Packets at the beginning whose signed length and gap are columns of their own. */
const FIRST = 10;

const timed: FeatureSet = {
  name: "timed",
  summary:
    "appscanner54, the same 18 of gaps, protocol, duration, rates, turns, and the first ten packets",
  columns: [
    ...appscanner54.columns,
    ...named("Gap"),
    ...COUNTS,
    "duration",
    "bytesSentPerSecond",
    "bytesReceivedPerSecond",
    "turns",
    ...Array.from({ length: FIRST }, (_, i) => `length${i}`),
    ...Array.from({ length: FIRST }, (_, i) => `time${i}`),
  ],
  fill(flow, into, at = 0) {
    const { sizes, times } = collect(flow);
    let next = fillLengths(sizes, into, at);
    collectGaps(sizes, times, true);
    next = bothGaps.write(into, gaps.sent.write(into, gaps.received.write(into, next)));
    next = fillCounts(flow, into, next);
    const duration = flow.last - flow.first;
    // Under a millisecond a rate says more of the clock than of the flow.
    const seconds = Math.max(1, duration) / 1000;
    into[next++] = duration;
    into[next++] = flow.bytesSent / seconds;
    into[next++] = flow.bytesReceived / seconds;
    let turns = 0;
    for (let i = 1; i < sizes.length; i++) turns += +(sizes[i]! > 0 !== sizes[i - 1]! > 0);
    into[next++] = turns;
    for (let i = 0; i < FIRST; i++) into[next++] = i < sizes.length ? sizes[i]! : 0;
    for (let i = 0; i < FIRST; i++) into[next++] = i < times.length ? times[i]! : -1;
  },
};

/** The feature sets, by name. */
export const FEATURE_SETS: Readonly<Record<string, FeatureSet>> = {
  seed5,
  seed14,
  appscanner54,
  timed,
};

/**
 * The feature set called `name`.
 *
 * @throws {UsageError} if there is none; it lists those there are.
 *
 * @example
 * ```ts
 * import { featureSet } from "./feature_sets.ts";
 * import type { FlowRecord } from "./flow.ts";
 * const flow: FlowRecord = {
 *   burst: 0, first: 0, last: 30, version: 4, protocol: 6, end: "burst",
 *   sourceAddress: "10.0.0.1", sourcePort: 40000, destinationAddress: "10.0.0.2", destinationPort: 443,
 *   packetsSent: 2, packetsReceived: 1, bytesSent: 300, bytesReceived: 1500,
 *   lengths: Int32Array.of(100, -1500, 200), times: Float64Array.of(0, 20, 30),
 * };
 * const set = featureSet("seed14");
 * const row = new Float64Array(set.columns.length);
 * set.fill(flow, row);
 * if (row[set.columns.indexOf("gapMax")] !== 20) throw new Error("the longest gap");
 * ```
 */
export function featureSet(name: string): FeatureSet {
  const set = Object.hasOwn(FEATURE_SETS, name) ? FEATURE_SETS[name] : undefined;
  if (set === undefined) {
    const names = Object.keys(FEATURE_SETS).join(", ");
    throw new UsageError(`there is no feature set ${JSON.stringify(name)} (there are ${names})`);
  }
  return set;
}
