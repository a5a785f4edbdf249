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

/** Connections of one kind: readers' against those of users who want all that is carried. */
export interface KindLeak extends CoverAgainstReal {
  /** The kind's number; 0 is the model's own mixture. */
  readonly kind: number;
  /** The same by sizes alone. Times differ as far as connections that are open together share the link. */
  readonly sizes: CoverAgainstReal;
}

/** What a random forest makes of it that is trained on other users than those that it judges. */
export interface ScheduleLeakResult {
  /** Idle against busy by sizes and times of the records of one connection; the floor is idle against idle. */
  readonly inside: CoverAgainstReal;
  /** The same by bytes each way and times of starts of {@linkcode SEQUENCE} connections in a row. */
  readonly across: CoverAgainstReal;
  /** Users who read pages against users who want all that is carried, by as many in a row: how much somebody does. */
  readonly amount: CoverAgainstReal;
  /**
   * One connection again, by kind: those of users who read pages against those of users who want all that is
   * carried. A kind shows; what is in its connections must not. Kinds with too few connections are left out.
   */
  readonly kinds: readonly KindLeak[];
  /** Median milliseconds between starts of connections, `[idle, busy]`. */
  readonly gaps: readonly [number, number];
}

/** Connections of a sequence that an attacker sees at a time. */
export const SEQUENCE = 8;

/** What watched users do: nothing, read pages, or want all that is carried, both ways. */
export const USERS = ["idle", "busy", "greedy"] as const;
/** One of {@linkcode USERS}. */
export type User = typeof USERS[number];

/** Connections of a kind, of each sort of user, below which nothing is said of it. */
const FEWEST = 60;

const TREES = 100;

/** What an observer sees of one cover connection, and its kind. */
export interface Seen {
  /** When it was opened, in milliseconds. */
  readonly opened: number;
  /** Its kind; 0 is the model's own mixture. */
  readonly kind: number;
  /** Signed sizes of records, those of the client above 0, in the order of {@linkcode Seen.times}. */
  readonly sizes: number[];
  /** When each record was sent, in milliseconds since opening. */
  readonly times: number[];
  /** When the client's end closed or heard of it; undefined before. */
  closed: number | undefined;
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

/** A user who wants all that is carried, both ways. */
function beGreedy(tunnel: SimulatedTunnel, most: number): void {
  const chunk = new Uint8Array(65_536);
  const fill = (stream: TunnelStream) => {
    stream.onWritable = () => {
      while (stream.write(chunk) > 0);
    };
    stream.onReadable = () => {
      while (stream.read());
    };
    stream.onWritable();
  };
  fill(tunnel.open(fill));
  tunnel.run(most);
}

/** Lets a user act for `span` milliseconds. */
export function act(tunnel: SimulatedTunnel, user: User, seed: Uint8Array, span: number): void {
  if (user === "busy") beBusy(tunnel, new SeededRandom(substream(seed, "user")), span);
  else if (user === "greedy") beGreedy(tunnel, span);
  else tunnel.run(span);
}

/** Milliseconds before a user who is watched begins to act. */
export const WARM_UP = 60_000;

/** What an observer sees of a user for some minutes, in virtual time: connections that were opened and closed in them. */
export function watch(
  model: CoverModel,
  schedule: Scheduling,
  user: User,
  seed: Uint8Array,
  minutes: number,
): Seen[] {
  const seen = new Map<string, Seen>();
  const sign: Record<End, 1 | -1> = { client: 1, server: -1 };
  const onWire = (end: End) => ({ connection, kind = 0, size, time, what }: WireEvent) => {
    if (what === "open" && end === "client") {
      seen.set(connection, { opened: time, kind, sizes: [], times: [], closed: undefined });
    }
    const own = seen.get(connection);
    if (own === undefined) return;
    if (what === "close" && end === "client") own.closed = time;
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
  act(tunnel, user, seed, minutes * 60_000);
  tunnel.stop();
  return [...seen.values()].filter(({ closed, opened }) => closed !== undefined && opened >= from);
}

/** A user's time under observation. */
interface Run {
  readonly user: User;
  readonly connections: readonly Seen[];
}

type Sequences = (
  run: Run,
) => readonly { readonly sizes: readonly number[]; readonly times: readonly number[] }[];

/** Samples of message sequences, all of one sort of user. */
function samplesOf(runs: readonly Run[], user: User, sequences: Sequences): LabelledSamples {
  const offsets = [0];
  const groups: number[] = [];
  const sizes: number[] = [];
  const times: number[] = [];
  const groupNames: string[] = [];
  for (const run of runs.filter((run) => run.user === user)) {
    for (const sequence of sequences(run)) {
      sizes.push(...sequence.sizes);
      times.push(...sequence.times);
      offsets.push(sizes.length);
      groups.push(groupNames.length);
    }
    groupNames.push(`${user} ${groupNames.length}`);
  }
  return {
    count: groups.length,
    featureNames: [],
    features: new Float64Array(0),
    offsets: new Uint32Array(offsets),
    sizes: new Float64Array(sizes),
    times: new Float64Array(times),
    labelNames: [user],
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

const kindsOf = ({ connections }: Run) => connections.map(({ kind }) => kind);

function medianGap(runs: readonly Run[], user: User): number {
  const gaps = runs.filter((run) => run.user === user).flatMap(({ connections }) =>
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
    for (const sort of USERS) {
      const key = substream(
        new TextEncoder().encode(job.seed.padEnd(16)),
        model.description.name,
        job.schedule,
        user,
        sort,
      );
      runs.push({ user: sort, connections: watch(model, job.schedule, sort, key, job.minutes) });
    }
  }
  const judge = async (one: User, other: User, sequences: Sequences, floor = false) =>
    await coverAgainstReal({
      program,
      real: samplesOf(runs, one, sequences),
      cover: samplesOf(runs, other, sequences),
      seed: 1,
      parameters: { trees: TREES },
      floor,
    });
  const kinds: KindLeak[] = [];
  for (const kind of new Set(runs.flatMap(kindsOf))) {
    const of = ({ connections }: Run) => connections.filter((own) => own.kind === kind);
    const many = (user: User) =>
      runs.reduce((sum, run) => sum + (run.user === user ? of(run).length : 0), 0) >= FEWEST;
    if (many("busy") && many("greedy")) {
      const timeless = (run: Run) =>
        of(run).map(({ sizes, times }) => ({ sizes, times: times.map(() => 0) }));
      kinds.push({
        kind,
        ...await judge("busy", "greedy", of),
        sizes: await judge("busy", "greedy", timeless),
      });
    }
  }
  return {
    inside: await judge("idle", "busy", ({ connections }) => connections, true),
    across: await judge("idle", "busy", inARow, true),
    amount: await judge("busy", "greedy", inARow),
    kinds: kinds.sort((a, b) => a.kind - b.kind),
    gaps: [medianGap(runs, "idle"), medianGap(runs, "busy")],
  };
}
