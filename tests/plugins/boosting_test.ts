import assert from "node:assert/strict";
import fc from "fast-check";
import firstMessages, {
  firstMessageNames,
  firstMessageRows,
} from "../../plugins/attacks/first_messages.ts";
import gradientBoosting from "../../plugins/attacks/gradient_boosting.ts";
import { BoostedTrees, BOOSTING } from "../../plugins/attacks/gradient_boosting_trees.ts";
import { Draws } from "../../plugins/attacks/draws.ts";
import { loadAttack } from "../../plugins/mod.ts";
import { exclusiveOr, makeSamples, right, threeClasses } from "./made_samples.ts";

Deno.test("boosted trees learn what no single column tells, and say which columns told", () => {
  const train = exclusiveOr(600, 1);
  const test = exclusiveOr(600, 2);
  const trees = BoostedTrees.fit(train.rows, train.labels, 2, { ...BOOSTING, seed: 3 });
  const accuracy = right(trees.shares(test.rows), test.labels, 2);
  assert.ok(accuracy > 0.88, String(accuracy));
  const [first, second, ...rest] = trees.importance;
  assert.ok(Math.min(first!, second!) > Math.max(...rest), trees.importance.join());
  assert.ok(Math.abs(trees.importance.reduce((sum, own) => sum + own, 0) - 1) < 1e-9);
});

Deno.test("boosted trees: with labels drawn by lot, others are only guessed", () => {
  const train = exclusiveOr(400, 4);
  const test = exclusiveOr(400, 5);
  const draws = new Draws(6);
  const labels = train.labels.map(() => draws.integer(2));
  const trees = BoostedTrees.fit(train.rows, labels, 2, { ...BOOSTING, rounds: 40, seed: 3 });
  const accuracy = right(trees.shares(test.rows), test.labels.map(() => draws.integer(2)), 2);
  assert.ok(Math.abs(accuracy - 0.5) < 0.1, String(accuracy));
});

Deno.test("boosted trees: probabilities of any number of classes, and the seed decides them", () => {
  fc.assert(
    fc.property(
      fc.nat(),
      fc.integer({ min: 2, max: 5 }),
      fc.integer({ min: 1, max: 60 }),
      fc.integer({ min: 2, max: 6 }),
      (seed, classes, count, leaves) => {
        const draws = new Draws(seed);
        const values = Float64Array.from({ length: 3 * count }, () => draws.integer(5));
        const labels = Uint16Array.from({ length: count }, () => draws.integer(classes));
        const rows = { count, width: 3, values };
        const fit = () =>
          BoostedTrees.fit(rows, labels, classes, {
            ...BOOSTING,
            rounds: 4,
            leaves,
            leaf: 1,
            seed,
          }).shares(rows);
        const shares = fit();
        assert.deepEqual(shares, fit());
        for (let i = 0; i < count; i++) {
          const own = shares.subarray(i * classes, (i + 1) * classes);
          assert.ok(own.every((share) => share >= 0 && share <= 1), own.join());
          assert.ok(Math.abs(own.reduce((sum, share) => sum + share, 0) - 1) < 1e-9);
        }
      },
    ),
    { numRuns: 40 },
  );
});

Deno.test("boosted trees: one score for two classes tells what one score a class tells", () => {
  const { rows, labels } = exclusiveOr(400, 8);
  // A third class that never occurs makes the loss that of several classes.
  const two = BoostedTrees.fit(rows, labels, 2, { ...BOOSTING, seed: 1 });
  const three = BoostedTrees.fit(rows, labels, 3, { ...BOOSTING, seed: 1 });
  const test = exclusiveOr(400, 9);
  const gap = right(two.shares(test.rows), test.labels, 2) -
    right(three.shares(test.rows), test.labels, 3);
  assert.ok(Math.abs(gap) < 0.06, String(gap));
});

Deno.test("gradient-boosting and first-messages are found by name and tell three classes apart", async () => {
  const train = threeClasses(1, 20);
  const test = threeClasses(2);
  await using attack = await (await loadAttack("gradient-boosting")).start();
  await attack.train(train, { seed: 1, parameters: { rounds: 30 } });
  const { labels } = await attack.classify(test);
  const hits = labels.filter((label, i) => label === test.labels[i]).length;
  assert.ok(hits / test.count > 0.95, String(hits / test.count));
  const made = (seed: number) =>
    makeSamples([
      { name: "a", centre: [1], width: 0, captures: 2, each: 20, messages: [100, -500, 100] },
      { name: "b", centre: [1], width: 0, captures: 2, each: 20, messages: [100, 100, -500] },
    ], seed);
  await using sequences = await (await loadAttack("first-messages")).start();
  const notes = await sequences.train(made(1), { seed: 1, parameters: { messages: 8 } });
  assert.equal(notes.columns, 40);
  const verdicts = await sequences.classify(made(2));
  assert.ok(verdicts.labels.every((label, i) => label === made(2).labels[i]));
});

Deno.test("first-messages: what it looks at, and that nothing later counts", () => {
  const samples = makeSamples([
    { name: "a", centre: [1], width: 0, captures: 1, each: 1, messages: [100, -500, -40, 7] },
  ], 1);
  const { values, width } = firstMessageRows(samples, 3);
  assert.equal(width, firstMessageNames(3).length);
  // Size, gap, bytes of either side, reaction; one second between messages.
  assert.deepEqual([...values], [
    ...[100, 0, 100, 0, -1],
    ...[-500, 1000, 100, 500, 1000],
    ...[-40, 1000, 100, 540, 2000],
  ]);
  const read = firstMessageRows({ ...samples, times: Float64Array.of(0, 7, 11, 30) }, 5, 10);
  assert.deepEqual([...read.values.subarray(5, 10)], [-500, 10, 100, 500, 10]);
  assert.deepEqual([...read.values.subarray(20)], [0, -1, 107, 540, -1]);
});

Deno.test("boosted attacks refuse a parameter that they do not have", () => {
  for (const attack of [gradientBoosting, firstMessages]) {
    assert.throws(
      () => attack.train(threeClasses(1), { seed: 1, parameters: { trees: 3 } }),
      /there is no parameter "trees"/,
    );
  }
});
