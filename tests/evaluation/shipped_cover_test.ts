import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import { readConnections } from "../../capture/mod.ts";
import { CoverProvenanceError, shippedCover } from "../../evaluation/mod.ts";
import { readTransfers } from "../../evaluation/recorded_transfers.ts";
import { planJobs } from "../../evaluation/experiments/plan.ts";
import { namesIn } from "../../evaluation/experiments/run.ts";
import { loadModel } from "../../models/mod.ts";
import { withMadeCaptures } from "./made_captures.ts";

const [OLD, NEW] = ["ab".repeat(32), "cd".repeat(32)];

Deno.test("recorded cover is taken of the models that are asked for, in the version that is asked for", () =>
  withMadeCaptures(async (folder) => {
    const cover = `${folder}/cover`;
    const nothing = { cover: [], real: [], stale: [] };
    assert.deepEqual(await shippedCover(cover, new Map([["https", NEW]])), nothing);
    for (const [from, to] of [["browsing", "https"], ["typing", "ssh"], ["typing", "real/ssh"]]) {
      await Deno.mkdir(`${cover}/${to}`, { recursive: true });
      for await (const { name } of Deno.readDir(`${folder}/${from}`)) {
        await Deno.copyFile(`${folder}/${from}/${name}`, `${cover}/${to}/${name}`);
      }
    }
    const files = async (name: string) =>
      (await Array.fromAsync(Deno.readDir(`${cover}/${name}`), (one) => `${name}/${one.name}`))
        .sort();
    await assert.rejects(
      shippedCover(cover, new Map([["https", NEW]])),
      (error) => error instanceof CoverProvenanceError && /PROVENANCE\.json/.test(error.message),
    );
    await Deno.writeTextFile(
      `${cover}/PROVENANCE.json`,
      JSON.stringify({
        schema: 1,
        cover: [
          ...(await files("https")).map((file) => ({ file, model: "https", digest: NEW })),
          ...(await files("ssh")).map((file) => ({ file, model: "ssh", digest: OLD })),
        ],
      }),
    );
    const found = await shippedCover(cover, new Map([["https", NEW], ["ssh", NEW], ["smtp", NEW]]));
    assert.deepEqual(found.cover, [
      { label: "https", captures: (await files("https")).map((file) => `${cover}/${file}`) },
    ]);
    assert.deepEqual(found.stale, ["ssh"]);
    assert.deepEqual(found.real.map(({ label }) => label), ["ssh"]);
    // One run leaves none to be held out.
    const [, ...others] = await files("https");
    for (const file of others) await Deno.remove(`${cover}/${file}`);
    assert.deepEqual((await shippedCover(cover, new Map([["https", NEW]]))).stale, ["https"]);
    // Without cover of these models there is nothing that the real traffic stands beside.
    assert.deepEqual(await shippedCover(cover, new Map([["smtp", NEW]])), nothing);
  }));

const samples = fileURLToPath(new URL("../../samples", import.meta.url));

interface Listed {
  readonly file: string;
  readonly sha256: string;
  readonly bytes: number;
  readonly model: string;
  readonly digest: string;
  readonly connections: number;
  readonly packets: { readonly dropped: number };
}

/** The cover that ships; none where samples/cover is left out. */
async function listed(): Promise<readonly Listed[]> {
  try {
    const text = await Deno.readTextFile(`${samples}/cover/PROVENANCE.json`);
    return (JSON.parse(text) as { readonly cover: readonly Listed[] }).cover;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/** Most that recorded cover and the real traffic beside it may weigh. */
const LARGEST = 6_000_000;

Deno.test("the cover that ships is what its provenance says, whole, and fits", async () => {
  let bytes = 0;
  for (const one of await listed()) {
    const path = `${samples}/cover/${one.file}`;
    const content = await Deno.readFile(path);
    bytes += content.length;
    assert.equal(createHash("sha256").update(content).digest("hex"), one.sha256, one.file);
    assert.equal(one.packets.dropped, 0, one.file);
    let whole = 0;
    await readConnections(path, {
      onConnection: ({ end, start }) => {
        if (start === "syn" && (end.how === "fin" || end.how === "rst")) whole++;
      },
    });
    assert.equal(whole, one.connections, one.file);
  }
  for (const protocol of ["https", "smtp", "ssh"]) {
    const folder = `${samples}/cover/real/${protocol}`;
    const there = await Deno.stat(folder).then(() => true, () => false);
    if (!there) continue;
    for await (const { name } of Deno.readDir(folder)) {
      bytes += (await Deno.stat(`${folder}/${name}`)).size;
    }
  }
  assert.ok(bytes <= LARGEST, `${bytes} bytes`);
});

Deno.test("the cover that ships is of the models that ship, and an evaluation takes all of it", async () => {
  const models = new Map<string, string>();
  for (const { model } of await listed()) {
    models.set(model, (await loadModel(model)).description.digest);
  }
  const { cover, stale } = await shippedCover(`${samples}/cover`, models);
  assert.deepEqual(stale, [], "recorded before these models were learned: record it again");
  assert.deepEqual(cover.map(({ label }) => label).sort(), [...models.keys()].sort());
});

Deno.test("the transfers that ship can be read, and have both directions of each model on each link", async () => {
  const { transfers } = await readTransfers(`${samples}/transfers.json`);
  assert.ok(transfers.length >= 160);
  const ways = new Map<string, Set<string>>();
  for (const { from, link, model } of transfers) {
    ways.set(model, (ways.get(model) ?? new Set()).add(`${link} ${from}`));
  }
  for (const [model, found] of ways) assert.equal(found.size, 4, model);
});

Deno.test("real traffic of other hours goes to the seed's attacks and to no other", () => {
  const of = (...captures: string[]) => [{ label: "https", captures }];
  const { jobs } = planJobs({
    real: of("now-1", "now-2"),
    moreReal: of("then-1"),
    learned: of("learned-1"),
    recorded: [],
    models: [{ model: "https", claims: "https" }],
    content: false,
    quick: true,
    seed: 1,
  });
  const reads = jobs.filter(({ args }) => namesIn(args).has("then-1")).map(({ kind }) => kind);
  assert.deepEqual(reads, ["seed-attacks"]);
});
