import { randomBytes } from "node:crypto";
import { UsageError, UserError, writeFileAtomically } from "../base/mod.ts";
import { temporaryPrefix } from "../lab/leftovers.ts";
import { LAB_LINK, type LinkProfile } from "../lab/link_profile.ts";
import { LAB_PROTOCOLS, type LabProtocol } from "../lab/needs.ts";
import { run } from "../lab/process.ts";
import { type RecordedFile, recordedFile } from "../lab/recorded_file.ts";
import { recordSamples } from "../lab/record_samples.ts";
import { scrub, type ScrubReport } from "../lab/scrub.ts";
import { versionsFor } from "../lab/versions.ts";
import { loadModel } from "../models/mod.ts";
import { type LabPlayed, playOverLab } from "./lab_play.ts";

/** A recording of cover cannot be used. */
export class BadCover extends UserError {}

/** What is known about one recording of cover. */
export interface CoverProvenance
  extends RecordedFile, Omit<LabPlayed, "capture" | "down" | "recorded" | "up"> {
  /** Name or path of the model; its version is `digest`. */
  readonly model: string;
  /** Text that the cover's seed is drawn from. */
  readonly seed: string;
  /** Model sessions played at once. */
  readonly sessions: number;
  /** User bytes that were carried each way meanwhile. */
  readonly carried: number;
  /** The machine's load before (average of a minute). */
  readonly load: number;
  /** The link's numbers. */
  readonly profile: LinkProfile;
  /** How it was scrubbed. */
  readonly scrubbed: ScrubReport;
  /** Programs and their versions. */
  readonly programs: Readonly<Record<string, string>>;
}

/** Which cover is recorded. */
export interface LabCoverOptions {
  /** Models by name or path. */
  readonly models: readonly string[];
  /** Runs of each, with seeds of their own. */
  readonly runs: number;
  /** Cover connections of each run. */
  readonly connections: number;
  /** Text that seeds are drawn from: run K has `SEED-K`. */
  readonly seed: string;
  /** User bytes carried each way meanwhile. */
  readonly bytes: number;
  /** Seconds that one run may take. */
  readonly patience: number;
  /** Folder: cover goes to `MODEL/cover-K.pcap.gz`, real traffic to `real/PROTOCOL/run-K.pcap.gz`. */
  readonly out: string;
  /** Number of the first run of real traffic: above those that models were learned from. */
  readonly firstReal: number;
  /** Told before each run. */
  readonly onProgress?: (done: number, total: number, next: string) => void;
}

/**
 * Model sessions that are played at once, so that a run takes a minute or so: few, since who shares the link shows in
 * times. A session of a model that was learned from several people behind one address stands for all of them.
 */
const SESSIONS: Readonly<Record<string, number>> = { ssh: 3, "constant-rate": 8 };
const USUAL_SESSIONS = 2;

interface Listed {
  readonly schema: 1;
  readonly cover: readonly CoverProvenance[];
}

