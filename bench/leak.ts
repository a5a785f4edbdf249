/**
 * What each schedule lets an observer of whole sequences learn: idle users against busy ones, in virtual time. The
 * attacker is a random forest that is trained on other runs than those that it judges.
 *
 * @module
 */
import { coverAgainstReal } from "../evaluation/two_class.ts";
import { SimulatedTunnel } from "../evaluation/simulation/mod.ts";
import { LAB_LINK } from "../lab/link_profile.ts";
import { builtinModel, type CoverModel, type End, substream } from "../models/mod.ts";
import { SeededRandom } from "../models/random.ts";
import type { Scheduling, TunnelStream, WireEvent } from "../playback/mod.ts";
import type { LabelledSamples } from "../plugins/attack.ts";
import { loadAttack } from "../plugins/mod.ts";
import { type Benchmark, median } from "./benchmark.ts";

const SCHEDULES: readonly Scheduling[] = ["strict", "demand", "adaptive"];
const WARM_UP = 60_000;
/** Connections of a sequence that an attacker sees at a time. */
const WINDOW = 8;

/** What an observer sees of one cover connection. */
interface Seen {
  readonly opened: number;
  /** Signed sizes of records and their times since opening. */
  readonly sizes: number[];
  readonly times: number[];
  closed: boolean;
}

/** A user who reads pages: a request of some hundred bytes, an answer of some hundred kilobytes, a pause. */
function beBusy(tunnel: SimulatedTunnel, random: SeededRandom, most: number): void {
  const chunk = new Uint8Array(65_536);
  const send = (stream: TunnelStream, bytes: number) => {
    let left = bytes;
    stream.onWritable = () => {
      while (left > 0) {
        const taken = stream.write(chunk.subarray(0, Math.min(left, chunk.length)));
        if (taken === 0) return;
        left -= taken;
      }
      stream.end();
    };
    stream.onWritable();
  };
  const end = tunnel.clock.now() + most;
  while (tunnel.clock.now() < end) {
    let done = false;
    const near = tunnel.open((far) => {
      far.onReadable = () => {
        let bytes = far.read();
        while (bytes) bytes = far.read();
        if (bytes === null) send(far, 20_000 + random.integer(400_000));
      };
    });
    near.onReadable = () => {
      let bytes = near.read();
      while (bytes) bytes = near.read();
      done ||= bytes === null;
    };
    send(near, 300 + random.integer(600));
    tunnel.run(end - tunnel.clock.now(), () => done);
    tunnel.run(Math.min(end - tunnel.clock.now(), 500 + random.float() * 8000));
  }
}

function watch(
  model: CoverModel,
  schedule: Scheduling,
  busy: boolean,
  seed: Uint8Array,
  minutes: number,
): Seen[] {
  const seen = new Map<string, Seen>();
  const sign: Record<End, 1 | -1> = { client: 1, server: -1 };
  const onWire = (end: End) => ({ connection, size, time, what }: WireEvent) => {
    if (what === "open" && end === "client") {
      seen.set(connection, { opened: time, sizes: [], times: [], closed: false });
    }
    const own = seen.get(connection);
    if (own === undefined) return;
    if (what === "close" && end === "client") own.closed = true;
    if (what !== "record") return;
    own.sizes.push(sign[end] * size);
    own.times.push(time - own.opened);
  };
  const tunnel = new SimulatedTunnel({
    model,
    link: LAB_LINK,
    schedule,
    seed,
    onWire: onWire("client"),
    onServerWire: onWire("server"),
  });
  tunnel.run(WARM_UP);
  const from = tunnel.clock.now();
  const span = minutes * 60_000;
  if (busy) beBusy(tunnel, new SeededRandom(substream(seed, "user")), span);
  else tunnel.run(span);
  tunnel.stop();
  return [...seen.values()].filter(({ closed, opened }) => closed && opened >= from);
}

interface Run {
  readonly busy: boolean;
  readonly connections: readonly Seen[];
}

