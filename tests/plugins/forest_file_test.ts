import assert from "node:assert/strict";
import fc from "fast-check";
import { UserError } from "../../base/mod.ts";
import { Draws } from "../../plugins/attacks/draws.ts";
import { type ForestOptions, RandomForest } from "../../plugins/attacks/forest.ts";
import { decodeForest, encodeForest } from "../../plugins/attacks/forest_file.ts";
import { growForest } from "../../plugins/attacks/forest_workers.ts";
import { normal } from "./made_samples.ts";

/** Rows of `classes` classes that overlap, in columns of several kinds. */
function blobs(count: number, width: number, classes: number, seed: number) {
  const draws = new Draws(seed);
  const labels = Uint16Array.from({ length: count }, () => draws.integer(classes));
  const values = new Float64Array(count * width);
  for (let i = 0; i < count; i++) {
    for (let c = 0; c < width; c++) {
      const value = normal(draws) + (c % classes === labels[i] ? 1.5 : 0);
      values[i * width + c] = c % 3 === 0 ? Math.round(10 * value) : value;
    }
  }
  return { rows: { count, width, values }, labels };
}

/** What the golden file was made of: whole numbers only, so that no rounding is involved. */
function goldenForest(): RandomForest {
  const count = 60;
  const values = Float64Array.from({ length: 3 * count }, (_, i) => (i * i * 7 + i) % 31 - 11);
  const labels = Uint16Array.from(
    { length: count },
    (_, i) => (values[3 * i]! > 0 ? 1 : 0) + i % 2,
  );
  return RandomForest.grow({ count, width: 3, values }, labels, 3, { trees: 4, leaf: 3, seed: 5 });
}

const GOLDEN = new URL("./forest-v1.golden.bin", import.meta.url);

Deno.test("a forest is read from the file that was written elsewhere, and written the same", () => {
  const golden = Deno.readFileSync(GOLDEN);
  assert.deepEqual(encodeForest(goldenForest()), golden);
  const read = decodeForest(golden);
  assert.deepEqual(encodeForest(read), golden);
  // Read at an odd place in memory: nothing may rest on how an architecture lays numbers out.
  const odd = new Uint8Array(golden.length + 1);
  odd.set(golden, 1);
  const rows = { count: 2, width: 3, values: Float64Array.of(5, -3, 2, -8, 12, 0) };
  const shares = decodeForest(odd.subarray(1)).shares(rows);
  assert.deepEqual(shares, goldenForest().shares(rows));
  assert.equal(new DataView(golden.buffer).getUint16(2, true), 3, "columns, little-endian");
});

Deno.test("any forest is the same after a file", () => {
  const options = fc.record({
    trees: fc.integer({ min: 1, max: 6 }),
    leaf: fc.integer({ min: 1, max: 9 }),
    seed: fc.nat(),
  });
  const shape = fc.record({
    count: fc.integer({ min: 1, max: 80 }),
    width: fc.constantFrom(1, 2, 7, 300),
    classes: fc.integer({ min: 1, max: 5 }),
  });
  fc.assert(
    fc.property(shape, options, ({ count, width, classes }, own) => {
      const { rows, labels } = blobs(count, width, classes, own.seed);
      const forest = RandomForest.grow(rows, labels, classes, own);
      const bytes = encodeForest(forest);
      const read = decodeForest(bytes);
      assert.deepEqual(read.shares(rows), forest.shares(rows));
      assert.deepEqual(encodeForest(read), bytes);
    }),
    { numRuns: 40 },
  );
});

Deno.test("whatever the bytes, a file is read or refused, and what is read gives shares", () => {
  const whole = encodeForest(goldenForest());
  const rows = { count: 1, width: 3, values: Float64Array.of(1, 2, 3) };
  const attempt = (bytes: Uint8Array) => {
    let forest: RandomForest;
    try {
      forest = decodeForest(bytes);
    } catch (error) {
      assert.ok(error instanceof UserError, String(error));
      return;
    }
    if (forest.parts.width === 3) forest.shares(rows);
  };
  const change = fc.tuple(fc.nat({ max: whole.length - 1 }), fc.nat({ max: 255 }));
  fc.assert(
    fc.property(fc.array(change, { maxLength: 4 }), fc.nat({ max: whole.length }), (edits, end) => {
      const bytes = whole.slice(0, end % 3 === 0 ? end : undefined);
      for (const [at, byte] of edits) if (at < bytes.length) bytes[at] = byte;
      attempt(bytes);
    }),
    { numRuns: 5000 },
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), attempt), { numRuns: 2000 });
});