/** What PROVENANCE.json lists; nothing where there is none. */
async function readListed(path: string): Promise<Listed> {
  try {
    const listed = JSON.parse(await Deno.readTextFile(path)) as Listed;
    if (listed.schema === 1 && Array.isArray(listed.cover)) return listed;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { schema: 1, cover: [] };
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new BadCover(`${path}: not what \`lab cover\` writes: give another folder, or remove it`);
}

async function playOne(
  options: LabCoverOptions,
  model: string,
  label: string,
  k: number,
): Promise<CoverProvenance> {
  const { bytes: carried, connections, out, patience } = options;
  const file = `${label}/cover-${k}.pcap.gz`;
  const seed = `${options.seed}-${k}`;
  const folder = await Deno.makeTempDir({ prefix: temporaryPrefix() });
  try {
    const { protocol } = (await loadModel(model)).description;
    const sessions = SESSIONS[protocol] ?? USUAL_SESSIONS;
    const load = Number((await run(["cat", "/proc/loadavg"])).split(" ")[0]);
    const { capture, down, recorded: _, up, ...played } = await playOverLab({
      ...{ model, folder, sessions, connections, seed },
      out: `${folder}/cover.pcap`,
      carrier: "own",
      payload: new Uint8Array(randomBytes(carried)),
      patience: patience * 1000,
    });
    if (!up.sha256Match || !down.sha256Match) {
      throw new BadCover(`${file}: what was carried did not arrive as it was sent`);
    }
    const { captured, dropped, received } = played.packets;
    if (dropped > 0 || captured < received) {
      throw new BadCover(
        `${file}: tcpdump missed ${dropped + received - captured} packets: try again`,
      );
    }
    await Deno.mkdir(`${out}/${label}`, { recursive: true });
    const scrubbed = await scrub(capture, `${out}/${file}`);
    return {
      ...await recordedFile(out, file),
      ...{ model, seed, sessions, carried, load, profile: LAB_LINK, scrubbed },
      programs: await versionsFor(protocolOf(protocol) ?? "https"),
      ...played,
    };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function protocolOf(name: string): LabProtocol | undefined {
  return LAB_PROTOCOLS.find((one) => one === name);
}

/**
 * Records cover over the laboratory's link, each model in its own carrier, and, at the same time over a link of its
 * own, real traffic of the protocol that it claims: what the evaluation's headline figures rest on. All of it is
 * scrubbed of payload. PROVENANCE.json notes each file as soon as it is there, and what it lists in the same version
 * of the model and with the same seed is not recorded again.
 *
 * @throws {UsageError} for two models of one protocol: the real traffic beside them would be of one's minutes.
 * @throws {BadCover} where packets are missing, what was carried did not arrive, or PROVENANCE.json is another's.
 * @throws {LabPlayFailed} and {@linkcode BadRun} as `lab play` and `lab record` do.
 */
export async function recordCover(options: LabCoverOptions): Promise<readonly CoverProvenance[]> {
  const { connections, models, onProgress, out, runs } = options;
  const claimed = new Map<LabProtocol, string>();
  for (const model of models) {
    const protocol = protocolOf((await loadModel(model)).description.protocol);
    if (protocol === undefined) continue;
    const other = claimed.get(protocol);
    if (other !== undefined) {
      throw new UsageError(
        `${other} and ${model} both claim ${protocol}, and real traffic is recorded beside one of them: give each a folder of its own`,
      );
    }
    claimed.set(protocol, model);
  }
  await Deno.mkdir(out, { recursive: true });
  const path = `${out}/PROVENANCE.json`;
  let { cover } = await readListed(path);
  const plan = Array.from({ length: runs }, (_, k) => k + 1)
    .flatMap((k) => models.map((model) => ({ k, model })));
  for (const [done, { k, model }] of plan.entries()) {
    onProgress?.(done, plan.length, `${model}, run ${k}`);
    const { digest, name, protocol } = (await loadModel(model)).description;
    const label = /[./\\]/.test(model) ? name : model;
    const file = `${label}/cover-${k}.pcap.gz`;
    const seed = `${options.seed}-${k}`;
    const there = await Deno.stat(`${out}/${file}`).then(() => true, () => false);
    const same = cover.find((one) => one.file === file);
    if (
      there && same?.digest === digest && same.seed === seed &&
      same.connections + same.unfinished === connections
    ) continue;
    const real = protocolOf(protocol);
    // Both are waited for, whatever becomes of the other: nothing may run on.
    const [played, beside] = await Promise.allSettled([
      playOne(options, model, label, k),
      real === undefined ? undefined : recordSamples({
        protocol: real,
        runs: 1,
        first: options.firstReal + k - 1,
        out: `${out}/real`,
        seed: options.seed,
      }),
    ]);
    if (played.status === "rejected") throw played.reason;
    if (beside.status === "rejected") throw beside.reason;
    cover = [...cover.filter((one) => one.file !== file), played.value]
      .sort((a, b) => a.file < b.file ? -1 : 1);
    const listed: Listed = { schema: 1, cover };
    await writeFileAtomically(path, `${JSON.stringify(listed, undefined, 2)}\n`);
  }
  onProgress?.(plan.length, plan.length, "");
  return cover;
}