/** Samples of message sequences, one class for `busy`. */
function samplesOf(
  runs: readonly Run[],
  busy: boolean,
  sequences: (
    run: Run,
  ) => { readonly sizes: readonly number[]; readonly times: readonly number[] }[],
): LabelledSamples {
  const offsets = [0];
  const groups: number[] = [];
  const sizes: number[] = [];
  const times: number[] = [];
  const groupNames: string[] = [];
  for (const run of runs.filter((run) => run.busy === busy)) {
    for (const sequence of sequences(run)) {
      sizes.push(...sequence.sizes);
      times.push(...sequence.times);
      offsets.push(sizes.length);
      groups.push(groupNames.length);
    }
    groupNames.push(`${busy ? "busy" : "idle"} ${groupNames.length}`);
  }
  return {
    count: groups.length,
    featureNames: [],
    features: new Float64Array(0),
    offsets: new Uint32Array(offsets),
    sizes: new Float64Array(sizes),
    times: new Float64Array(times),
    labelNames: [busy ? "busy" : "idle"],
    labels: new Uint16Array(groups.length),
    groupNames,
    groups: new Uint16Array(groups),
  };
}

/** Each window of eight connections as a sequence: their bytes at the times of their starts. */
function windows({ connections }: Run) {
  const found = [];
  for (let from = 0; from + WINDOW <= connections.length; from += WINDOW) {
    const own = connections.slice(from, from + WINDOW);
    const sum = (seen: Seen, sign: 1 | -1) =>
      seen.sizes.reduce((total, size) => total + Math.max(0, sign * size), 0);
    found.push({
      sizes: own.flatMap((seen) => [sum(seen, 1), -sum(seen, -1)]),
      times: own.flatMap(({ opened }) => [opened - own[0]!.opened, opened - own[0]!.opened]),
    });
  }
  return found;
}

function gapsOf(runs: readonly Run[], busy: boolean): number[] {
  return runs.filter((run) => run.busy === busy).flatMap(({ connections }) =>
    connections.slice(1).map(({ opened }, i) => opened - connections[i]!.opened)
  );
}

/** What a schedule tells of a user. */
export const benchmark: Benchmark = {
  about: "what an observer of whole sequences learns under each schedule, in virtual time",
  async run({ note, quick, seed }) {
    const program = await loadAttack("random-forest");
    const rows: string[][] = [];
    const data = [];
    for (const name of quick ? ["https"] : ["https", "smtp", "ssh"]) {
      const model = await builtinModel(name);
      for (const schedule of SCHEDULES) {
        const runs: Run[] = [];
        for (let i = 0; i < (quick ? 6 : 12); i++) {
          for (const busy of [false, true]) {
            const key = substream(
              new TextEncoder().encode(seed.padEnd(16)),
              name,
              schedule,
              i,
              String(busy),
            );
            runs.push({
              busy,
              connections: watch(model, schedule, busy, key, quick ? 5 : 10),
            });
          }
        }
        const judge = (sequences: Parameters<typeof samplesOf>[2]) =>
          coverAgainstReal({
            program,
            real: samplesOf(runs, false, sequences),
            cover: samplesOf(runs, true, sequences),
            seed: 1,
            parameters: { trees: 100 },
          });
        const inside = await judge(({ connections }) => [...connections]);
        const across = await judge(windows);
        const [idleGap, busyGap] = [median(gapsOf(runs, false)), median(gapsOf(runs, true))];
        const text = ({ auc, ci95 }: { auc: number; ci95: readonly [number, number] }) =>
          `${auc.toFixed(2)} [${ci95[0].toFixed(2)}, ${ci95[1].toFixed(2)}]`;
        data.push({ model: name, schedule, inside, across, idleGap, busyGap });
        rows.push([
          name,
          schedule,
          inside.n.join(" / "),
          text(inside),
          inside.floor === undefined ? "" : text(inside.floor),
          text(across),
          across.floor === undefined ? "" : text(across.floor),
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
          `${WINDOW} in a row`,
          "idle - idle",
          "gap idle s",
          "gap busy s",
        ],
        rows,
      }],
      notes: [
        "A connection: sizes and times of its records. In a row: bytes each way and times of starts.",
      ],
      data,
    };
  },
};
