import assert from "node:assert/strict";
import fc from "fast-check";
import {
  areaUnderCurve,
  balancedAccuracy,
  confusion,
  secondClassScores,
  shareOf,
  spreadOf,
} from "../../evaluation/metrics.ts";

const scored = fc.array(fc.tuple(fc.integer({ min: -5, max: 5 }), fc.boolean()), { minLength: 2 });

Deno.test("the area under the curve is the share of pairs in order, ties half", () => {
  fc.assert(
    fc.property(scored, (list) => {
      const scores = list.map(([score]) => score);
      const positive = list.map(([, truth]) => Number(truth));
      let sum = 0;
      let pairs = 0;
      for (const [a, up] of list) {
        for (const [b, other] of list) {
          if (!up || other) continue;
          sum += a > b ? 1 : a === b ? 0.5 : 0;
          pairs++;
        }
      }
      const area = areaUnderCurve(scores, positive);
      if (pairs === 0) assert.ok(Number.isNaN(area));
      else assert.ok(Math.abs(area - sum / pairs) < 1e-12);
    }),
  );
});

Deno.test("turning the scores or the classes around turns the area around", () => {
  fc.assert(
    fc.property(scored, (list) => {
      const scores = list.map(([score]) => score);
      const positive = list.map(([, truth]) => Number(truth));
      const area = areaUnderCurve(scores, positive);
      if (Number.isNaN(area)) return;
      const close = (a: number, b: number) => assert.ok(Math.abs(a - b) < 1e-12);
      close(areaUnderCurve(scores.map((score) => -score), positive), 1 - area);
      close(areaUnderCurve(scores, positive.map((truth) => 1 - truth)), 1 - area);
      close(areaUnderCurve(scores.map((score) => Math.exp(score)), positive), area);
    }),
  );
});

Deno.test("Wilson's interval holds the share, stays within 0 to 1 and narrows with n", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5000 }), fc.nat(5000), (n, hits) => {
      const { share, ci95: [low, high] } = shareOf(hits % (n + 1), n);
      assert.ok(0 <= low && low <= share + 1e-12 && share <= high + 1e-12 && high <= 1);
      const more = shareOf((hits % (n + 1)) * 4, n * 4);
      assert.ok(more.ci95[1] - more.ci95[0] < high - low);
    }),
  );
  // Published: 10 of 20 gives 0.2993 to 0.7007.
  const { ci95 } = shareOf(10, 20);
  assert.ok(Math.abs(ci95[0] - 0.2993) < 1e-4 && Math.abs(ci95[1] - 0.7007) < 1e-4);
  assert.deepEqual(shareOf(0, 0), { share: 0, n: 0, ci95: [0, 1] });
});

Deno.test("a confusion matrix counts every verdict once, unknown in the last column", () => {
  const table = confusion([0, 0, 1, 1, 1], [0, -1, 1, 0, -1], ["a", "b"], ["a", "b"]);
  assert.deepEqual(table.columns, ["a", "b", "unknown"]);
  assert.deepEqual(table.counts, [[1, 0, 1], [1, 1, 1]]);
  assert.ok(Math.abs(balancedAccuracy(table) - (1 / 2 + 1 / 3) / 2) < 1e-12);
});

Deno.test("the spread of figures", () => {
  assert.deepEqual(spreadOf([3, 1, 2]), { min: 1, median: 2, max: 3, sd: 1 });
  assert.equal(spreadOf([1, 2, 3, 4]).median, 2.5);
  assert.deepEqual(spreadOf([NaN]), { min: 0, median: 0, max: 0, sd: 0 });
});

Deno.test("two-class verdicts become scores for the second class", () => {
  const scores = secondClassScores({
    labels: Int32Array.of(0, 1, -1),
    confidence: Float64Array.of(0.75, 0.75, 0.9),
    anomaly: new Float64Array(3),
  });
  assert.deepEqual([...scores], [0.25, 0.75, 0.5]);
});
