import assert from "node:assert/strict";
import { main } from "../../cli/main.ts";
import { CONTENT_SIZES, halvesOf, planContent } from "../../evaluation/content/mod.ts";
import type { Job } from "../../evaluation/experiments/jobs.ts";
import type { EvaluationResult } from "../../report/evaluation_result.ts";

Deno.test("content: captures are halved by folder, or file by file, and no run is in both halves", () => {
  assert.deepEqual(halvesOf(["r2/a", "r1/a", "r1/b", "r3/a"]), [["r2/a", "r1/a", "r1/b"], [
    "r3/a",
  ]]);
  assert.deepEqual(halvesOf(["x/b", "x/a", "x/c"]), [["x/b", "x/a"], ["x/c"]]);
  assert.deepEqual(halvesOf([]), [[], []]);
});

Deno.test("content: every disguise is asked about pages and users; connections need real https", () => {
  const plan = (real: readonly string[]) => {
    const jobs: Job[] = [];
    const planned = planContent({
      models: ["https", "ssh"],
      real: real.map((label) => ({ label, captures: [`${label}-1`, `${label}-2`] })),
      learned: [],
      tls: [],
      sizes: CONTENT_SIZES.full,
      seed: 1,
    }, (job) => jobs.push(job) - 1);
    return { jobs, planned };
  };
  const { jobs, planned } = plan(["https", "ssh"]);
  assert.equal(planned.pages.length, 2 + 2 * 3);
  assert.equal(planned.users.length, planned.pages.length);
  const job = jobs[planned.connections!]!;
  assert.ok(job.kind === "content-connections");
  assert.deepEqual(job.args.plain, [["https-1"], ["https-2"]]);
  // Whatever a model claims: here all of them are played inside TLS.
  assert.equal(job.args.disguises.length, 3 + 2 * 3);
  assert.equal(new Set(jobs.map(({ name }) => name)).size, jobs.length);
  assert.equal(plan(["ssh"]).planned.connections, undefined);
});

Deno.test("content: report, tables and JSON by one command, nothing done twice", async () => {
  const out = await Deno.makeTempDir({ prefix: "content-" });
  try {
    const args = [
      "content",
      "--quick",
      "--model",
      "constant-rate",
      "--pages",
      "2",
      "--visits",
      "1",
    ];
    args.push("--runs", "2", "--workers", "1", "--out", out);
    assert.equal(await main(args), 0);
    const result: EvaluationResult = JSON.parse(await Deno.readTextFile(`${out}/result.json`));
    const [section] = result.sections;
    assert.equal(section!.title, "Content: what shows of what is carried");
    assert.equal(section!.tables.length, 6);
    assert.ok((await Deno.readTextFile(`${out}/report.html`)).includes("k-FP"));
    assert.ok((await Deno.readTextFile(`${out}/tables.txt`)).includes("Keys typed"));
    const times = async () => {
      const found: [string, number][] = [];
      for await (const { name } of Deno.readDir(`${out}/experiments`)) {
        found.push([name, (await Deno.stat(`${out}/experiments/${name}`)).mtime!.getTime()]);
      }
      return found.sort();
    };
    const before = await times();
    assert.equal(await main(args), 0);
    assert.deepEqual(await times(), before);
    assert.equal(await main(["content", "--runs", "1"]), 2);
  } finally {
    await Deno.remove(out, { recursive: true });
  }
});
