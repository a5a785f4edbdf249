import assert from "node:assert/strict";
import fc from "fast-check";
import type { ConnectionPlan } from "../../models/mod.ts";
import type { SizeGrid } from "../../playback/cover_connection.ts";
import { recordsOf, Script, settlePlan } from "../../playback/script.ts";
import {
  payloadSize,
  smallestRecord,
  splitSize,
  wireSize,
  withoutOpening,
} from "../../playback/size_grid.ts";

const TLS: SizeGrid = { overhead: 22, maxPayload: 16384 };
const SSH: SizeGrid = { overhead: 34, maxPayload: 16384, smallest: 36, step: 8 };

const grids = fc.oneof(
  fc.constantFrom(TLS, SSH),
  fc.record({
    overhead: fc.integer({ min: 1, max: 60 }),
    maxPayload: fc.integer({ min: 64, max: 20_000 }),
    step: fc.integer({ min: 1, max: 16 }),
    above: fc.integer({ min: 1, max: 16 }),
  }).map(({ overhead, maxPayload, step, above }): SizeGrid => ({
    overhead,
    maxPayload,
    step,
    // A smallest record holds at least a byte, and no record more than a step's rounding of it.
    smallest: overhead + Math.min(step, above),
  })),
);

Deno.test("records of any size exist on the grid, hold something, and their sum is no smaller", () => {
  fc.assert(fc.property(grids, fc.integer({ min: 1, max: 200_000 }), (grid, size) => {
    const records = splitSize(size, grid);
    const largest = wireSize(grid.maxPayload, grid);
    for (const record of records) {
      const payload = payloadSize(record, grid);
      assert.ok(payload >= 1 && payload <= grid.maxPayload, `payload ${payload}`);
      assert.equal(wireSize(payload, grid), record);
      assert.ok(record >= smallestRecord(grid) && record <= largest);
    }
    const sum = records.reduce((a, b) => a + b, 0);
    assert.ok(sum >= Math.min(size, sum) && sum >= size);
    assert.ok(sum - size < Math.max(smallestRecord(grid), grid.step ?? 1) + (grid.step ?? 1));
  }));
});

Deno.test("sizes of SSH are exact from 72 bytes on in steps of 4, and of TLS in steps of 1", () => {
  const total = (size: number, grid: SizeGrid) => splitSize(size, grid).reduce((a, b) => a + b, 0);
  fc.assert(fc.property(fc.integer({ min: 18, max: 100_000 }), (quarter) => {
    assert.equal(total(4 * quarter, SSH), 4 * quarter);
  }));
  fc.assert(fc.property(fc.integer({ min: 23, max: 100_000 }), (size) => {
    assert.equal(total(size, TLS), size);
  }));
  assert.deepEqual([36, 37, 40, 44, 48, 72, 16420].map((size) => splitSize(size, SSH)), [
    [36],
    [44],
    [44],
    [44],
    [52],
    [36, 36],
    [16420],
  ]);
  // Two records that do not fill one are never neighbours behind others: ssh might read both at once.
  assert.deepEqual(splitSize(16420 + 9004, SSH), [16420, 9004]);
  assert.deepEqual(splitSize(16420 + 9000, SSH), [36, 16420, 8964]);
});

Deno.test("settling on a grid twice changes nothing, and the script holds what the records hold", () => {
  const request = (type: "data" | "padding") =>
    fc.record({
      type: fc.constant(type),
      size: fc.integer({ min: 1, max: 60_000 }),
      time: fc.integer({ min: 0, max: 1000 }),
    });
  fc.assert(fc.property(grids, request("data"), fc.array(request("data")), (grid, first, more) => {
    const plan: ConnectionPlan = {
      exchanges: [{ request: first, response: more }],
      close: { by: "client", how: "fin", time: 0 },
    };
    const settled = settlePlan(plan, grid);
    assert.deepEqual(settlePlan(settled, grid), settled);
    const [exchange] = settled.exchanges;
    const script = new Script(grid, settled);
    for (const [i, message] of [exchange!.request, ...exchange!.response].entries()) {
      const wire = script.messages[i]!.records.map((payload) => wireSize(payload, grid));
      assert.deepEqual(wire, recordsOf(message, grid));
      assert.equal(wire.reduce((a, b) => a + b, 0), message.size);
    }
  }));
});

Deno.test("what the carrier's own program plays is not played again, for models learned for it", () => {
  const plan: ConnectionPlan = {
    exchanges: [1, 2, 3].map((size) => ({
      request: { type: "data", size: 100 * size, time: 0 },
      response: [],
    })),
    close: { by: "client", how: "fin", time: 0 },
  };
  const opening = (exchanges: number) => ({ ...SSH, opening: { carrier: "ssh", exchanges } });
  const first = (grid: SizeGrid, carrier = "ssh") =>
    withoutOpening(plan, carrier, grid).exchanges.map(({ request }) => request.size);
  assert.deepEqual(first(SSH), [100, 200, 300]);
  assert.deepEqual(first(opening(2)), [300]);
  assert.deepEqual(first(opening(9)), [300]);
  assert.deepEqual(first(opening(2), "tls"), [100, 200, 300]);
});
