import { UsageError, UserError } from "../base/mod.ts";
import type { LabelledCaptures } from "./samples.ts";

const LABEL = /^([A-Za-z0-9][A-Za-z0-9_.-]*)=(.+)$/s;
const CAPTURE = /\.(pcap|pcapng|cap|snoop)(\.gz)?$/i;

/** A folder without captures. */
export class LabelledCapturesError extends UserError {}

/**
 * Reads arguments such as `https=a.pcap b.pcap ssh=folder`: a label holds for the files after it, until
 * the next. A folder stands for the capture files in it, by name; a label may come more than once.
 *
 * @throws {UsageError} for a first argument without a label.
 * @throws {LabelledCapturesError} for a folder without captures.
 */
export async function parseLabelledCaptures(
  args: readonly string[],
  option: string,
): Promise<LabelledCaptures[]> {
  const byLabel = new Map<string, string[]>();
  let label: string | undefined;
  for (const arg of args) {
    const match = LABEL.exec(arg);
    let file = arg;
    // A file may have = in its name: where there is one of the whole name, it is no label.
    if (match !== null && (label === undefined || !await exists(arg))) {
      label = match[1]!;
      file = match[2]!;
    }
    if (label === undefined) {
      throw new UsageError(
        `${option} ${arg}: write LABEL=FILE, as in ${option} https=${arg}`,
      );
    }
    byLabel.set(label, [...(byLabel.get(label) ?? []), ...await captureFiles(file)]);
  }
  return Array.from(byLabel, ([label, captures]) => ({ label, captures }));
}

/** `path` itself, or the capture files in it where it is a folder. */
async function captureFiles(path: string): Promise<string[]> {
  const isFolder = await Deno.stat(path).then((stat) => stat.isDirectory, () => false);
  if (!isFolder) return [path];
  const found: string[] = [];
  for await (const entry of Deno.readDir(path)) {
    if (!entry.isDirectory && CAPTURE.test(entry.name)) {
      found.push(`${path.replace(/\/+$/, "")}/${entry.name}`);
    }
  }
  if (found.length === 0) {
    throw new LabelledCapturesError(
      `${path}: no capture file in this folder (.pcap, .pcapng, .gz)`,
    );
  }
  return found.sort();
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

/**
 * The captures that ship: each folder of `samples` is a label.
 *
 * @throws {LabelledCapturesError} if there are none.
 */
export async function shippedSamples(samples: string): Promise<LabelledCaptures[]> {
  const labels: string[] = [];
  try {
    for await (const entry of Deno.readDir(samples)) {
      if (entry.isDirectory) labels.push(entry.name);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  if (labels.length === 0) {
    throw new LabelledCapturesError(
      `no samples in ${samples}: give captures with --real LABEL=FILE`,
    );
  }
  return await Promise.all(
    labels.sort().map(async (label) => ({
      label,
      captures: await captureFiles(`${samples}/${label}`),
    })),
  );
}
