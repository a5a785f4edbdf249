import fc from "fast-check";
import type { ConnectionPlan, DataRequest } from "../../models/cover_model.ts";

function anyRequest(lead: number): fc.Arbitrary<DataRequest> {
  return fc.record({
    type: fc.constantFrom("data" as const, "padding" as const),
    records: fc.array(
      fc.oneof(fc.integer({ min: 23, max: 200 }), fc.integer({ min: 1, max: 40_000 })),
      { minLength: 1, maxLength: 4 },
    ),
    time: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 2000, noNaN: true })),
    lead: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: lead })),
    split: fc.boolean(),
  }).map(({ type, records, time, lead, split }) => ({
    type,
    size: records.reduce((sum, size) => sum + size, 0),
    time,
    ...(split ? { records } : {}),
    ...(lead > 0 ? { lead } : {}),
  }));
}

/** Any plan that a model may hand over. */
export function anyPlan(): fc.Arbitrary<ConnectionPlan> {
  return fc.record({
    exchanges: fc.array(
      fc.record({
        request: anyRequest(50_000),
        response: fc.array(anyRequest(2000), { maxLength: 3 }),
      }),
      { minLength: 1, maxLength: 8 },
    ),
    close: fc.record({
      by: fc.constantFrom("client" as const, "server" as const),
      how: fc.constantFrom("fin" as const, "rst" as const),
      time: fc.double({ min: 0, max: 1000, noNaN: true }),
      reset: fc.boolean(),
    }).map(({ reset, ...close }) => ({
      ...close,
      ...(reset && close.how === "fin" ? { answer: "rst" as const } : {}),
    })),
  });
}
