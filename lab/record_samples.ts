import { UserError, writeFileAtomically } from "../base/mod.ts";
import { temporaryPrefix } from "./leftovers.ts";
import { LAB_LINK, type LinkProfile } from "./link_profile.ts";
import type { LabProtocol } from "./needs.ts";
import { OUTLINE, type Outline, outline } from "./outline.ts";
import { recordRun, type RunReport } from "./record.ts";
import { type RecordedFile, recordedFile } from "./recorded_file.ts";
import { scrub, type ScrubReport } from "./scrub.ts";
import { versionsFor } from "./versions.ts";

/** What is known about one sample: how it came about, what it holds, and its digest. */
export interface SampleProvenance extends RecordedFile {
  /** How it was recorded. */
  readonly run: RunReport;
  /** How it was scrubbed. */
  readonly scrubbed: ScrubReport;
  /** Packets that an outline kept of each connection, and of all; absent where they are whole. */
  readonly outline?: Outline & { readonly packets: number };
  /** Programs and their versions. */
  readonly programs: Readonly<Record<string, string>>;
  /** The link. */
  readonly link: LinkProfile;
}

/** PROVENANCE.json. */
export interface Provenance {
  /** Version of this format. */
  readonly schema: 1;
  /** One entry a sample, sorted by file. */
  readonly samples: readonly SampleProvenance[];
}

/** What to record. */
export interface SamplesOptions {
  /** What users do. */
  readonly protocol: LabProtocol;
  /** How many runs, each with servers, clients and a seed of its own. */
  readonly runs: number;
  /** Number of the first run (default 1). */
  readonly first?: number;
  /** Folder: runs go to `<out>/<protocol>/run-<k>.pcap.gz`. */
  readonly out: string;
  /** Seed; run k uses `<seed>/<k>`. */
  readonly seed: string;
  /** Milliseconds for which users begin new things in a run. */
  readonly milliseconds?: number;
  /** Users with addresses and pauses of their own; two or three in a hurry where left out. */
  readonly users?: number;
  /** The link (default {@linkcode LAB_LINK}). */
  readonly link?: LinkProfile;
  /** Keep an outline only: for learning users, sessions and episodes. */
  readonly outline?: boolean;
  /** Called before each run. */
  readonly onRun?: (done: number, total: number) => void;
}

/** A run went wrong in a way that would make a bad sample. */
export class BadRun extends UserError {}

async function readProvenance(path: string): Promise<Provenance> {
  try {
    return JSON.parse(await Deno.readTextFile(path)) as Provenance;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { schema: 1, samples: [] };
    throw error;
  }
}

async function recordOne(options: SamplesOptions, k: number): Promise<SampleProvenance> {
  const { protocol, milliseconds, users, link = LAB_LINK } = options;
  const file = `${protocol}/run-${k}.pcap.gz`;
  const raw = await Deno.makeTempFile({ prefix: temporaryPrefix(), suffix: ".pcap" });
  try {
    const run = await recordRun({
      protocol,
      path: raw,
      link,
      seed: `${options.seed}/${k}`,
      ...(milliseconds === undefined ? {} : { milliseconds }),
      ...(users === undefined ? {} : { users }),
    });
    return await makeSample(raw, run, { ...options, link, file });
  } finally {
    await Deno.remove(raw).catch(() => {});
  }
}

/**
 * Makes a sample of a run's recording: scrubs it, in outline if asked, into `<out>/<file>`.
 *
 * @throws {BadRun} where packets are missing or what users did failed.
 */
export async function makeSample(
  raw: string,
  run: RunReport,
  { file, link, out, outline: outlined }:
    & Pick<SamplesOptions, "out" | "outline">
    & { readonly file: string; readonly link: LinkProfile },
): Promise<SampleProvenance> {
  const { protocol } = run;
  const { dropped, received, captured } = run.packets;
  if (dropped > 0 || captured < received) {
    throw new BadRun(
      `${file}: tcpdump missed ${dropped + received - captured} packets: try again`,
    );
  }
  const failed = Object.entries(run.did).filter(([what]) => what.endsWith("failed"));
  if (failed.length > 0) {
    throw new BadRun(`${file}: ${failed.map(([what, n]) => `${n} ${what}`).join(", ")}`);
  }
  await Deno.mkdir(`${out}/${protocol}`, { recursive: true });
  const scrubbed = await scrub(raw, `${out}/${file}`);
  const kept = outlined ? await outline(`${out}/${file}`, `${out}/${file}`) : undefined;
  return {
    ...await recordedFile(out, file, outlined),
    run,
    scrubbed,
    ...(kept === undefined ? {} : { outline: { ...OUTLINE, packets: kept } }),
    programs: await versionsFor(protocol),
    link,
  };
}

/** Notes a sample in PROVENANCE.json of `out`, which keeps its entries about other files. */
export async function noteSample(out: string, sample: SampleProvenance): Promise<void> {
  const path = `${out}/PROVENANCE.json`;
  const before = (await readProvenance(path)).samples.filter(({ file }) => file !== sample.file);
  const samples = [...before, sample].sort((a, b) => a.file < b.file ? -1 : 1);
  const provenance: Provenance = { schema: 1, samples };
  await writeFileAtomically(path, `${JSON.stringify(provenance, undefined, 2)}\n`);
}

/**
 * Records runs, scrubs them, and writes them with their provenance: PROVENANCE.json in the same folder
 * keeps its entries about other files. All runs are drawn from one workload distribution.
 */
export async function recordSamples(options: SamplesOptions): Promise<SampleProvenance[]> {
  const first = options.first ?? 1;
  const recorded: SampleProvenance[] = [];
  for (let k = first; k < first + options.runs; k++) {
    options.onRun?.(k - first, options.runs);
    const sample = await recordOne(options, k);
    recorded.push(sample);
    await noteSample(options.out, sample);
  }
  options.onRun?.(options.runs, options.runs);
  return recorded;
}
