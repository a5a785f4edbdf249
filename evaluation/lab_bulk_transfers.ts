import { temporaryPrefix } from "../lab/leftovers.ts";
import { LINKS } from "../lab/link_profile.ts";
import { Running } from "../lab/process.ts";
import { UsageError } from "../base/mod.ts";
import { bulkTransferOverLab, playableModel } from "./lab_bulk_transfer.ts";
import type { LabCarrier } from "./lab_nodes.ts";
import {
  readTransfers,
  type RecordedTransfer,
  type RecordedTransfers,
  sameTransfer,
  type TransferCase,
  writeTransfers,
} from "./recorded_transfers.ts";

/** Which bulk transfers are recorded, and where they go. */
export interface LabBulkTransfersOptions {
  /** Models, by name or path; `constant-rate:28` is constant rate of as many kbit/s each way. */
  readonly models: readonly string[];
  /** Names of links. */
  readonly links: readonly string[];
  /** Transfers of each model over each link each way, each in a tunnel of its own. */
  readonly times: number;
  /** Text that the seeds of the covers are drawn from: transfer K has `SEED/K`. */
  readonly seed: string;
  /** User bytes of each. */
  readonly bytes: number;
  /** The outside: the model's own carrier unless told. */
  readonly carrier?: LabCarrier;
  /** Seconds that the cover plays before a transfer begins. */
  readonly warmUp: number;
  /** Seconds that a transfer may take. */
  readonly patience: number;
  /** Transfers at once, each with a link of its own. */
  readonly atOnce: number;
  /** The file of results: what is in it already is not done again. */
  readonly out: string;
  /** Transfers done so far, of how many, and the last one. */
  readonly onProgress?: (done: number, total: number, last: string) => void;
}

/** What was recorded, and what failed. */
export interface LabBulkTransfers extends RecordedTransfers {
  /** Transfers that came to nothing, and why: they are tried again when the same is asked again. */
  readonly failed: readonly { readonly name: string; readonly why: string }[];
}

/** All transfers of a plan: one of each kind first, then the next of each, so that an interrupted plan has a bit of all. */
export function planTransfers(
  { links, models, seed, times }: Pick<
    LabBulkTransfersOptions,
    "links" | "models" | "seed" | "times"
  >,
): TransferCase[] {
  return Array.from({ length: times }, (_, k) => `${seed}/${k + 1}`).flatMap((seed) =>
    models.flatMap((model) =>
      links.flatMap((link) =>
        (["client", "server"] as const).map((from) => ({ model, link, from, seed }))
      )
    )
  );
}

async function versions(): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  const programs = {
    system: ["uname", "-sr"],
    iperf: ["iperf", "-v"],
    tcpdump: ["tcpdump", "--version"],
  };
  for (const [name, argv] of Object.entries(programs)) {
    const program = new Running(argv);
    await program.closeInput();
    await program.ended(10_000);
    found[name] = (program.output.trim() || program.errors.trim()).split("\n")[0]!.trim();
  }
  return found;
}

/**
 * Records bulk transfers, several at once, and keeps each in the file as soon as it is over, so that what was
 * interrupted goes on where it was. One that fails leaves the others as they are.
 *
 * @throws {UsageError} for a file of other settings, before anything starts.
 * @throws {ModelFileError} for a model that is none.
 * @throws {LabNeeds} where a program is missing, or the right to make namespaces.
 */
export async function recordTransfers(
  options: LabBulkTransfersOptions,
): Promise<LabBulkTransfers> {
  const { bytes, onProgress, out, patience, warmUp } = options;
  const unknown = options.links.find((link) => LINKS[link] === undefined);
  if (unknown !== undefined) {
    throw new UsageError(`link ${unknown}: one of ${Object.keys(LINKS).join(", ")}`);
  }
  const there = await Deno.stat(out).then(() => true, () => false);
  const before = there ? await readTransfers(out) : undefined;
  if (before !== undefined && (before.bytes !== bytes || before.warmUp !== warmUp)) {
    throw new UsageError(
      `${out} holds transfers of ${before.bytes} bytes after ${before.warmUp} s of cover, not of ${bytes} after ${warmUp} s: give another file`,
    );
  }
  const played = new Map<string, Awaited<ReturnType<typeof playableModel>>>();
  for (const model of options.models) {
    await inFolder(async (folder) => played.set(model, await playableModel(model, folder)));
  }
  let file: RecordedTransfers = {
    ...{ bytes, warmUp, programs: await versions() },
    transfers: before?.transfers ?? [],
  };
  const failed: { name: string; why: string }[] = [];
  const all = planTransfers(options);
  const waiting = all.filter((one) => {
    const { carrier, digest } = played.get(one.model)!;
    const as = options.carrier ?? "own";
    return !file.transfers.some((old) =>
      sameTransfer(old, { ...one, digest, carrier: as === "own" ? carrier : as }) &&
      (old.kbps !== undefined || old.seconds >= patience - 1)
    );
  });
  let done = all.length - waiting.length;
  onProgress?.(done, all.length, "");
  let writing = Promise.resolve();
  const keep = (one: RecordedTransfer) => {
    const others = file.transfers.filter((old) => !sameTransfer(old, one));
    file = { ...file, transfers: [...others, one] };
    const now = file;
    writing = writing.then(() => writeTransfers(out, now));
    return writing;
  };
  const work = async () => {
    for (let one = waiting.shift(); one !== undefined; one = waiting.shift()) {
      const { from, link, model, seed } = one;
      const name = `${model} over ${link} from the ${from}, ${seed}`;
      try {
        await inFolder(async (folder) =>
          keep(
            await bulkTransferOverLab({
              ...one,
              ...{ bytes, warmUp, patience, folder },
              ...(options.carrier === undefined ? {} : { carrier: options.carrier }),
            }),
          )
        );
      } catch (error) {
        failed.push({ name, why: error instanceof Error ? error.message : String(error) });
      }
      onProgress?.(++done, all.length, name);
    }
  };
  await Promise.all(Array.from({ length: options.atOnce }, work));
  return { ...file, failed };
}

async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await Deno.makeTempDir({ prefix: temporaryPrefix() });
  try {
    return await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
