import assert from "node:assert/strict";
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
