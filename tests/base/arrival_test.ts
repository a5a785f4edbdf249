import assert from "node:assert/strict";
import { setImmediate } from "node:timers";
import { callAt, earliestArrival } from "../../base/mod.ts";

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

function work(milliseconds: number): void {
  const until = performance.now() + milliseconds;
  while (performance.now() < until);
}

Deno.test("what is reported after work may have come before it", async () => {
  await turn();
  earliestArrival();
  const before = performance.now();
  work(4);
  assert.ok(earliestArrival() <= before, "in the same turn");
  await turn();
  assert.ok(earliestArrival() <= before, "in the next one");
});

Deno.test("work that nobody tells of counts too", async () => {
  await turn();
  await turn();
  // A turn of its own, as a timer's is.
  await new Promise<void>((resolve) => setTimeout(resolve, 5));
  const before = performance.now();
  work(4);
  // Processor time is what the kernel says, and waking is left out.
  assert.ok(earliestArrival() <= before + 2);
});

Deno.test("what is reported after a deadline's work may have come before it", async () => {
  let before = 0;
  await new Promise<void>((resolve) =>
    callAt(performance.now() + 3, () => {
      before = performance.now();
      work(4);
      setImmediate(resolve);
    })
  );
  assert.ok(earliestArrival() <= before);
});

Deno.test("what wakes a process that slept has not waited for what that did before", async () => {
  earliestArrival();
  work(4);
  await turn();
  const after = performance.now();
  await new Promise<void>((resolve) => setTimeout(resolve, 200));
  assert.ok(earliestArrival() > after);
});
