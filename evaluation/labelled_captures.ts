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
  const found = await capturesIn(path);
  if (found.length === 0) {
    throw new LabelledCapturesError(
      `${path}: no capture file in this folder (.pcap, .pcapng, .gz)`,
    );
  }
  return found;
}

/** The capture files in a folder, by name. */
async function capturesIn(folder: string): Promise<string[]> {
  const found: string[] = [];
  for await (const entry of Deno.readDir(folder)) {
    if (!entry.isDirectory && CAPTURE.test(entry.name)) {
      found.push(`${folder.replace(/\/+$/, "")}/${entry.name}`);
    }
  }
  return found.sort();
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

/**
 * The captures that ship: each folder of `samples` that holds captures is a label. One that holds folders of captures
 * is something else's (the applications that the classifier learns).
 *
 * @throws {LabelledCapturesError} if there are none.
 */
export async function shippedSamples(samples: string): Promise<LabelledCaptures[]> {
  const found: LabelledCaptures[] = [];
  try {
    for await (const { isDirectory, name: label } of Deno.readDir(samples)) {
      if (!isDirectory) continue;
      const captures = await capturesIn(`${samples}/${label}`);
      if (captures.length > 0) found.push({ label, captures });
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  if (found.length === 0) {
    throw new LabelledCapturesError(
      `no samples in ${samples}: give captures with --real LABEL=FILE`,
    );
  }
  return found.sort((a, b) => a.label < b.label ? -1 : 1);
}
