import assert from "node:assert/strict";
import fc from "fast-check";
import { Draws } from "../../plugins/attacks/draws.ts";
import { conditionFeatures, fitScaler, type Rows, scale } from "../../plugins/attacks/scaler.ts";
import { normal } from "./made_samples.ts";

function rowsOf(columns: readonly (readonly number[])[]): Rows {
  const count = columns[0]!.length;
  const values = Float64Array.from(
    { length: count * columns.length },
    (_, i) => columns[i % columns.length]![Math.floor(i / columns.length)]!,
  );
  return { count, width: columns.length, values };
}

const draws = new Draws(3);
const noise = (n: number) => Array.from({ length: n }, () => normal(draws));

Deno.test("scaled columns have mean 0 and deviation 1; columns that do not vary are left out", () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { minLength: 3, maxLength: 30 }),
      (list) => {
        const rows = rowsOf([list, list.map(() => 7)]);
        const scaler = fitScaler(rows, [0, 1]);
        assert.ok(!scaler.columns.includes(1));
        if (!scaler.columns.includes(0)) return;
        const { values } = scale(rows, scaler);
        const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
        const square = values.reduce((sum, value) => sum + value * value, 0) / values.length;
        assert.ok(Math.abs(mean) < 1e-6 && Math.abs(square - 1) < 1e-6, `${mean} ${square}`);
      },
    ),
  );
});

Deno.test("well-conditioned features are all kept, and their eigenvalue ratio is known", () => {
  const x = [1, -1, 1, -1];
  const y = [1, 1, -1, -1];
  assert.deepEqual(conditionFeatures(rowsOf([x, y]), 0.5), {
    columns: [0, 1],
    dropped: [],
    ratio: 1,
  });
  // Correlation 0.6 between two columns: eigenvalues 1.6 and 0.4.
  const z = x.map((value, i) => 0.6 * value + 0.8 * y[i]!);
  const { ratio } = conditionFeatures(rowsOf([x, z]), 0.01);
  assert.ok(Math.abs(ratio - 0.25) < 1e-9, String(ratio));
});

Deno.test("a feature that others determine is dropped, and one that does not vary", () => {
  const [a, b] = [noise(200), noise(200)];
  const sum = a.map((value, i) => value + b[i]!);
  const { columns, dropped, ratio } = conditionFeatures(
    rowsOf([a, b, sum, a.map(() => 5), noise(200)]),
    0.001,
  );
  assert.equal(columns.length, 3);
  assert.ok(dropped.includes(3), "the constant one");
  assert.ok(columns.includes(4), "the one that nothing determines stays");
  assert.ok(ratio > 0.1);
});
