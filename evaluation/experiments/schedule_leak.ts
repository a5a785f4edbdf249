import { LAB_LINK } from "../../lab/link_profile.ts";
import { type CoverModel, type End, loadModel, substream } from "../../models/mod.ts";
import { SeededRandom } from "../../models/random.ts";
import type { Scheduling, TunnelStream, WireEvent } from "../../playback/mod.ts";
import type { LabelledSamples } from "../../plugins/attack.ts";
import { SimulatedTunnel } from "../simulation/simulated_tunnel.ts";
import { type CoverAgainstReal, coverAgainstReal } from "../two_class.ts";
import { attackInThisThread } from "./local_attack.ts";

/** What a schedule lets an observer of whole sequences learn. Plain data. */
export interface ScheduleLeakJob {
  /** The model, by name or path. */
  readonly model: string;
  /** Who decides when episodes start. */
  readonly schedule: Scheduling;
  /** Idle users; as many are busy. */
  readonly users: number;
  /** Minutes that each is watched. */
  readonly minutes: number;
  /** Text that seeds are drawn from. */
  readonly seed: string;
}

/** What a random forest makes of it that is trained on other users than those that it judges. */
export interface ScheduleLeakResult {
  /** Idle against busy by sizes and times of the records of one connection; the floor is idle against idle. */
  readonly inside: CoverAgainstReal;
  /** The same by bytes each way and times of starts of {@linkcode SEQUENCE} connections in a row. */
  readonly across: CoverAgainstReal;
  /** Median milliseconds between starts of connections, `[idle, busy]`. */
  readonly gaps: readonly [number, number];
}

/** Connections of a sequence that an attacker sees at a time. */
export const SEQUENCE = 8;

const WARM_UP = 60_000;
const TREES = 100;

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

/** A user's time under observation. */
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
  ) => readonly { readonly sizes: readonly number[]; readonly times: readonly number[] }[],
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
function inARow({ connections }: Run) {
  const found = [];
  for (let from = 0; from + SEQUENCE <= connections.length; from += SEQUENCE) {
    const own = connections.slice(from, from + SEQUENCE);
    const sum = (seen: Seen, sign: 1 | -1) =>
      seen.sizes.reduce((total, size) => total + Math.max(0, sign * size), 0);
    found.push({
      sizes: own.flatMap((seen) => [sum(seen, 1), -sum(seen, -1)]),
      times: own.flatMap(({ opened }) => [opened - own[0]!.opened, opened - own[0]!.opened]),
    });
  }
  return found;
}

function medianGap(runs: readonly Run[], busy: boolean): number {
  const gaps = runs.filter((run) => run.busy === busy).flatMap(({ connections }) =>
    connections.slice(1).map(({ opened }, i) => opened - connections[i]!.opened)
  ).sort((a, b) => a - b);
  return gaps[gaps.length >> 1] ?? NaN;
}

/**
 * Watches idle users and busy ones under a schedule, in virtual time, and asks how well they are told apart: what
 * `demand` and `adaptive` reveal, and whether `strict` reveals nothing.
 *
 * @throws {UserError} if there is no such model.
 */
export async function scheduleLeak(job: ScheduleLeakJob): Promise<ScheduleLeakResult> {
  const model = await loadModel(job.model);
  const program = attackInThisThread("random-forest");
  const runs: Run[] = [];
  for (let user = 0; user < job.users; user++) {
    for (const busy of [false, true]) {
      const key = substream(
        new TextEncoder().encode(job.seed.padEnd(16)),
        model.description.name,
        job.schedule,
        user,
        String(busy),
      );
      runs.push({ busy, connections: watch(model, job.schedule, busy, key, job.minutes) });
    }
  }
  const judge = async (sequences: Parameters<typeof samplesOf>[2]) =>
    await coverAgainstReal({
      program,
      real: samplesOf(runs, false, sequences),
      cover: samplesOf(runs, true, sequences),
      seed: 1,
      parameters: { trees: TREES },
    });
  return {
    inside: await judge(({ connections }) => connections),
    across: await judge(inARow),
    gaps: [medianGap(runs, false), medianGap(runs, true)],
  };
}
