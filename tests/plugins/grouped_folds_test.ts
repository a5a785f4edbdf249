import assert from "node:assert/strict";
import fc from "fast-check";
import { groupedFolds } from "../../plugins/attacks/grouped_folds.ts";

/** Captures with some connections of some classes each. */
const captures = fc.array(
  fc.record({ label: fc.nat(3), size: fc.integer({ min: 1, max: 12 }) }),
  { minLength: 1, maxLength: 20 },
);

function samplesOf(list: readonly { label: number; size: number }[]) {
  const labels = list.flatMap(({ label, size }) => new Array<number>(size).fill(label));
  const groups = list.flatMap(({ size }, group) => new Array<number>(size).fill(group));
  return {
    count: labels.length,
    labelNames: ["a", "b", "c", "d"],
    labels: Uint16Array.from(labels),
    groupNames: list.map((_, group) => `capture ${group}`),
    groups: Uint16Array.from(groups),
  };
}

Deno.test("no capture is split, unless it is its class's only one; every sample has a fold", () => {
  fc.assert(
    fc.property(captures, fc.integer({ min: 2, max: 10 }), fc.nat(), (list, wanted, seed) => {
      const samples = samplesOf(list);
      const { fold, count, singleCapture, grouping } = groupedFolds(samples, wanted, seed);
      assert.equal(fold.length, samples.count);
      assert.equal(new Set(fold).size, count);
      assert.ok(count <= wanted);
      assert.equal(grouping, singleCapture.length === 0 ? "capture" : "block");
      list.forEach(({ label }, group) => {
        const folds = new Set(fold.filter((_, i) => samples.groups[i] === group));
        if (!singleCapture.includes(samples.labelNames[label]!)) assert.equal(folds.size, 1);
      });
    }),
  );
});

Deno.test("the order of the samples does not matter", () => {
  fc.assert(
    fc.property(captures, fc.nat(), fc.nat(), (list, seed, turn) => {
      const samples = samplesOf(list);
      const { fold, grouping } = groupedFolds(samples, 5, seed);
      if (grouping === "block") return;
      const order = Array.from({ length: samples.count }, (_, i) => (i + turn) % samples.count);
      const turned = groupedFolds(
        {
          ...samples,
          labels: Uint16Array.from(order, (i) => samples.labels[i]!),
          groups: Uint16Array.from(order, (i) => samples.groups[i]!),
        },
        5,
        seed,
      );
      assert.deepEqual(turned.fold, Uint16Array.from(order, (i) => fold[i]!));
    }),
  );
});

Deno.test("each class is spread over the folds", () => {
  const list = Array.from({ length: 18 }, (_, i) => ({ label: i % 3, size: 10 }));
  const samples = samplesOf(list);
  const { fold, count } = groupedFolds(samples, 6, 7);
  assert.equal(count, 6);
  for (let f = 0; f < 6; f++) {
    for (let label = 0; label < 3; label++) {
      const here = fold.filter((own, i) => own === f && samples.labels[i] === label).length;
      assert.equal(here, 10);
    }
  }
});

Deno.test("a class with one capture is cut into blocks of neighbours", () => {
  const samples = samplesOf([{ label: 0, size: 20 }, { label: 1, size: 9 }, { label: 1, size: 9 }]);
  const { fold, singleCapture } = groupedFolds(samples, 4, 1);
  assert.deepEqual(singleCapture, ["a"]);
  const own = [...fold.slice(0, 20)];
  assert.equal(new Set(own).size, 4);
  const changes = own.filter((f, i) => i > 0 && f !== own[i - 1]).length;
  assert.equal(changes, 3, "blocks are consecutive");
});
