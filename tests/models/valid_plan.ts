import assert from "node:assert/strict";
import type { ConnectionPlan } from "../../models/cover_model.ts";
import { LEAST_SIZE } from "../../models/records.ts";

const isTime = (time: number) => Number.isFinite(time) && time >= 0;

/** Checks what every plan must hold, whatever the model. */
export function assertValidPlan({ exchanges, close }: ConnectionPlan): void {
  assert(exchanges.length >= 1, "a connection has an exchange");
  const sent = { client: 0, server: 0 };
  const messages = exchanges.flatMap(({ request, response }) => [
    { message: request, by: "client" as const },
    ...response.map((message) => ({ message, by: "server" as const })),
  ]);
  for (const { message, by } of messages) {
    const { type, size, time, records, lead = 0 } = message;
    assert(type === "data" || type === "padding");
    assert(Number.isInteger(size) && size >= LEAST_SIZE, `size ${size}`);
    assert(isTime(time), `time ${time}`);
    const before = sent[by === "client" ? "server" : "client"];
    assert(Number.isInteger(lead) && lead >= 0 && lead <= before, `lead ${lead} of ${before}`);
    if (records !== undefined) {
      assert.equal(
        records.reduce((sum, record) => sum + record, 0),
        size,
        "records sum to the size",
      );
      for (const record of records) {
        assert(Number.isInteger(record) && record >= LEAST_SIZE, `record ${record}`);
      }
    }
    sent[by] += size;
  }
  assert(close.by === "client" || close.by === "server");
  assert(close.how === "fin" || close.how === "rst");
  assert(close.answer === undefined || close.answer === "rst" && close.how === "fin");
  assert(isTime(close.time));
}