Deno.test("a forest is the same bit by bit however many workers grow it", async () => {
  const { rows, labels } = blobs(700, 12, 4, 3);
  const options: ForestOptions = { trees: 17, seed: 9, weights: "balanced" };
  const alone = encodeForest(RandomForest.grow(rows, labels, 4, options));
  for (const workers of [1, 2, 3]) {
    const forest = await growForest(rows, labels, 4, options, { workers });
    assert.deepEqual(encodeForest(forest), alone, `${workers} workers`);
  }
  assert.notDeepEqual(
    encodeForest(RandomForest.grow(rows, labels, 4, { ...options, seed: 10 })),
    alone,
  );
});

Deno.test("importance is a share of each column, and noise has little of it", () => {
  const draws = new Draws(4);
  const count = 800;
  const values = Float64Array.from({ length: 5 * count }, () => normal(draws));
  const labels = Uint16Array.from({ length: count }, (_, i) => values[5 * i + 2]! > 0.3 ? 1 : 0);
  const forest = RandomForest.grow({ count, width: 5, values }, labels, 2, { trees: 30, seed: 1 });
  const sum = forest.importance.reduce((total, own) => total + own, 0);
  assert.ok(Math.abs(sum - 1) < 1e-9);
  assert.ok(forest.importance[2]! > 0.7, String(forest.importance));
});

Deno.test("balanced weights find a rare class more often, and equal weights change nothing", () => {
  const draws = new Draws(8);
  const count = 1500;
  const labels = Uint16Array.from({ length: count }, () => draws.float() < 0.05 ? 1 : 0);
  const values = Float64Array.from(
    { length: 2 * count },
    (_, i) => normal(draws) + 1.2 * labels[i >> 1]!,
  );
  const rows = { count, width: 2, values };
  const grow = (more: Partial<ForestOptions>) =>
    RandomForest.grow(rows, labels, 2, { trees: 40, leaf: 20, seed: 2, ...more });
  const found = (forest: RandomForest) => {
    const shares = forest.shares(rows);
    return labels.filter((label, i) => label === 1 && shares[2 * i + 1]! > 0.5).length;
  };
  const plain = grow({});
  const balanced = grow({ weights: "balanced" });
  assert.ok(found(balanced) > 2 * found(plain), `${found(balanced)} and ${found(plain)}`);
  assert.deepEqual(encodeForest(grow({ weights: [2, 2] })), encodeForest(plain));
});

Deno.test("what is constant, missing or of one class does no harm", () => {
  const values = Float64Array.from(
    { length: 90 },
    (_, i) => i % 3 === 0 ? 7 : i % 3 === 1 ? NaN : i,
  );
  const rows = { count: 30, width: 3, values };
  const one = RandomForest.grow(rows, new Uint16Array(30), 2, { trees: 5, seed: 1 });
  assert.deepEqual([...one.shares(rows)].slice(0, 4), [1, 0, 1, 0]);
  const labels = Uint16Array.from({ length: 30 }, (_, i) => i < 15 ? 0 : 1);
  const two = RandomForest.grow(rows, labels, 2, { trees: 25, seed: 1 });
  assert.ok(two.outOfBagAccuracy > 0.9);
  assert.equal(two.importance[0], 0);
  const empty = RandomForest.grow(
    { count: 2, width: 0, values: new Float64Array(0) },
    Uint16Array.of(0, 1),
    2,
    { trees: 2, seed: 1 },
  );
  assert.equal(empty.shares({ count: 1, width: 0, values: new Float64Array(0) }).length, 2);
});

Deno.test("a split leaves at least as many drawn rows on each side as a leaf must hold", () => {
  const { rows, labels } = blobs(300, 4, 3, 6);
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 40 }), fc.nat(), (leaf, seed) => {
      const { parts } = RandomForest.grow(rows, labels, 3, { trees: 2, leaf, seed });
      for (const { column } of parts.trees) {
        const leaves = column.reduce((sum, own) => sum + +(own < 0), 0);
        assert.ok(leaves <= Math.max(1, Math.floor(300 / leaf)), `${leaves} leaves of ${leaf}`);
        assert.equal(column.length, 2 * leaves - 1);
      }
    }),
    { numRuns: 40 },
  );
});
