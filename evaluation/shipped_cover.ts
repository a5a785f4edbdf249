import * as v from "valibot";
import { UserError } from "../base/mod.ts";
import { shippedSamples } from "./labelled_captures.ts";
import type { LabelledCaptures } from "./samples.ts";

/** PROVENANCE.json of recorded cover is not what it should be. */
export class CoverProvenanceError extends UserError {}

/** What has to be known of a recording of cover to judge by it. */
const provenanceSchema = v.looseObject({
  schema: v.literal(1),
  cover: v.array(v.looseObject({
    file: v.pipe(v.string(), v.regex(/^[^/]+\/[^/]+$/)),
    model: v.string(),
    digest: v.string(),
  })),
});

/** Recorded cover that may be judged, and the real traffic of the same minutes. */
export interface ShippedCover {
  /** Recordings by the name of their model, each a run. */
  readonly cover: readonly LabelledCaptures[];
  /** Real traffic recorded beside it, by protocol. */
  readonly real: readonly LabelledCaptures[];
  /** Models of which there are fewer than two runs in the version that is asked for: they are left out. */
  readonly stale: readonly string[];
}

/**
 * Finds recorded cover of `models` (their digests by their names) in a folder that `lab cover` made: cover in
 * `MODEL/`, real traffic in `real/PROTOCOL/`, and PROVENANCE.json, which says what version of a model each recording
 * is of. Nothing where there is no such folder, or no cover of these models.
 *
 * @throws {CoverProvenanceError} if PROVENANCE.json cannot be read.
 */
export async function shippedCover(
  folder: string,
  models: ReadonlyMap<string, string>,
): Promise<ShippedCover> {
  const there = await Deno.stat(folder).then(({ isDirectory }) => isDirectory, () => false);
  if (!there) return { cover: [], real: [], stale: [] };
  const path = `${folder}/PROVENANCE.json`;
  const parsed = v.safeParse(
    provenanceSchema,
    await Deno.readTextFile(path).then(JSON.parse).catch(() => undefined),
  );
  if (!parsed.success) {
    throw new CoverProvenanceError(
      `${path}: not what \`lab cover\` writes: record the cover again, or remove the folder`,
    );
  }
  const digests = new Map(parsed.output.cover.map(({ digest, file }) => [file, digest]));
  const cover: LabelledCaptures[] = [];
  const stale: string[] = [];
  for (const { captures, label } of await shippedSamples(folder)) {
    const wanted = models.get(label);
    if (wanted === undefined) continue;
    const own = captures.filter((capture) =>
      digests.get(`${label}/${String(capture).split("/").at(-1)}`) === wanted
    );
    if (own.length >= 2) cover.push({ label, captures: own });
    else stale.push(label);
  }
  const beside = `${folder}/real`;
  const real = cover.length > 0 && await Deno.stat(beside).then(() => true, () => false)
    ? await shippedSamples(beside)
    : [];
  return { cover, real, stale };
}
