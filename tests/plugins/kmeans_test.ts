import assert from "node:assert/strict";
import { selectSamples } from "../../evaluation/samples.ts";
import { clusterSpreads, kMeans, meanPairDistance } from "../../plugins/attacks/clusters.ts";
import { Draws } from "../../plugins/attacks/draws.ts";
import kmeans from "../../plugins/attacks/kmeans.ts";
import { asTwoClasses } from "../../evaluation/samples.ts";
import { type MadeClass, makeSamples } from "./made_samples.ts";

const SMTP: MadeClass = {
  name: "smtp",
  centre: [900, 200, 60],
  width: 50,
  captures: 6,
  each: 10,
};
/** As regular as constant rate, in the middle of what mail looks like. */
const CONSTANT: MadeClass = {
  name: "constant-rate",
  centre: [905, 210, 58],
  width: 0.05,
  captures: 1,
  each: 60,
};

Deno.test("kmeans flags what is too regular and leaves real traffic alone", async () => {
  await kmeans.train(makeSamples([SMTP], 1), { seed: 1, parameters: {} });
  const cover = await kmeans.classify(makeSamples([CONSTANT], 2));
  assert.ok(cover.labels.every((label) => label === -1));
  assert.ok(cover.anomaly.every((strange) => strange > 1));
  const real = await kmeans.classify(makeSamples([SMTP], 3));
  assert.ok(real.labels.filter((label) => label === -1).length <= 3);
});

Deno.test("kmeans tells both apart in a mixture, in any order", async () => {
  await kmeans.train(makeSamples([SMTP], 1), { seed: 1, parameters: {} });
  const mixed = asTwoClasses(makeSamples([SMTP], 5), makeSamples([CONSTANT], 6), ["real", "cover"]);
  const order = new Draws(1).shuffle(Array.from({ length: mixed.count }, (_, i) => i));
  const shuffled = selectSamples(mixed, order);
  const { labels } = await kmeans.classify(shuffled);
  const right = labels.filter((label, i) => (label === -1) === (shuffled.labels[i] === 1)).length;
  assert.ok(right / mixed.count > 0.95, String(right / mixed.count));
});

Deno.test("kmeans judges nothing, one sample and few samples without flagging them", async () => {
  const train = makeSamples([SMTP], 1);
  await kmeans.train(train, { seed: 1, parameters: {} });
  for (const count of [0, 1, 3]) {
    const few = selectSamples(train, Array.from({ length: count }, (_, i) => i));
    const { labels } = await kmeans.classify(few);
    assert.deepEqual([...labels], new Array(count).fill(0));
  }
});

Deno.test("clusters are found where they are", () => {
  const samples = makeSamples(
    [0, 100, 200].map((at, i) => ({
      name: `c${i}`,
      centre: [at, at],
      width: 1,
      captures: 1,
      each: 20,
    })),
    4,
  );
  const rows = { count: 60, width: 2, values: samples.features };
  const draws = new Draws(1);
  const found = clusterSpreads(rows, kMeans(rows, 3, 8, draws), draws);
  assert.deepEqual(found.map(({ members }) => members.length), [20, 20, 20]);
  for (const { members } of found) {
    assert.equal(new Set(members.map((i) => samples.labels[i])).size, 1);
  }
});

Deno.test("the mean distance between all pairs is that, and infinite without a pair", () => {
  const rows = { count: 3, width: 1, values: Float64Array.of(0, 3, 9) };
  const draws = new Draws(1);
  assert.equal(meanPairDistance(rows, [0, 1, 2], draws), 6);
  assert.equal(meanPairDistance(rows, [1], draws), Infinity);
});

Deno.test("beyond two million pairs the mean is taken over a sample of them", () => {
  const draws = new Draws(2);
  const count = 2200;
  const rows = {
    count,
    width: 1,
    values: Float64Array.from({ length: count }, (_, i) => i / count),
  };
  const all = Array.from({ length: count }, (_, i) => i);
  const mean = meanPairDistance(rows, all, draws);
  assert.ok(Math.abs(mean - 1 / 3) < 0.01, String(mean));
});
