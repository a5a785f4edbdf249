import assert from "node:assert/strict";
import fc from "fast-check";
import { SeededRandom, substream } from "../../models/random.ts";
import {
  encodePlan,
  PlanDecoder,
  PlanFormatError,
  quantizeTime,
} from "../../playback/plan_codec.ts";
import { Script, settlePlan } from "../../playback/script.ts";
import { TLS_GRID } from "../../playback/virtual_network.ts";
import { anyPlan } from "./engine_plans.ts";
import { TestModel } from "./engine_world.ts";

Deno.test("a plan comes out of the codec as it went in, in pieces of any size", () => {
  fc.assert(fc.property(
    anyPlan(),
    fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 20 }),
    (drawn, pieces) => {
      const plan = settlePlan(drawn, TLS_GRID);
      const bytes = encodePlan(plan, { requestTimes: true });
      const decoder = new PlanDecoder();
      for (let at = 0, i = 0; at < bytes.length; i++) {
        const end = at + pieces[i % pieces.length]!;
        decoder.push(bytes.subarray(at, end));
        at = end;
      }
      assert.deepEqual({ exchanges: decoder.exchanges, close: decoder.close }, plan);
      assert.equal(decoder.length, bytes.length);
    },
  ));
});

Deno.test("without request times the acceptor still knows every size and its own times", () => {
  fc.assert(fc.property(anyPlan(), (drawn) => {
    const plan = settlePlan(drawn, TLS_GRID);
    const decoder = new PlanDecoder();
    decoder.push(encodePlan(plan, { requestTimes: false }));
    const expected = plan.exchanges.map(({ request, response }) => ({
      request: { ...request, time: 0 },
      response,
    }));
    assert.deepEqual(decoder.exchanges, expected);
  }));
});

Deno.test("settling a plan twice changes nothing", () => {
  fc.assert(fc.property(anyPlan(), (drawn) => {
    const plan = settlePlan(drawn, TLS_GRID);
    assert.deepEqual(settlePlan(plan, TLS_GRID), plan);
    for (const message of new Script(TLS_GRID, plan).messages) {
      assert.ok(message.records.every((size) => size >= 1 && size <= TLS_GRID.maxPayload));
    }
  }));
});

Deno.test("times keep 1/64 ms below 32 ms and 0.025 % above", () => {
  fc.assert(fc.property(fc.double({ min: 0, max: 1e8, noNaN: true }), (ms) => {
    const kept = quantizeTime(ms);
    assert.ok(Math.abs(kept - ms) <= Math.max(1 / 128, ms * 0.00025), `${ms} became ${kept}`);
    assert.equal(quantizeTime(kept), kept);
  }));
  assert.equal(quantizeTime(NaN), 0);
  assert.equal(quantizeTime(-5), 0);
  assert.ok(Number.isFinite(quantizeTime(Infinity)));
});

Deno.test("whatever the bytes, the decoder waits or throws its own error", () => {
  const valid = encodePlan(
    settlePlan(
      new TestModel().connection(new SeededRandom(substream(new Uint8Array(32), "fuzz"))),
      TLS_GRID,
    ),
    { requestTimes: true },
  );
  const random = new SeededRandom(substream(new Uint8Array(32), "noise"));
  let refused = 0;
  for (let run = 0; run < 20_000; run++) {
    const bytes = run % 2 === 0
      ? Uint8Array.from({ length: random.integer(60) }, () => random.integer(256))
      : valid.slice();
    if (run % 2 === 1) bytes[random.integer(bytes.length)] = random.integer(256);
    const decoder = new PlanDecoder();
    try {
      decoder.push(bytes);
      for (const { request, response } of decoder.exchanges) {
        for (const { size, time } of [request, ...response]) {
          assert.ok(Number.isSafeInteger(size) && size > 0 && Number.isFinite(time));
        }
      }
    } catch (error) {
      assert.ok(error instanceof PlanFormatError, String(error));
      refused++;
    }
  }
  assert.ok(refused > 1000);
});

Deno.test("a plan that never ends is refused, not hoarded", () => {
  const endless = new PlanDecoder();
  // Messages of one byte, each saying that another follows.
  const more = new Uint8Array(4096).fill(9);
  assert.throws(() => {
    for (let i = 0; i < 100; i++) endless.push(more);
  }, PlanFormatError);
  const records = new PlanDecoder();
  // One message of 2^31 bytes in records of one byte.
  assert.throws(
    () =>
      records.push(Uint8Array.of(0x84, 0x80, 0x80, 0x80, 0x40, 2, 1, 3, 0x80, 0x80, 0x80, 0x40)),
    PlanFormatError,
  );
});
