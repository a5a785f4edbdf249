import assert from "node:assert/strict";
import fc from "fast-check";
import type { Verdicts } from "../../plugins/attack.ts";
import {
  checkNotes,
  checkVerdicts,
  limitsOf,
  loadAttack,
  PluginError,
  sandboxedAttack,
  startInWorker,
} from "../../plugins/mod.ts";
import { threeClasses } from "./made_samples.ts";

const hasPrlimit = await new Deno.Command("prlimit", { args: ["--version"], stdout: "null" })
  .output().then(({ success }) => success, () => false);

function verdicts(count: number): Verdicts {
  return {
    labels: new Int32Array(count),
    confidence: new Float64Array(count),
    anomaly: new Float64Array(count),
  };
}

Deno.test("verdicts are accepted exactly if each is a class or -1 and each number makes sense", () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({
        label: fc.integer({ min: -3, max: 4 }),
        sure: fc.double({ min: -0.2, max: 1.2 }),
        strange: fc.double(),
      })),
      (rows) => {
        const given = {
          labels: Int32Array.from(rows, ({ label }) => label),
          confidence: Float64Array.from(rows, ({ sure }) => sure),
          anomaly: Float64Array.from(rows, ({ strange }) => strange),
        };
        const good = rows.every(({ label, sure, strange }) =>
          label >= -1 && label < 3 && sure >= 0 && sure <= 1 && Number.isFinite(strange)
        );
        const check = () => checkVerdicts("p", given, rows.length, 3);
        if (good) assert.deepEqual(check(), given);
        else assert.throws(check, PluginError);
      },
    ),
  );
});

Deno.test("verdicts of another length or type are refused", () => {
  assert.throws(() => checkVerdicts("p", { ...verdicts(2) }, 3, 1), /2 of labels for 3 samples/);
  assert.throws(
    () => checkVerdicts("p", { ...verdicts(3), anomaly: new Float64Array(4) }, 3, 1),
    /4 of anomaly for 3 samples/,
  );
  assert.throws(() => checkVerdicts("p", { ...verdicts(3), labels: [0, 0, 0] }, 3, 1), PluginError);
  assert.throws(() => checkVerdicts("p", {}, 3, 1), PluginError);
});

Deno.test("notes lose what would harm a terminal and keep the rest", () => {
  assert.deepEqual(checkNotes("p", { k: 3, on: true, text: "a\x1b[31mb\nc", list: ["x", 1] }), {
    k: 3,
    on: true,
    text: "ab",
    list: ["x", 1],
  });
  assert.throws(() => checkNotes("p", { deep: { a: 1 } }), PluginError);
  assert.throws(
    () => checkNotes("p", Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`n${i}`, i]))),
    PluginError,
  );
});

