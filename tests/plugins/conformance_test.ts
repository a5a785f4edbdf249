import assert from "node:assert/strict";
import { BUILTIN_MODELS } from "../../models/mod.ts";
import { BUILT_IN_ATTACKS, conformance, templateOf, writeTemplate } from "../../plugins/mod.ts";
import { inFolder } from "../support/folder.ts";
import { ROOT, runDeno } from "../support/run_deno.ts";

const hasPrlimit = await new Deno.Command("prlimit", { args: ["--version"], stdout: "null" })
  .output().then(({ success }) => success, () => false);

/** The failed checks of a plugin. */
async function wrongOf(specifier: string): Promise<string[]> {
  const { checks } = await conformance(specifier);
  assert.ok(checks.length >= 5);
  return checks.flatMap(({ name, wrong }) => wrong === undefined ? [] : [`${name}: ${wrong}`]);
}

for (const name of Object.keys(BUILT_IN_ATTACKS)) {
  Deno.test(`our own attack ${name} passes the conformance kit`, async () => {
    assert.deepEqual(await wrongOf(name), []);
  });
}

Deno.test("our own models pass the conformance kit", async () => {
  // A model that hides nothing has no plans to check.
  for (const name of BUILTIN_MODELS.filter((name) => name !== "bulk")) {
    assert.deepEqual(await wrongOf(name), [], name);
  }
});

function sandboxTest(name: string, body: () => Promise<void>): void {
  Deno.test({ name: `${name} (needs prlimit)`, ignore: !hasPrlimit, fn: body });
}

for (const kind of ["attack", "model"] as const) {
  sandboxTest(
    `a new ${kind} passes its own test and the conformance kit, anywhere`,
    () =>
      inFolder(async (folder) => {
        const files = await writeTemplate(kind, "two-words", `${folder}/new`);
        assert.deepEqual(files, ["two_words.ts", "two_words_test.ts", "contract.ts"]);
        const { code, out } = await runDeno(["test", "--no-remote", "--no-npm"], {
          cwd: `${folder}/new`,
        });
        assert.equal(code, 0, out);
        assert.match(out, /2 passed/);
        assert.deepEqual(await wrongOf(`${folder}/new/two_words.ts`), []);
      }),
  );
}

Deno.test("a template is never written over something", () =>
  inFolder(async (folder) => {
    await Deno.mkdir(`${folder}/here`);
    await assert.rejects(writeTemplate("model", "x", `${folder}/here`), /is there already/);
    await assert.rejects(writeTemplate("model", "x", `${folder}/a/b`), /does not exist/);
    await assert.rejects(templateOf("attack", "Upper Case"), /^UsageError: /);
  }));

const BAD_ATTACK = `let calls = 0;
export default { contract: 1, name: "bad", reads: "features",
  train() { return {} },
  classify({ count }) {
    calls++;
    return { labels: new Int32Array(count), confidence: new Float64Array(count).fill(Math.random()),
      anomaly: new Float64Array(count).fill(calls) };
  } };`;
const BAD_MODEL = `let calls = 0;
export default { contract: 1, plugin: "model", name: "bad", protocol: "https", carrier: "tls",
  episode: () => ({ starts: [0] }),
  connection: () => ({ exchanges: [{ request: { type: "data", size: 23 + calls++ % 3, time: 0 },
    response: [] }], close: { by: "client", how: "fin", time: 0 } }) };`;

sandboxTest("what does not conform is told check by check", () =>
  inFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/attack.ts`, BAD_ATTACK);
    const attack = (await wrongOf(`${folder}/attack.ts`)).join("\n");
    assert.match(attack, /same seed gives the same verdicts.*: confidence of sample 0 is/);
    assert.match(attack, /judged again: .*/);
    assert.match(attack, /half of them or more\): 20 of 60/);
    assert.match(attack, /took the parameter no-such-parameter/);
    await Deno.writeTextFile(`${folder}/model.ts`, BAD_MODEL);
    const model = (await wrongOf(`${folder}/model.ts`)).join("\n");
    assert.match(model, /in any order: connection \d+ was another one/);
    assert.match(model, /episodes, and no sessions/);
  }));

sandboxTest(
  "the command makes a plugin, tests it, and fails where a check does",
  () =>
    inFolder(async (folder) => {
      const run = (...args: string[]) =>
        runDeno(["run", "--no-prompt", "-A", `${ROOT}cli/main.ts`, "plugin", ...args], {
          cwd: folder,
        });
      const made = await run("new", "model", "mine");
      assert.equal(made.code, 0, made.err);
      const tested = await run("test", "./mine/mine.ts");
      assert.equal(tested.code, 0, tested.out + tested.err);
      assert.match(tested.out, /^model mine\nsource sha256-[0-9a-f]{64}\nok /);
      await Deno.writeTextFile(`${folder}/bad.ts`, BAD_MODEL);
      const failed = await run("test", "./bad.ts");
      assert.equal(failed.code, 1);
      assert.match(failed.err, /^error: \.\/bad\.ts: 2 of 5 checks failed\n$/m);
      const wrong = await run("new", "carrier", "x");
      assert.equal(wrong.code, 2);
    }),
);
