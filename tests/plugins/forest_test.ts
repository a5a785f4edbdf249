import assert from "node:assert/strict";
import fc from "fast-check";
import { Draws } from "../../plugins/attacks/draws.ts";
import { RandomForest } from "../../plugins/attacks/forest.ts";
import { binRows, joinEdges } from "../../plugins/attacks/forest_bins.ts";
import { messageColumnNames, messageRows } from "../../plugins/attacks/message_features.ts";
import randomForest from "../../plugins/attacks/random_forest.ts";
import { exclusiveOr, makeSamples, right, threeClasses } from "./made_samples.ts";

Deno.test("a forest learns what no single column tells", () => {
  const train = exclusiveOr(600, 1);
  const test = exclusiveOr(600, 2);
  const forest = RandomForest.grow(train.rows, train.labels, 2, { trees: 60, seed: 3 });
  const accuracy = right(forest.shares(test.rows), test.labels, 2);
  assert.ok(accuracy > 0.85, String(accuracy));
  assert.ok(Math.abs(forest.outOfBagAccuracy - accuracy) < 0.08, "out of bag is a fair estimate");
});

Deno.test("with labels drawn by lot, out of bag is no better than guessing", () => {
  const { rows } = exclusiveOr(400, 4);
  const draws = new Draws(5);
  const labels = Uint16Array.from({ length: 400 }, () => draws.integer(2));
  const forest = RandomForest.grow(rows, labels, 2, { trees: 60, seed: 3 });
  assert.ok(Math.abs(forest.outOfBagAccuracy - 0.5) < 0.1, String(forest.outOfBagAccuracy));
});

Deno.test("shares are shares, and the seed decides them", () => {
  const { rows, labels } = exclusiveOr(80, 6);
  fc.assert(
    fc.property(fc.nat(), fc.integer({ min: 1, max: 5 }), (seed, leaf) => {
      const grow = () => RandomForest.grow(rows, labels, 2, { trees: 5, seed, leaf }).shares(rows);
      const shares = grow();
      assert.deepEqual(shares, grow());
      for (let i = 0; i < rows.count; i++) {
        const sum = shares[2 * i]! + shares[2 * i + 1]!;
        assert.ok(Math.abs(sum - 1) < 1e-9 && shares[2 * i]! >= 0);
      }
    }),
    { numRuns: 20 },
  );
});

Deno.test("a monotone change of a column changes no tree with few distinct values", () => {
  const { rows, labels } = exclusiveOr(100, 7);
  const cubed = { ...rows, values: rows.values.map((value) => value ** 3) };
  const options = { trees: 10, seed: 1 };
  assert.deepEqual(
    RandomForest.grow(rows, labels, 2, options).shares(rows),
    RandomForest.grow(cubed, labels, 2, options).shares(cubed),
  );
});

Deno.test("columns with more distinct values than bins still split well", () => {
  const count = 2000;
  const values = Float64Array.from({ length: count }, (_, i) => i);
  const labels = Uint16Array.from({ length: count }, (_, i) => i < 1234 ? 0 : 1);
  const forest = RandomForest.grow({ count, width: 1, values }, labels, 2, { trees: 10, seed: 1 });
  assert.ok(forest.outOfBagAccuracy > 0.995, String(forest.outOfBagAccuracy));
});

Deno.test("message columns have the names that they are told to have", () => {
  const samples = makeSamples([{
    name: "a",
    centre: [1, 2],
    width: 0,
    captures: 1,
    each: 1,
    messages: [100, -1000, -500, 50],
  }], 1);
  const { values, width } = messageRows(samples);
  const names = ["one", "two", ...messageColumnNames()];
  assert.equal(width, names.length);
  const value = (name: string) => values[names.indexOf(name)];
  assert.equal(value("clientMessages"), 2);
  assert.equal(value("serverBytes"), 1500);
  assert.equal(value("serverMost"), 1000);
  assert.equal(value("clientLeast"), 50);
  assert.equal(value("turns"), 2);
  assert.equal(value("duration"), 3000);
  assert.equal(value("meanGap"), 1000);
  assert.equal(value("size1"), -1000);
  assert.equal(value("gap3"), 1000);
  assert.equal(value("size4"), 0);
  assert.equal(value("gap4"), -1);
});

