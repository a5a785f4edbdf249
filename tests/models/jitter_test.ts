import assert from "node:assert/strict";
import * as fc from "fast-check";
import { cleared, withoutJitter } from "../../models/learn/jitter.ts";
import { SeededRandom } from "../../models/random.ts";

const quantile = (list: readonly number[], share: number) =>
  list.toSorted((a, b) => a - b)[Math.floor(share * (list.length - 1))]!;

Deno.test("times with their jitter taken out and put back are spread as they were", () => {
  const random = new SeededRandom(new Uint8Array(32).fill(7));
  const jitter = Array.from({ length: 300 }, () => 0.3 * random.float());
  const late = () => jitter[random.integer(jitter.length)]!;
  // A server that answers at once, after 2 ms, or after up to a second.
  const pure = Array.from(
    { length: 600 },
    (_, i) => i % 3 === 0 ? 0.1 : i % 3 === 1 ? 2 : 1000 * random.float(),
  );
  const seen = pure.map((time) => time + late());
  const clean = withoutJitter(seen, jitter);
  const again = clean.map((time) => time + late());
  for (const share of [0.05, 0.15, 0.25, 0.4, 0.6, 0.8]) {
    const off = Math.abs(quantile(again, share) - quantile(seen, share));
    assert.ok(off < 0.05 + 0.03 * quantile(seen, share), `${share}: ${off}`);
  }
  const spread = (list: readonly number[]) => quantile(list, 0.3) - quantile(list, 0.03);
  assert.ok(spread(clean) < spread(seen) / 2, "what came irregularly does so no more");
});

Deno.test("times keep their order, stay above 0, and need jitter to change", () => {
  const list = fc.array(fc.double({ min: 0, max: 1e4, noNaN: true }), { maxLength: 60 });
  fc.assert(fc.property(list, list, (times, jitter) => {
    const clean = withoutJitter(times, jitter);
    assert.equal(clean.length, times.length);
    assert.ok(clean.every((time) => time >= 0));
    const order = Array.from(times.keys()).sort((a, b) => times[a]! - times[b]! || a - b);
    order.slice(1).forEach((at, i) => assert.ok(clean[order[i]!]! <= clean[at]! + 1e-9));
    assert.deepEqual(withoutJitter(times, []), times);
  }));
});

Deno.test("only what is marked loses jitter, and the mark goes", () => {
  const message = (think: number, jittered?: boolean) => ({
    size: 100,
    think,
    lead: 0,
    records: [],
    ...(jittered === undefined ? {} : { jittered }),
  });
  const connections = Array.from({ length: 100 }, (_, i) => ({
    exchanges: [{ request: message(7), responses: [message(1 + i / 1000, true), message(5)] }],
    close: { by: "client" as const, how: "fin" as const, time: 1 },
  }));
  const jitter = Array.from({ length: 100 }, (_, i) => i / 1000);
  for (const { exchanges } of cleared(connections, jitter)) {
    const [first, second] = exchanges[0]!.responses;
    assert.deepEqual(exchanges[0]!.request, message(7));
    assert.deepEqual(second, message(5));
    assert.ok(Math.abs(first!.think - 1) < 0.02);
    assert.ok(!("jittered" in first!));
  }
});