Deno.test("an unknown name is answered with the names there are", async () => {
  await assert.rejects(
    loadAttack("nearest"),
    /^PluginError: plugin nearest: unknown \(built in are first-messages, gradient-boosting, kmeans, knn, random-forest;/,
  );
  await assert.rejects(loadAttack("toString"), /unknown/);
});

Deno.test("one of our own takes neither a digest nor limits, rather than ignore them", async () => {
  await assert.rejects(loadAttack("knn", { integrity: "sha256-00" }), /one of our own/);
  await assert.rejects(loadAttack("knn", { limits: limitsOf([]) }), /one of our own/);
});

Deno.test("limits are set by name, within bounds", () => {
  const limits = limitsOf(["memory=1024", "cpu=5", "load=3", "log=2", "train=1.5", "classify=2"]);
  assert.deepEqual(limits, {
    sandbox: { memory: 2 ** 30, cpu: 5, load: 3000, log: 2048 },
    train: 1500,
    classify: 2000,
  });
  for (const bad of ["memory", "memory=", "memory=1", "toString=3", "train=x", "cpu=0"]) {
    assert.throws(() => limitsOf([bad]), /^UsageError: --limit /);
  }
});

for (const name of ["knn", "kmeans", "random-forest"]) {
  Deno.test(`${name} runs in a worker, again and again, and says the same`, async () => {
    const samples = threeClasses(1);
    const program = await loadAttack(name);
    const answers: Verdicts[] = [];
    for (let run = 0; run < 2; run++) {
      await using attack = await program.start();
      const parameters: Record<string, number> = name === "random-forest" ? { trees: 20 } : {};
      await attack.train(samples, { seed: 5, parameters });
      answers.push(await attack.classify(samples));
    }
    assert.deepEqual(answers[0], answers[1]);
  });

  Deno.test(`${name} refuses a parameter that it does not have`, async () => {
    await using attack = await (await loadAttack(name)).start();
    await assert.rejects(
      attack.train(threeClasses(1), { seed: 1, parameters: { bogus: 1 } }),
      new RegExp(`plugin ${name}: there is no parameter "bogus"`),
    );
  });
}

Deno.test("a worker without the attack says so", async () => {
  const module = new URL("../../plugins/built_in_worker.ts", import.meta.url);
  await assert.rejects(startInWorker("none", module), /no attack none/);
});

/** An attack by others from `fields` of its default export. */
function foreign(fields: string) {
  return sandboxedAttack({
    specifier: "foreign.ts",
    code: new TextEncoder().encode(
      `export default { contract: 1, name: "foreign", reads: "features",
      train: () => ({ fine: true }),
      classify: ({ count }) => ({ labels: new Int32Array(count), confidence: new Float64Array(count),
        anomaly: new Float64Array(count) }), ${fields} };`,
    ),
    sha256: "0".repeat(64),
  });
}

function foreignTest(name: string, body: () => Promise<void>): void {
  Deno.test({ name, ignore: !hasPrlimit, fn: body });
}

foreignTest("an attack by others trains, judges and answers in columns", async () => {
  const samples = threeClasses(2);
  await using attack = await foreign("").start();
  assert.equal(attack.name, "foreign");
  assert.deepEqual(await attack.train(samples, { seed: 1, parameters: {} }), { fine: true });
  const { labels } = await attack.classify(samples);
  assert.deepEqual(labels, new Int32Array(samples.count));
});

foreignTest("a judge sees no labels and no captures", async () => {
  const spy = foreign(`classify: (samples) => {
    if ("labels" in samples || "groups" in samples) throw new Error("it sees the truth");
    return { labels: new Int32Array(samples.count), confidence: new Float64Array(samples.count),
      anomaly: new Float64Array(samples.count) };
  }`);
  await using attack = await spy.start();
  const samples = threeClasses(3);
  await attack.train(samples, { seed: 1, parameters: {} });
  await attack.classify(samples);
});

const BAD_MANIFESTS: Record<string, RegExp> = {
  "contract: 2": /contract 2, and 1 is known/,
  "name: 'Not A Name'": /its name is not/,
  "reads: 'everything'": /what it reads/,
  "train: 3": /no train\(\)/,
};

for (const [fields, says] of Object.entries(BAD_MANIFESTS)) {
  foreignTest(`a default export with ${fields} is refused`, async () => {
    await assert.rejects(foreign(fields).start(), says);
  });
}

const BAD_ANSWERS: Record<string, RegExp> = {
  "labels: new Int32Array(count - 1)": /labels for 180 samples/,
  "labels: new Int32Array(count).fill(3)": /label 3 for sample 0, outside -1 to 2/,
  "labels: new Int32Array(count).fill(-2)": /label -2/,
  "confidence: new Float64Array(count).fill(NaN)": /confidence NaN/,
  "confidence: new Float64Array(count).fill(2)": /confidence 2/,
  "anomaly: new Float64Array(count).fill(Infinity)": /anomaly Infinity/,
  "anomaly: new Float32Array(count)": /anomaly that is no Float64Array/,
  "labels: undefined": /labels that are no Int32Array/,
};

for (const [column, says] of Object.entries(BAD_ANSWERS)) {
  foreignTest(`verdicts with ${column} are refused`, async () => {
    const program = foreign(`classify: ({ count }) => ({ labels: new Int32Array(count),
      confidence: new Float64Array(count), anomaly: new Float64Array(count), ${column} })`);
    await using attack = await program.start();
    const samples = threeClasses(4);
    await attack.train(samples, { seed: 1, parameters: {} });
    await assert.rejects(attack.classify(samples), says);
  });
}
