import assert from "node:assert/strict";
import fc from "fast-check";
import { ConstantRate } from "../../models/constant_rate.ts";
import { LocalPlans, type PlanSource } from "../../models/plans.ts";
import { drawPlan } from "../../playback/first_message.ts";
import { Lead } from "../../playback/lead.ts";
import { SpareTime } from "../../playback/spare_time.ts";
import { VirtualClock } from "../../playback/virtual_clock.ts";
import { warmUp } from "../../playback/warm_up.ts";

const GRID = { overhead: 22, maxPayload: 16_384 };

Deno.test("plans drawn ahead are those drawn when asked for, and are drawn once", () => {
  fc.assert(fc.property(
    fc.uint8Array({ minLength: 16, maxLength: 16 }),
    fc.array(fc.record({ serial: fc.nat(100), minimum: fc.constantFrom(18, 40) }), {
      maxLength: 100,
    }),
    (seed, wishes) => {
      let drawn = 0;
      const counted = (model: ConstantRate, key: Uint8Array): PlanSource => {
        return new class extends LocalPlans {
          override connection(...args: Parameters<PlanSource["connection"]>) {
            drawn++;
            return super.connection(...args);
          }
        }(model, key);
      };
      const model = new ConstantRate();
      const ahead = new Lead(model, seed, {
        adaptive: false,
        plans: (_, key) => counted(model, key),
      });
      const plain = new Lead(model, seed, { adaptive: false });
      for (const { minimum, serial } of wishes) {
        ahead.prepare(0, serial, minimum, GRID);
        const before = drawn;
        ahead.prepare(0, serial, minimum, GRID);
        assert.equal(drawn, before);
        assert.deepEqual(
          ahead.draw(0, serial, 0, minimum, { ...GRID }),
          plain.draw(0, serial, 0, minimum, GRID),
        );
      }
    },
  ));
});

Deno.test("what is drawn ahead for another first record is not taken", () => {
  const model = new ConstantRate();
  const seed = new Uint8Array(16);
  const ahead = new Lead(model, seed, { adaptive: false });
  const plain = new Lead(model, seed, { adaptive: false });
  ahead.prepare(0, 0, 18, GRID);
  const grid = { ...GRID, overhead: 30 };
  assert.deepEqual(ahead.draw(0, 0, 0, 5000, GRID), plain.draw(0, 0, 0, 5000, GRID));
  assert.deepEqual(ahead.draw(0, 0, 0, 18, grid), plain.draw(0, 0, 0, 18, grid));
});

Deno.test("a first connection that has to be enlarged is one on which the server answers", () => {
  const close = { by: "client", how: "fin", time: 0 } as const;
  const data = { type: "data", time: 0 } as const;
  for (const answered of [0, 1, 9, 99]) {
    const plans = new class extends LocalPlans {
      override connection(_session: number, _serial: number, attempt = 0) {
        // Sizes differ, so that drawing goes on; a record of this size is too small for the proof.
        const exchange = {
          request: { ...data, size: 60 + attempt % 2 },
          response: attempt === answered ? [{ ...data, size: 100 + attempt }] : [],
        };
        return { exchanges: [exchange], close };
      }
    }(new ConstantRate(), new Uint8Array(32));
    const { enlarged, plan } = drawPlan(plans, 0, 0, 500, GRID);
    assert.ok(enlarged);
    const [{ request: { size }, response }] = plan.exchanges as [typeof plan.exchanges[number]];
    assert.equal(size, 522);
    // None is found among the draws that are made: then it is the first, as it was drawn.
    assert.deepEqual(response.map(({ size }) => size), answered === 99 ? [] : [100 + answered]);
  }
});

Deno.test("spare time: one task at a time, in their order, none after the end", () => {
  const clock = new VirtualClock();
  const spare = new SpareTime(clock);
  const done: [number, number][] = [];
  for (let task = 0; task < 3; task++) spare.add(() => done.push([task, clock.now()]));
  assert.equal(done.length, 0);
  clock.run(2);
  assert.deepEqual(done, [[0, 1], [1, 2]]);
  spare.stop();
  clock.run(10);
  assert.equal(done.length, 2);
  spare.add(() => done.push([3, clock.now()]));
  clock.run(20);
  assert.equal(done.length, 3);
});

Deno.test("warming up leaves nothing behind", () => {
  warmUp(new ConstantRate());
  warmUp(new ConstantRate());
});
