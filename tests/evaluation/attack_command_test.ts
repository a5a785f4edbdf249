import assert from "node:assert/strict";
import { withMadeCaptures } from "./made_captures.ts";
import { ROOT, runDeno, type Said } from "../support/run_deno.ts";

const hasPrlimit = await new Deno.Command("prlimit", { args: ["--version"], stdout: "null" })
  .output().then(({ success }) => success, () => false);

/** Runs the task as a user does, with the task's own permissions. */
function attack(...args: string[]): Promise<Said> {
  return runDeno(["task", "--quiet", "attack", ...args]);
}

const REAL = (folder: string) => [
  "--real",
  `browsing=${folder}/browsing/run-1.pcap`,
  `${folder}/browsing/run-2.pcap`,
  `${folder}/browsing/run-3.pcap`,
  "--real",
  `typing=${folder}/typing`,
];

Deno.test("deno task attack prints one JSON object with what was found", async () => {
  await withMadeCaptures(async (folder) => {
    const { code, out, err } = await attack(
      ...REAL(folder),
      "--cover",
      `browsing=${folder}/browsing/run-1.pcap`,
      "--cover",
      `constant-rate=${folder}/constant.pcap`,
      "--json",
    );
    assert.equal(code, 0, err);
    const result = JSON.parse(out);
    assert.equal(result.crossValidation.n, 72);
    assert.ok(result.crossValidation.accuracy > 0.8, String(result.crossValidation.accuracy));
    assert.deepEqual(result.real.labels.typing, { n: 36, captures: 3 });
    assert.ok(result.cover.browsing.asClaimed > 0.9);
    assert.equal(result.cover["constant-rate"].asClaimed, 0);
    assert.equal(typeof result.cover["constant-rate"].unknown, "number");
    assert.equal(result.plugin.name, "knn");
  });
});

Deno.test("kmeans flags constant rate among what real traffic looks like", async () => {
  await withMadeCaptures(async (folder) => {
    const { code, out, err } = await attack(
      "--plugin",
      "kmeans",
      ...REAL(folder),
      "--cover",
      `constant-rate=${folder}/constant.pcap`,
      "--json",
    );
    assert.equal(code, 0, err);
    const { cover, crossValidation } = JSON.parse(out);
    assert.equal(cover["constant-rate"].unknown, 1);
    assert.ok(crossValidation.coverage > 0.9, String(crossValidation.coverage));
  });
});

Deno.test({
  name: "the guide's attack runs as it stands, and --integrity pins it",
  ignore: !hasPrlimit,
  async fn() {
    const guide = await Deno.readTextFile(`${ROOT}docs/writing_an_attack.md`);
    const code = /```ts\n([\s\S]*?)```/.exec(guide)![1]!;
    await withMadeCaptures(async (folder) => {
      const path = `${folder}/my_attack.ts`;
      await Deno.writeTextFile(path, code);
      const run = await attack("--plugin", path, ...REAL(folder), "--set", "reach=6", "--json");
      assert.equal(run.code, 0, run.err);
      const result = JSON.parse(run.out);
      assert.equal(result.plugin.name, "nearest-centroid");
      assert.equal(result.training.reach, 6);
      assert.ok(result.crossValidation.accuracy > 0.8, String(result.crossValidation.accuracy));
      assert.match(result.plugin.sha256, /^[0-9a-f]{64}$/);
      const pinned = await attack(
        ...["--plugin", path, ...REAL(folder), "--integrity", `sha256-${result.plugin.sha256}`],
      );
      assert.equal(pinned.code, 0, pinned.err);
      assert.match(pinned.out, new RegExp(`source sha256-${result.plugin.sha256}`));
      const integrity = `sha256-${"0".repeat(64)}`;
      const refused = await attack("--plugin", path, ...REAL(folder), "--integrity", integrity);
      assert.equal(refused.code, 1);
      assert.match(refused.err, /nothing was run/);
    });
  },
});

Deno.test("bad input and wrong usage get one clear line and an exit code", async () => {
  await withMadeCaptures(async (folder) => {
    const whole = await Deno.readFile(`${folder}/constant.pcap`);
    await Deno.writeFile(`${folder}/cut.pcap`, whole.slice(0, 5000));
    await Deno.writeFile(`${folder}/none.pcap`, whole.slice(0, 24));
    await Deno.writeTextFile(`${folder}/text.pcap`, "not a capture\n");
    await Deno.writeTextFile(`${folder}/empty.pcap`, "");
    await Deno.writeTextFile(
      `${folder}/throws.ts`,
      `export default { contract: 1, name: "throws", reads: "features",
        train() { throw new Error("not today") }, classify() {} };`,
    );
    const cases: [args: string[], code: number, says: RegExp][] = [
      [["--cover", `x=${folder}/cut.pcap`], 1, /cut\.pcap: /],
      [["--cover", `x=${folder}/none.pcap`], 1, /no usable connection for x/],
      [["--cover", `x=${folder}/text.pcap`], 1, /text\.pcap: /],
      [["--cover", `x=${folder}/empty.pcap`], 1, /empty\.pcap: /],
      [["--cover", `x=${folder}/missing.pcap`], 1, /missing\.pcap: /],
      [["--plugin", "nobody"], 1, /plugin nobody: unknown/],
      [["--plugin", `${folder}/missing.ts`], 1, /no such file/],
      [["--set", "k=-1"], 1, /k is an integer/],
      [["--set", "k"], 2, /NAME=NUMBER/],
      [["--seed", "many"], 2, /--seed many/],
      [["--handshake", "maybe"], 2, /--handshake maybe/],
      [["--cover", "file.pcap"], 2, /LABEL=FILE/],
      [["--nothing"], 2, /unknown option/],
    ];
    if (hasPrlimit) cases.push([["--plugin", `${folder}/throws.ts`], 1, /train: Error: not today/]);
    await Promise.all(cases.map(async ([args, code, says]) => {
      const run = await attack(...REAL(folder), ...args, "--json");
      assert.match(run.err, /^error: [^\n]+\n$/);
      assert.match(run.err, says);
      assert.equal(run.code, code, run.err);
      assert.equal(run.out, "");
    }));
  });
});

Deno.test("without prlimit, code by others does not run, and the line says what is missing", async () => {
  await withMadeCaptures(async (folder) => {
    const path = `${folder}/other.ts`;
    await Deno.writeTextFile(path, "export default {};");
    const flags = ["run", "--no-prompt", "--allow-read", `--allow-run=${Deno.execPath()}`];
    const { code, err } = await runDeno([
      ...[...flags, "--allow-env=NO_COLOR,FORCE_COLOR,CLICOLOR_FORCE", "cli/main.ts", "attack"],
      ...["--plugin", path, ...REAL(folder)],
    ]);
    assert.equal(code, 1);
    assert.match(err, /^error: .*only under `prlimit`.*\n$/);
  });
});