Deno.test("a coarse clock reads times only so far, and sizes as before", () => {
  const samples = makeSamples([{
    name: "a",
    centre: [1, 2],
    width: 0,
    captures: 1,
    each: 1,
    messages: [100, -1000, -500, 50],
  }], 1);
  const names = ["one", "two", ...messageColumnNames()];
  const value = (clock: number, name: string) =>
    messageRows(samples, clock).values[names.indexOf(name)];
  assert.equal(value(300, "gap1"), 900, "1000 ms read to 300 ms");
  assert.equal(value(300, "meanGap"), 900);
  assert.equal(value(10_000, "duration"), 0);
  assert.equal(value(300, "size1"), value(0, "size1"));
});

Deno.test("the random forest tells classes by their messages alone", async () => {
  const classes = [[100, -1000, 50, -3000], [100, -1000, 70, -3000]].map((messages, i) => ({
    name: `c${i}`,
    centre: [10, 20],
    width: 1,
    captures: 2,
    each: 20,
    messages,
  }));
  const parameters = { trees: 60 };
  const notes = await randomForest.train(makeSamples(classes, 1), { seed: 1, parameters });
  assert.ok(Number(notes.outOfBagAccuracy) > 0.95);
  const test = makeSamples(classes, 2);
  const { labels, confidence } = await randomForest.classify(test);
  assert.deepEqual([...labels], [...test.labels]);
  assert.ok(confidence.every((sure) => sure >= 0.5));
});

Deno.test("the random forest may say that it does not know", async () => {
  await randomForest.train(threeClasses(1), { seed: 1, parameters: { trees: 30, unknown: 1 } });
  const { labels } = await randomForest.classify(threeClasses(2));
  assert.ok(labels.includes(-1));
});

Deno.test("the bin of a value is the number of edges that it lies above", () => {
  const number = fc.oneof(fc.double(), fc.integer({ min: -5, max: 5 }).map(Number));
  const ascending = fc.uniqueArray(fc.integer({ min: -6, max: 6 }), { maxLength: 13 })
    .map((edges) => Float64Array.from(edges).sort());
  fc.assert(
    fc.property(
      fc.array(ascending, { minLength: 1, maxLength: 3 }),
      fc.array(number),
      (own, all) => {
        const edges = joinEdges(own);
        const width = own.length;
        const count = Math.floor(all.length / width);
        const values = Float64Array.from(all.slice(0, count * width));
        const above = (value: number, i: number) => own[i % width]!.filter((e) => value > e).length;
        assert.deepEqual(
          [...binRows({ count, width, values }, edges)],
          [...values].map(above),
        );
      },
    ),
  );
});

Deno.test("trees are walked to the leaf that the splits lead to, wherever their nodes lie", () => {
  const { rows, labels } = exclusiveOr(300, 8);
  const { parts } = RandomForest.grow(rows, labels, 2, { trees: 7, seed: 2 });
  const bins = binRows(rows, parts.edges);
  const votes = new Float64Array(rows.count * 2);
  for (const { column, split, shares } of parts.trees) {
    // The children of the k-th inner node are nodes 1 + 2k and 2 + 2k.
    const inner = [...column.keys()].filter((n) => column[n]! >= 0);
    for (let row = 0; row < rows.count; row++) {
      let node = 0;
      while (column[node]! >= 0) {
        const right = bins[row * rows.width + column[node]!]! > split[node]!;
        node = 1 + 2 * inner.indexOf(node) + +right;
      }
      for (let c = 0; c < 2; c++) votes[2 * row + c]! += shares[2 * split[node]! + c]!;
    }
  }
  assert.deepEqual(
    new RandomForest(parts).shares(rows),
    votes.map((own, i) => own / (votes[i]! + votes[i ^ 1]!)),
  );
});
