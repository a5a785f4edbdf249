import assert from "node:assert/strict";
import fc from "fast-check";
import { callAt } from "../../base/precise_timer.ts";

Deno.test("a call is never early, in order of its time, and forgotten when cancelled", async () => {
  const now = performance.now();
  const called: number[] = [];
  const cancel = callAt(now + 3, () => called.push(-1));
  const near = callAt(now, () => called.push(-2));
  const far = callAt(now + 2 ** 33, () => called.push(-3));
  cancel();
  near();
  await Promise.all(
    [9, 0, 4, 2.5, 14].map((after) =>
      new Promise<void>((resolve) =>
        callAt(now + after, () => {
          assert.ok(performance.now() >= now + after);
          called.push(after);
          resolve();
        })
      )
    ),
  );
  far();
  assert.deepEqual(called, [0, 2.5, 4, 9, 14]);
});

Deno.test("what has passed is called soon, but not before callAt returns", async () => {
  let returned = false;
  await new Promise<void>((resolve, reject) => {
    callAt(0, () => returned ? resolve() : reject(new Error("called inside callAt")));
    returned = true;
  });
});

Deno.test("any calls and cancellations: each wanted call once, none early, none that was cancelled", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          after: fc.double({ min: -5, max: 12, noNaN: true }),
          cancel: fc.option(fc.nat(100)),
        }),
        { minLength: 1, maxLength: 150 },
      ),
      async (calls) => {
        const now = performance.now();
        const called = new Array<number>(calls.length).fill(0);
        const order: number[] = [];
        const cancels: (() => void)[] = [];
        const cancelled = new Set<number>();
        for (const [i, { after }] of calls.entries()) {
          cancels.push(callAt(now + after, () => {
            assert.ok(performance.now() >= now + after);
            called[i]!++;
            order.push(i);
          }));
        }
        for (const [i, { cancel }] of calls.entries()) {
          if (cancel === null) continue;
          const which = (i + cancel) % calls.length;
          cancels[which]!();
          cancelled.add(which);
        }
        await new Promise<void>((resolve) => callAt(now + 12, resolve));
        for (const [i, times] of called.entries()) assert.equal(times, cancelled.has(i) ? 0 : 1);
        const times = order.map((i) => now + calls[i]!.after);
        assert.deepEqual(times, times.toSorted((a, b) => a - b));
      },
    ),
    { numRuns: 15 },
  );
});

Deno.test("who asks again and again for now does not keep others waiting", async () => {
  let turns = 0;
  let going = true;
  const again = () => {
    turns++;
    if (going) callAt(performance.now(), again);
  };
  again();
  await new Promise<void>((resolve) => setTimeout(resolve, 5));
  await new Promise<void>((resolve) => callAt(performance.now() + 3, resolve));
  going = false;
  assert.ok(turns > 1);
});
