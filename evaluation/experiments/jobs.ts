import type { LabelledSamples } from "../../plugins/attack.ts";
import {
  connections,
  type ConnectionsJob,
  type ConnectionsResult,
} from "../content/connections.ts";
import { pages, type PagesJob, type PagesResult } from "../content/pages.ts";
import { users, type UsersJob, type UsersResult } from "../content/users.ts";
import { fidelity, type FidelityJob, type FidelityResult } from "./fidelity.ts";
import { attackInThisThread } from "./local_attack.ts";
import { longScales, type LongScalesJob, type LongScalesResult } from "./long_scales.ts";
import { repeats, type RepeatsJob, type RepeatsResult } from "./repeats.ts";
import { roughLink, type RoughLinkJob, type RoughLinkResult } from "./rough_link.ts";
import { scheduleLeak, type ScheduleLeakJob, type ScheduleLeakResult } from "./schedule_leak.ts";
import { seedAttacks, type SeedAttacksJob, type SeedAttacksResult } from "./seed_attacks.ts";
import { type ToldApart, toldApart } from "./told_apart.ts";
import { tellingColumns } from "./telling_columns.ts";
import { samplesOf, type Traffic } from "./traffic.ts";
import { transfer, type TransferJob, type TransferResult } from "./transfers.ts";

/** Two kinds of traffic told apart by an attack that is trained on both. */
export interface ToldApartJob {
  /** The attack, one of our own. */
  readonly attack: string;
  /** The protocol. */
  readonly protocol: string;
  /** Real traffic. */
  readonly real: Traffic;
  /** Cover, or other real traffic: then it is the floor. */
  readonly other: Traffic;
  /** Whether the carrier's handshake is seen. */
  readonly handshake: "excluded" | "included";
  /** Unsigned 32-bit seed. */
  readonly seed: number;
  /** Runs of either that are held out in turn, at most. */
  readonly most: number;
  /** Milliseconds to which times are read; as they are unless told. */
  readonly clock?: number;
}

/** The arguments of each kind of job: plain data. */
export interface JobArguments {
  /** See {@linkcode seedAttacks}. */
  "seed-attacks": SeedAttacksJob;
  /** See {@linkcode transfer}. */
  "transfer": TransferJob;
  /** See {@linkcode toldApart}. */
  "told-apart": ToldApartJob;
  /** See {@linkcode repeats}. */
  "repeats": RepeatsJob;
  /** See {@linkcode fidelity}. */
  "fidelity": FidelityJob;
  /** See {@linkcode longScales}. */
  "long-scales": LongScalesJob;
  /** See {@linkcode roughLink}. */
  "rough-link": RoughLinkJob;
  /** See {@linkcode scheduleLeak}. */
  "schedule-leak": ScheduleLeakJob;
  /** See {@linkcode pages}. */
  "content-pages": PagesJob;
  /** See {@linkcode users}. */
  "content-users": UsersJob;
  /** See {@linkcode connections}. */
  "content-connections": ConnectionsJob;
}

/** What each kind of job comes to: plain data. */
export interface JobResults {
  /** See {@linkcode seedAttacks}. */
  "seed-attacks": SeedAttacksResult;
  /** See {@linkcode transfer}. */
  "transfer": TransferResult;
  /** See {@linkcode toldApart}. */
  "told-apart": ToldApart;
  /** See {@linkcode repeats}. */
  "repeats": RepeatsResult;
  /** See {@linkcode fidelity}. */
  "fidelity": FidelityResult;
  /** See {@linkcode longScales}. */
  "long-scales": LongScalesResult;
  /** See {@linkcode roughLink}. */
  "rough-link": RoughLinkResult;
  /** See {@linkcode scheduleLeak}. */
  "schedule-leak": ScheduleLeakResult;
  /** See {@linkcode pages}. */
  "content-pages": PagesResult;
  /** See {@linkcode users}. */
  "content-users": UsersResult;
  /** See {@linkcode connections}. */
  "content-connections": ConnectionsResult;
}

/** A kind of job. */
export type JobKind = keyof JobArguments;

/** A job: what it is called in progress and errors, and its arguments. */
export type Job = {
  readonly [Kind in JobKind]: {
    /** Its kind. */
    readonly kind: Kind;
    /** In words. */
    readonly name: string;
    /** Its arguments: with the version and the captures' digests, the key of its result. */
    readonly args: JobArguments[Kind];
  };
}[JobKind];

/** Does a job, in this thread. */
export async function doJob(job: Job): Promise<JobResults[JobKind]> {
  switch (job.kind) {
    case "seed-attacks":
      return await seedAttacks(job.args);
    case "transfer":
      return await transfer(job.args);
    case "repeats":
      return await repeats(job.args);
    case "fidelity":
      return await fidelity(job.args);
    case "long-scales":
      return await longScales(job.args);
    case "rough-link":
      return await roughLink(job.args);
    case "schedule-leak":
      return await scheduleLeak(job.args);
    case "content-pages":
      return await pages(job.args);
    case "content-users":
      return await users(job.args);
    case "content-connections":
      return await connections(job.args);
    case "told-apart":
      return await tellApart(job.args);
  }
}

/** Nearest neighbours shall label everything here: an area needs a score for each. */
const NONE_UNKNOWN = 1e6;

async function tellApart(
  { attack, clock, handshake, most, other, protocol, real, seed }: ToldApartJob,
): Promise<ToldApart> {
  const read = async (traffic: Traffic): Promise<LabelledSamples> =>
    await samplesOf(traffic, protocol, handshake);
  const samples = { real: await read(real), other: await read(other) };
  const found = await toldApart({
    program: attackInThisThread(attack),
    ...samples,
    seed,
    most,
    ...(attack === "knn" ? { parameters: { t: NONE_UNKNOWN } } : {}),
    ...(clock === undefined ? {} : { parameters: { clock } }),
  });
  const importances = new Map(found.importances);
  return { ...found, columns: tellingColumns(attack, importances, samples.real, samples.other) };
}
