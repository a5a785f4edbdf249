import { UserError } from "../base/mod.ts";
import type { LabelledCaptures } from "../evaluation/samples.ts";

/** A folder of rounds that is not laid out as one. */
export class RoundFolderError extends UserError {}

const CAPTURE = /^(.+?)\.(pcap|pcapng|cap|snoop)(\.gz)?$/i;
const ROUND = /^round[-_ ]?\d+$/i;

/**
 * The captures of a folder of rounds, `DIR/round-K/APP.pcap.gz`: each is a round of the application whose
 * name it has.
 *
 * @throws {RoundFolderError} if there is no such folder, or it has no rounds.
 */
export async function roundCaptures(folder: string): Promise<LabelledCaptures[]> {
  const byName = new Map<string, string[]>();
  let rounds = 0;
  try {
    for (const round of await entries(folder)) {
      if (!round.isDirectory || !ROUND.test(round.name)) continue;
      rounds++;
      for (const entry of await entries(`${folder}/${round.name}`)) {
        const name = entry.isDirectory ? undefined : CAPTURE.exec(entry.name)?.[1];
        if (name === undefined) continue;
        const path = `${folder}/${round.name}/${entry.name}`;
        byName.set(name, [...byName.get(name) ?? [], path]);
      }
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory)) {
      throw error;
    }
    throw new RoundFolderError(`--rounds ${folder}: there is no such folder`);
  }
  if (byName.size === 0) {
    throw new RoundFolderError(
      rounds === 0
        ? `--rounds ${folder}: no folder round-1, round-2, ... in it`
        : `--rounds ${folder}: no captures in its rounds, such as round-1/video.pcap.gz`,
    );
  }
  return [...byName].sort(([a], [b]) => a < b ? -1 : 1)
    .map(([label, captures]) => ({ label, captures }));
}

async function entries(folder: string): Promise<Deno.DirEntry[]> {
  const found: Deno.DirEntry[] = [];
  for await (const entry of Deno.readDir(folder)) found.push(entry);
  return found.sort((a, b) => a.name < b.name ? -1 : 1);
}
