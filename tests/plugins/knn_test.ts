import assert from "node:assert/strict";
import type { LabelledSamples, Verdicts } from "../../plugins/attack.ts";
import { Draws } from "../../plugins/attacks/draws.ts";
import knn from "../../plugins/attacks/knn.ts";
import { makeSamples, threeClasses } from "./made_samples.ts";
import { selectSamples } from "../../evaluation/samples.ts";

async function run(
  train: LabelledSamples,
  test: LabelledSamples,
  parameters: Record<string, number> = {},
): Promise<Verdicts> {
  await knn.train(train, { seed: 1, parameters });
  return await knn.classify(test);
}

function accuracy(labels: Int32Array, truth: Uint16Array): number {
  return labels.filter((label, i) => label === truth[i]).length / truth.length;
}

Deno.test("knn tells classes apart and what it has never seen from both", async () => {
  const train = threeClasses(1);
  const test = threeClasses(2);
  const { labels } = await run(train, test);
  assert.ok(accuracy(labels, test.labels) > 0.9, String(accuracy(labels, test.labels)));
  const alien = makeSamples(
    [{ name: "alien", centre: [5000, 5000, 500], width: 10, captures: 1, each: 50 }],
    3,
  );
  const verdicts = await run(train, alien);
  assert.deepEqual([...verdicts.labels], new Array(50).fill(-1));
  assert.ok(verdicts.anomaly.every((strange) => strange > 1));
});

Deno.test("knn is the brute-force definition: weights 1/d, unknown beyond t times m_k", async () => {
  const train = threeClasses(4, 4);
  const test = threeClasses(5, 4);
  const [k, t] = [5, 0.2];
  const { labels, confidence, anomaly } = await run(train, test, { k, t, log: 0, eigen: 0 });
  const width = train.featureNames.length;
  const column = (samples: LabelledSamples, i: number, j: number) =>
    samples.features[i * width + j]!;
  const stats = Array.from({ length: width }, (_, j) => {
    const all = Array.from({ length: train.count }, (_, i) => column(train, i, j));
    const mean = all.reduce((a, b) => a + b, 0) / all.length;
    return { mean, sd: Math.sqrt(all.reduce((a, b) => a + (b - mean) ** 2, 0) / all.length) };
  });
  const z = (samples: LabelledSamples, i: number) =>
    stats.map(({ mean, sd }, j) => (column(samples, i, j) - mean) / sd);
  const distance = (a: number[], b: number[]) => Math.hypot(...a.map((value, j) => value - b[j]!));
  const points = Array.from({ length: train.count }, (_, i) => z(train, i));
  const radius = train.labelNames.map((_, label) => {
    const own = points.filter((_, i) => train.labels[i] === label);
    const centre = stats.map((_, j) => own.reduce((sum, p) => sum + p[j]!, 0) / own.length);
    return Math.max(...own.map((p) => distance(p, centre)));
  });
  for (let i = 0; i < test.count; i++) {
    const near = points.map((p, row) => ({ d: distance(p, z(test, i)), label: train.labels[row]! }))
      .sort((a, b) => a.d - b.d).slice(0, k);
    const votes = train.labelNames.map((_, label) =>
      near.reduce((sum, n) => sum + (n.label === label ? 1 / n.d : 0), 0)
    );
    const best = votes.indexOf(Math.max(...votes));
    const share = votes[best]! / votes.reduce((a, b) => a + b, 0);
    const strange = near[0]!.d / (t * radius[best]!);
    assert.ok(Math.abs(strange - anomaly[i]!) < 1e-9);
    assert.ok(Math.abs(share - confidence[i]!) < 1e-9);
    assert.equal(labels[i], strange > 1 ? -1 : best);
  }
});

Deno.test("the order of the training samples does not change a verdict", async () => {
  const train = threeClasses(6);
  const test = threeClasses(7);
  const first = await run(train, test);
  for (const seed of [1, 2]) {
    const order = new Draws(seed).shuffle(Array.from({ length: train.count }, (_, i) => i));
    const other = await run(selectSamples(train, order), test);
    assert.deepEqual(other.labels, first.labels);
    assert.ok(other.anomaly.every((value, i) => Math.abs(value - first.anomaly[i]!) < 1e-9));
  }
});

Deno.test("the order of the judged samples does not change their verdicts", async () => {
  const train = threeClasses(6);
  const test = threeClasses(7);
  const { labels } = await run(train, test);
  const order = new Draws(9).shuffle(Array.from({ length: test.count }, (_, i) => i));
  const other = await run(train, selectSamples(test, order));
  assert.deepEqual(other.labels, Int32Array.from(order, (i) => labels[i]!));
});

Deno.test("a sample that is in the training set is never unknown", async () => {
  const train = threeClasses(8);
  const { labels, anomaly } = await run(train, train, { k: 1, t: 0.001 });
  assert.deepEqual([...labels], [...train.labels]);
  assert.ok(anomaly.every((strange) => strange === 0));
});

Deno.test("tuning turns away few of the known and reports what it did", async () => {
  const notes = await knn.train(threeClasses(10), { seed: 1, parameters: {} });
  assert.ok(Number(notes.k) >= 1 && Number(notes.t) > 0);
  assert.equal(notes.tuning, "5 folds by capture");
  assert.deepEqual(notes.droppedFeatures, []);
  const test = threeClasses(11);
  const { labels } = await knn.classify(test);
  const turnedAway = labels.filter((label) => label < 0).length / test.count;
  assert.ok(turnedAway < 0.15, String(turnedAway));
});

Deno.test("a degenerate feature is dropped and named", async () => {
  const samples = threeClasses(12);
  const features = new Float64Array(samples.count * 5);
  for (let i = 0; i < samples.count; i++) {
    const own = samples.features.subarray(i * 3, i * 3 + 3);
    features.set([...own, 4, own[0]! * 2], i * 5);
  }
  const notes = await knn.train(
    { ...samples, features, featureNames: ["a", "b", "c", "constant", "twiceA"] },
    { seed: 1, parameters: { log: 0 } },
  );
  const dropped = notes.droppedFeatures as string[];
  assert.ok(dropped.includes("constant"));
  assert.ok(dropped.includes("a") || dropped.includes("twiceA"));
  assert.equal(dropped.length, 2);
});

Deno.test("one class, or one capture, is enough to run", async () => {
  const one = makeSamples([{ name: "a", centre: [1, 2], width: 1, captures: 1, each: 12 }], 1);
  const { labels } = await run(one, one);
  assert.ok(labels.every((label) => label === 0));
});
