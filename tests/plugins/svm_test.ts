import assert from "node:assert/strict";
import fc from "fast-check";
import { UserError } from "../../base/mod.ts";
import { Draws } from "../../plugins/attacks/draws.ts";
import { SupportVectorClassifier } from "../../plugins/attacks/svm.ts";
import { kernelOf, solveBinary } from "../../plugins/attacks/svm_solver.ts";
import { normal } from "./made_samples.ts";

const LINEAR = { degree: 1, gamma: 1, offset: 0 };

/** Three classes around three centres, on scales that differ a millionfold. */
function threeBlobs(each: number, seed: number, noise = 0.5) {
  const draws = new Draws(seed);
  const centres = [[0, 0], [3, 0], [0, 3]];
  const count = 3 * each;
  const labels = Uint16Array.from({ length: count }, (_, i) => i % 3);
  const values = new Float64Array(2 * count);
  for (let i = 0; i < count; i++) {
    const centre = centres[labels[i]!]!;
    values[2 * i] = centre[0]! + noise * normal(draws);
    values[2 * i + 1] = 1e6 * (centre[1]! + noise * normal(draws));
  }
  return { rows: { count, width: 2, values }, labels };
}

function right(shares: Float64Array, labels: Uint16Array): number {
  let hits = 0;
  labels.forEach((label, i) => {
    const own = shares.subarray(3 * i, 3 * i + 3);
    if (own.every((share, c) => c === label || share < own[label]!)) hits++;
  });
  return hits / labels.length;
}

Deno.test("the margin between two points is where it must be", () => {
  const { weight, bias, converged } = solveBinary(
    {
      count: 2,
      width: 1,
      values: Float64Array.of(1, 3),
      sign: Int8Array.of(-1, 1),
      cost: Float64Array.of(10, 10),
    },
    LINEAR,
    1000,
  );
  // The plane is x = 2, at a distance of 1 of both: f(x) = x - 2.
  assert.ok(converged);
  assert.ok(Math.abs(weight[0]! + 0.5) < 1e-9 && Math.abs(weight[1]! - 0.5) < 1e-9);
  assert.ok(Math.abs(bias - 2) < 1e-9);
});

Deno.test("a solution keeps the optimality conditions", () => {
  const problem = fc.record({
    count: fc.integer({ min: 2, max: 40 }),
    seed: fc.nat(),
    degree: fc.constantFrom(1, 2, 3),
    cost: fc.constantFrom(0.1, 1, 10),
  });
  fc.assert(
    fc.property(problem, ({ count, seed, degree, cost }) => {
      const draws = new Draws(seed);
      const sign = Int8Array.from(
        { length: count },
        (_, i) => i < 2 ? 1 - 2 * i : draws.integer(2) * 2 - 1,
      );
      const values = Float64Array.from(
        { length: 2 * count },
        (_, i) => normal(draws) + sign[i >> 1]!,
      );
      const kernel = { degree, gamma: 0.5, offset: 1 };
      const own = { count, width: 2, values, sign, cost: new Float64Array(count).fill(cost) };
      const { weight, bias, converged } = solveBinary(own, kernel, 100_000);
      assert.ok(converged);
      assert.ok(Math.abs(weight.reduce((sum, w) => sum + w, 0)) < 1e-6, "weights balance");
      for (let i = 0; i < count; i++) {
        const alpha = weight[i]! * sign[i]!;
        assert.ok(alpha >= 0 && alpha <= cost);
        let f = -bias;
        for (let j = 0; j < count; j++) f += weight[j]! * kernelOf(kernel, values, j, values, i, 2);
        const margin = sign[i]! * f;
        if (alpha === 0) assert.ok(margin > 1 - 0.002, `${margin} outside`);
        else if (alpha === cost) assert.ok(margin < 1 + 0.002, `${margin} inside`);
        else assert.ok(Math.abs(margin - 1) < 0.002, `${margin} on the margin`);
      }
    }),
    { numRuns: 60 },
  );
});

