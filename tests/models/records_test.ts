import assert from "node:assert/strict";
import fc from "fast-check";
import * as v from "valibot";
import {
  layRecords,
  LEAST_SIZE,
  patternOf,
  patternSchema,
  stretchPattern,
} from "../../models/records.ts";

const record = fc.integer({ min: LEAST_SIZE, max: 16_406 });
const records = fc.array(fc.oneof(record, fc.constant(16_406)), { minLength: 1, maxLength: 200 });

Deno.test("records laid after their own pattern are the same records", () => {
  fc.assert(fc.property(fc.array(record, { minLength: 1, maxLength: 40 }), (sizes) => {
    const pattern = patternOf(sizes);
    assert(v.is(patternSchema, pattern));
    assert.deepEqual(layRecords(pattern, sizes.reduce((a, b) => a + b, 0)), sizes);
  }));
});

Deno.test("records laid after any pattern sum to the size and are none too small or too large", () => {
  fc.assert(
    fc.property(records, fc.integer({ min: LEAST_SIZE, max: 2_000_000 }), (sizes, size) => {
      const pattern = patternOf(sizes);
      assert(v.is(patternSchema, pattern));
      const laid = layRecords(pattern, size);
      assert.equal(laid.reduce((a, b) => a + b, 0), size);
      const most = Math.max(...sizes, 2 * LEAST_SIZE);
      for (const one of laid) assert(one >= LEAST_SIZE && one <= most + LEAST_SIZE, `${one}`);
    }),
  );
});

Deno.test("a stretched pattern gives its change to the record that ends the body", () => {
  assert.deepEqual(stretchPattern([300, 1, 16_406, 2, 5_000, 1, 31, 1], 100, 16_406), [
    300,
    1,
    16_406,
    2,
    5_100,
    1,
    31,
    1,
  ]);
  assert.deepEqual(stretchPattern([16_406, 2], 100, 16_406), [16_406, 2]);
  assert.deepEqual(stretchPattern([30, 1], -20, 16_406), [30, 1]);
});
