import assert from "node:assert/strict";
import fc from "fast-check";
import * as v from "valibot";
import {
  drawFrom,
  linearSchema,
  linearTable,
  MOST_KNOTS,
  stepSchema,
  stepTable,
} from "../../models/quantile_table.ts";
import { randomOf } from "./made.ts";

const sizes = fc.array(fc.integer({ min: 0, max: 100_000 }), { minLength: 1, maxLength: 1_500 });
const times = fc.array(fc.double({ min: 0, max: 1e6, noNaN: true }), {
  minLength: 1,
  maxLength: 1_500,
});

Deno.test("a step table draws only observed values, as often as they were observed", () => {
  fc.assert(
    fc.property(sizes, fc.nat(), (observed, number) => {
      const table = stepTable(observed);
      assert.deepEqual(v.parse(stepSchema(0, 100_000), JSON.parse(JSON.stringify(table))), table);
      assert.equal(table.n, observed.length);
      assert.equal(table.values[0], Math.min(...observed));
      assert.equal(table.values.at(-1), Math.max(...observed));
      const random = randomOf(number);
      for (let i = 0; i < 20; i++) assert(observed.includes(drawFrom(table, random)));
    }),
    { numRuns: 60 },
  );
  const table = stepTable([...Array(900).fill(36), ...Array(100).fill(1_000)]);
  const random = randomOf(1);
  let small = 0;
  for (let i = 0; i < 10_000; i++) if (drawFrom(table, random) === 36) small++;
  assert(small > 8_900 && small < 9_100, `${small} of 10000`);
});

Deno.test("a step table with few enough values is exact", () => {
  fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: 99 }), { minLength: 1 }), (observed) => {
    const { values, cumulative } = stepTable(observed);
    for (const [index, value] of values.entries()) {
      assert.equal(cumulative[index], observed.filter((x) => x <= value).length);
    }
  }));
});

Deno.test("a linear table keeps the quantiles of what was observed", () => {
  fc.assert(
    fc.property(times, fc.nat(), (observed, number) => {
      const table = linearTable(observed);
      assert.deepEqual(v.parse(linearSchema, JSON.parse(JSON.stringify(table))), table);
      assert.equal(table.n, observed.length);
      assert(table.quantiles.length <= MOST_KNOTS);
      const sorted = Float64Array.from(observed).sort();
      const middle = table.quantiles[(table.quantiles.length - 1) >>> 1]!;
      assert(middle <= sorted[Math.ceil((sorted.length - 1) / 2)]! + 0.001);
      const random = randomOf(number);
      for (let i = 0; i < 20; i++) {
        const drawn = drawFrom(table, random);
        assert(drawn >= sorted[0]! - 0.001 && drawn <= sorted.at(-1)! + 0.001);
      }
    }),
    { numRuns: 60 },
  );
});

Deno.test("an empty distribution is refused", () => {
  assert.throws(() => stepTable([]), RangeError);
  assert.throws(() => linearTable([]), RangeError);
});

Deno.test("tables that contradict themselves are not valid", () => {
  const step = { n: 3, interpolation: "step", values: [1, 2], cumulative: [1, 3] };
  assert(v.is(stepSchema(0, 9), step));
  for (
    const wrong of [
      { ...step, n: 4 },
      { ...step, values: [2, 1] },
      { ...step, values: [1, 20] },
      { ...step, values: [1] },
      { ...step, cumulative: [3, 3] },
      { ...step, interpolation: "linear" },
      { ...step, values: [], cumulative: [] },
    ]
  ) assert(!v.is(stepSchema(0, 9), wrong), JSON.stringify(wrong));
  const linear = { n: 3, interpolation: "linear", quantiles: [0, 1.5] };
  assert(v.is(linearSchema, linear));
  for (const quantiles of [[2, 1], [-1], [Infinity], [], [1e300]]) {
    assert(!v.is(linearSchema, { ...linear, quantiles }), JSON.stringify(quantiles));
  }
});