Deno.test("linear and polynomial classifiers learn from standardised features", () => {
  const train = threeBlobs(60, 1);
  const test = threeBlobs(60, 2);
  for (const degree of [1, 3]) {
    const svm = SupportVectorClassifier.train(train.rows, train.labels, 3, {
      degree,
      scaling: "standard",
    });
    assert.equal(svm.givenUp, 0);
    assert.ok(right(svm.shares(test.rows), test.labels) > 0.95);
  }
});

Deno.test("without scaling the large column rules, and training is given up", () => {
  const train = threeBlobs(60, 1, 1);
  const how = { degree: 1, most: 2000 };
  const plain = SupportVectorClassifier.train(train.rows, train.labels, 3, {
    ...how,
    scaling: "none",
  });
  const scaled = SupportVectorClassifier.train(train.rows, train.labels, 3, {
    ...how,
    scaling: "standard",
  });
  assert.ok(plain.givenUp > 0);
  assert.equal(scaled.givenUp, 0);
});

Deno.test("a polynomial tells inside from outside, a plane cannot", () => {
  const draws = new Draws(3);
  const count = 200;
  const values = Float64Array.from({ length: 2 * count }, () => normal(draws));
  const labels = Uint16Array.from(
    { length: count },
    (_, i) => Math.hypot(values[2 * i]!, values[2 * i + 1]!) < 1.1 ? 0 : 1,
  );
  const rows = { count, width: 2, values };
  const accuracy = (degree: number) => {
    const svm = SupportVectorClassifier.train(rows, labels, 2, {
      degree,
      scaling: "standard",
      cost: 10,
    });
    const shares = svm.shares(rows);
    return labels.filter((label, i) => shares[2 * i + label]! > 0.5).length / count;
  };
  assert.ok(accuracy(2) > 0.95);
  assert.ok(accuracy(1) < 0.75);
});

Deno.test("shares are a distribution, and surer farther from the border", () => {
  const train = threeBlobs(50, 4, 1);
  const svm = SupportVectorClassifier.train(train.rows, train.labels, 3, {
    degree: 1,
    scaling: "standard",
  });
  const shares = svm.shares(train.rows);
  for (let i = 0; i < train.rows.count; i++) {
    const own = shares.subarray(3 * i, 3 * i + 3);
    assert.ok(Math.abs(own[0]! + own[1]! + own[2]! - 1) < 1e-6);
    assert.ok(own.every((share) => share >= 0));
  }
  const along = svm.shares({ count: 3, width: 2, values: Float64Array.of(1.5, 0, 3, 0, 6, 0) });
  assert.ok(along[1]! < along[4]! && along[4]! < along[7]!);
});

Deno.test("a class without rows is never likely, and the others are told apart", () => {
  const { rows, labels } = threeBlobs(20, 5);
  const moved = labels.map((label) => label === 2 ? 3 : label);
  const svm = SupportVectorClassifier.train(rows, moved, 4, { degree: 1, scaling: "standard" });
  const shares = svm.shares(rows);
  assert.equal(shares[2], 0);
  assert.ok(shares[3 + 4 * 2]! > 0.9);
});

Deno.test("a classifier is the same after a file, and damage is refused", () => {
  const { rows, labels } = threeBlobs(15, 6, 1);
  const svm = SupportVectorClassifier.train(rows, labels, 3, { degree: 3, scaling: "log" });
  const bytes = svm.encode();
  const read = SupportVectorClassifier.decode(bytes);
  assert.deepEqual(read.shares(rows), svm.shares(rows));
  assert.deepEqual(read.encode(), bytes);
  const change = fc.tuple(fc.nat({ max: bytes.length - 1 }), fc.nat({ max: 255 }));
  fc.assert(
    fc.property(fc.array(change, { maxLength: 3 }), fc.nat({ max: bytes.length }), (edits, end) => {
      const damaged = bytes.slice(0, end % 2 === 0 ? end : undefined);
      for (const [at, byte] of edits) if (at < damaged.length) damaged[at] = byte;
      try {
        SupportVectorClassifier.decode(damaged);
      } catch (error) {
        assert.ok(error instanceof UserError, String(error));
      }
    }),
    { numRuns: 3000 },
  );
});
