import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type Column,
  decodeFields,
  encodeFields,
  type Fields,
  MalformedFields,
} from "../../plugins/host/codec.ts";

const column: fc.Arbitrary<Column> = fc.oneof(
  fc.float64Array().map((a) => a as Column),
  fc.float32Array().map((a) => a as Column),
  fc.int32Array().map((a) => a as Column),
  fc.uint32Array().map((a) => a as Column),
  fc.uint16Array().map((a) => a as Column),
  fc.uint8Array().map((a) => a as Column),
);

Deno.test("fields come back as they were, whatever their names and types", () => {
  fc.assert(
    fc.property(
      fc.dictionary(
        fc.string(),
        fc.oneof(column, fc.string(), fc.integer(), fc.boolean(), fc.array(fc.string())),
      ),
      (fields) => {
        const back = decodeFields(encodeFields(fields as Fields));
        assert.deepEqual({ ...back }, { ...fields });
      },
    ),
  );
});

Deno.test("bytes that were not encoded here are refused, never anything else", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
      try {
        decodeFields(new Uint8Array(noise));
      } catch (error) {
        assert.ok(error instanceof MalformedFields, String(error));
      }
    }),
    { numRuns: 500 },
  );
});

Deno.test("encoded fields with bytes changed are decoded or refused, never anything else", () => {
  const whole = encodeFields({ count: 3, sizes: Float64Array.of(1, 2, 3), names: ["a"] });
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
      fc.nat(whole.length),
      (changes, keep) => {
        const bytes = whole.slice(0, keep);
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
        try {
          decodeFields(bytes);
        } catch (error) {
          assert.ok(error instanceof MalformedFields, String(error));
        }
      },
    ),
    { numRuns: 1000 },
  );
});

Deno.test("a column that claims more than there is, is refused", () => {
  const header = new TextEncoder().encode(JSON.stringify([{}, [["x", "f64", 1e12]]]));
  const bytes = new Uint8Array(4 + header.length + 16);
  new DataView(bytes.buffer).setUint32(0, header.length, true);
  bytes.set(header, 4);
  assert.throws(() => decodeFields(bytes), MalformedFields);
});
