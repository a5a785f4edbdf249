import assert from "node:assert/strict";
import process from "node:process";
import { setImmediate } from "node:timers";
import { callAt, earliestArrival } from "../../base/mod.ts";

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Uses the processor, however long others have it meanwhile. */
function work(milliseconds: number): void {
  const used = () => process.cpuUsage().user + process.cpuUsage().system;
  const until = used() + 1000 * milliseconds;
  while (used() < until);
}

/** Where others have the processor for a moment it looks as if the process had slept: then it is tried again. */
async function holds(check: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    if (await check()) return;
  }
  assert.fail("it never held");
}

Deno.test("what is reported after work may have come before it", async () => {
  await turn();
  earliestArrival();
  const before = performance.now();
  work(4);
  assert.ok(earliestArrival() <= before, "in the same turn");
  await turn();
  await holds(async () => {
    await turn();
    earliestArrival();
    const before = performance.now();
    work(4);
    await turn();
    return earliestArrival() <= before;
  });
});

Deno.test("work that nobody tells of counts too", async () => {
  await holds(async () => {
    await turn();
    await turn();
    await new Promise<void>((resolve) => setTimeout(resolve, 5));
    // Other threads of the process may share the work, so it may take less than 3 ms.
    const before = performance.now();
    work(3);
    // Waking is left out.
    return earliestArrival() <= before + 0.5;
  });
});

Deno.test("what is reported after a deadline's work may have come before it", async () => {
  await holds(async () => {
    let before = 0;
    await new Promise<void>((resolve) =>
      callAt(performance.now() + 3, () => {
        before = performance.now();
        work(4);
        setImmediate(resolve);
      })
    );
    return earliestArrival() <= before;
  });
});

Deno.test("what wakes a process that slept has not waited for what that did before", async () => {
  await holds(async () => {
    await turn();
    earliestArrival();
    work(4);
    await turn();
    const after = performance.now();
    await new Promise<void>((resolve) => setTimeout(resolve, 100));
    return earliestArrival() > after;
  });
});
