import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { LAB_LINK } from "../../lab/link_profile.ts";
import type { Provenance, SampleProvenance } from "../../lab/record_samples.ts";

/** What the provenance in a folder of samples (with a slash behind it) speaks of. */
export async function listedSamples(folder: string): Promise<readonly SampleProvenance[]> {
  const text = await Deno.readTextFile(`${folder}PROVENANCE.json`);
  return (JSON.parse(text) as Provenance).samples;
}

/** Fails unless a folder's samples are those that are listed, to the byte, and fit in `largest` bytes together. */
export async function checkListed(
  folder: string,
  protocols: readonly string[],
  samples: readonly SampleProvenance[],
  largest: number,
): Promise<void> {
  const found: string[] = [];
  for (const protocol of protocols) {
    for await (const { name } of Deno.readDir(folder + protocol)) found.push(`${protocol}/${name}`);
  }
  assert.deepEqual(found.sort(), samples.map(({ file }) => file));
  for (const { file, sha256, bytes, run, link } of samples) {
    const content = await Deno.readFile(folder + file);
    assert.equal(content.length, bytes, file);
    assert.equal(createHash("sha256").update(content).digest("hex"), sha256, file);
    assert.equal(run.packets.dropped, 0, file);
    assert.deepEqual(link, LAB_LINK, file);
  }
  assert.ok(samples.reduce((sum, { bytes }) => sum + bytes, 0) <= largest);
}
