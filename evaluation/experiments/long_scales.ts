import { Buffer } from "node:buffer";
import { largestGap } from "../../base/largest_gap.ts";
import { type CaptureSource, readConnections } from "../../capture/mod.ts";
import { loadModel } from "../../models/mod.ts";
import { coverSeed } from "../demo/play.ts";
import { SIMULATED_LINKS } from "../simulation/links.ts";
import { simulateCapture, simulatedSource } from "../simulation/simulated_capture.ts";
import { energyOf, type Range, rangeOf } from "./fidelity.ts";

/** Users over half an hour, real ones and those that a model plays. */
export interface LongScalesJob {
  /** Captures of real users with addresses of their own, each a run; outlines of connections will do. */
  readonly real: readonly string[];
  /** A model with episodes and sessions. */
  readonly model: string;
  /** Text that seeds of the played users are drawn from: as many runs as there are real ones. */
  readonly seed: string;
}

/** When users open connections, for real ones and played ones; ranges are over runs. */
export interface LongScalesResult {
  /** Users of a run. */
  readonly users: number;
  /** Minutes of a run. */
  readonly minutes: number;
  /** Connections opened in a run. */
  readonly openings: { readonly real: Range; readonly cover: Range };
  /** Energy of the openings at time scales from a second, log2, relative to the mean squared. */
  readonly energy: readonly {
    /** Milliseconds. */
    readonly scale: number;
    readonly real: Range;
    readonly cover: Range;
  }[];
  /** Pauses of one user between openings, in seconds: median, and the share that ends an episode (30 s) or a session (5 min). */
  readonly pauses: {
    readonly real: PauseFigures;
    readonly cover: PauseFigures;
    /** Distance of the distributions (Kolmogorov and Smirnov's): played from real, and one real run from another. */
    readonly ks: number;
    readonly ksReal: number;
    /** The same of pauses that end an episode. */
    readonly ksEpisodes: number;
    readonly ksEpisodesReal: number;
  };
}

/** Pauses between one user's openings. */
export interface PauseFigures {
  /** How many. */
  readonly n: number;
  /** Of 30 s or more, as many. */
  readonly episodes: number;
  /** Of 5 min or more, as many. */
  readonly sessions: number;
}

const BIN = 1000;
/** Milliseconds that end an episode, and a session. */
const EPISODE = 30_000;
const SESSION = 300_000;
/** Connections that a simulation is asked for: a multiple of what real users open, more where that is not enough. */
const FIRST_GUESS = 4;
const MOST_GUESSES = 2;

/** Openings of each user of a run, in milliseconds since its first, in order. */
type Openings = readonly (readonly number[])[];

async function openingsOf(
  source: CaptureSource,
  userOf: (connection: { clientAddress: string; clientPort: number }) => string,
): Promise<Openings> {
  const byUser = new Map<string, number[]>();
  let first = Infinity;
  await readConnections(source, {
    onConnection: ({ clientAddress, clientPort, start, startTime }) => {
      if (start !== "syn") return;
      const user = userOf({ clientAddress, clientPort });
      const own = byUser.get(user) ?? [];
      byUser.set(user, own);
      own.push(startTime);
      first = Math.min(first, startTime);
    },
  });
  return [...byUser.values()].map((own) => own.map((time) => time - first).sort((a, b) => a - b));
}

const lastOf = (openings: Openings) => Math.max(...openings.map((own) => own.at(-1)!));

/** What is opened before `end`. */
const before = (openings: Openings, end: number): Openings =>
  openings.map((own) => own.filter((time) => time < end));

const pausesOf = (openings: Openings) =>
  openings.flatMap((own) => own.slice(1).map((time, i) => time - own[i]!));

function energiesOf(openings: Openings, end: number): number[] {
  const series = new Float64Array(Math.ceil(end / BIN));
  for (const time of openings.flat()) series[Math.floor(time / BIN)]!++;
  return energyOf(series);
}

function figuresOf(pauses: readonly number[]): PauseFigures {
  const atLeast = (least: number) => pauses.filter((pause) => pause >= least).length;
  return { n: pauses.length, episodes: atLeast(EPISODE), sessions: atLeast(SESSION) };
}

/** Compares when real users open connections with when those of a model do, from a second to a minute and more. */
export async function longScales(job: LongScalesJob): Promise<LongScalesResult> {
  const real: Openings[] = [];
  for (const file of job.real) {
    real.push(await openingsOf(file, ({ clientAddress }) => clientAddress));
  }
  const users = Math.max(...real.map((run) => run.length));
  const end = Math.min(...real.map(lastOf));
  const most = Math.max(...real.map((run) => run.flat().length));
  const model = await loadModel(job.model);
  const cover: Openings[] = [];
  for (const run of real.keys()) {
    const seed = new Uint8Array(
      Buffer.from(coverSeed(`${job.seed} users ${run}`, job.model), "hex"),
    );
    for (let guess = 0, played: Openings | undefined; played === undefined; guess++) {
      const capture = simulateCapture({
        ...{ model, seed, sessions: users, link: SIMULATED_LINKS["lab"]! },
        connections: Math.ceil(most * FIRST_GUESS * 2 ** guess),
      });
      const found = await openingsOf(
        simulatedSource(capture, `${model.description.name}-users-${run + 1}.pcap`),
        // A user's sessions follow each other: each has the number of the one before plus that of all users.
        ({ clientPort }) => `${Number.parseInt(capture.names.get(clientPort)!) % users}`,
      );
      // Users who open so much more are compared for as long as they were played.
      if (lastOf(found) >= end || guess === MOST_GUESSES) cover.push(played = found);
    }
  }
  const common = Math.min(end, ...cover.map(lastOf));
  const cut = (runs: readonly Openings[]) => runs.map((run) => before(run, common));
  const [own, played] = [cut(real), cut(cover)];
  const energies = (runs: readonly Openings[]) => runs.map((run) => energiesOf(run, common));
  const [realEnergy, coverEnergy] = [energies(own), energies(played)];
  const [realPauses, coverPauses] = [own, played].map((runs) => runs.map(pausesOf)) as [
    number[][],
    number[][],
  ];
  const long = (pauses: readonly number[]) => pauses.filter((pause) => pause >= EPISODE);
  const [first = [], ...others] = realPauses;
  return {
    users,
    minutes: common / 60_000,
    openings: {
      real: rangeOf(own.map((run) => run.flat().length)),
      cover: rangeOf(played.map((run) => run.flat().length)),
    },
    energy: realEnergy[0]!.map((_, i) => ({
      scale: BIN * 2 ** i,
      real: rangeOf(realEnergy.map((energy) => energy[i]!)),
      cover: rangeOf(coverEnergy.map((energy) => energy[i]!)),
    })).filter(({ cover, real }) => Number.isFinite(cover.middle) && Number.isFinite(real.middle)),
    pauses: {
      real: figuresOf(realPauses.flat()),
      cover: figuresOf(coverPauses.flat()),
      ks: largestGap(realPauses.flat(), coverPauses.flat()),
      ksReal: largestGap(first, others.flat()),
      ksEpisodes: largestGap(long(realPauses.flat()), long(coverPauses.flat())),
      ksEpisodesReal: largestGap(long(first), long(others.flat())),
    },
  };
}
