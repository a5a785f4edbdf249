import assert from "node:assert/strict";
import fc from "fast-check";
import { EventQueue } from "../../base/event_queue.ts";

Deno.test("events happen in order of time, equals in order of adding", () => {
  fc.assert(fc.property(fc.array(fc.nat(20)), (times) => {
    const queue = new EventQueue<number>();
    const order: number[] = [];
    times.forEach((time, i) => queue.add(time, i));
    for (let next = queue.next; queue.size > 0; next = queue.next) {
      const { time, what } = queue.take()!;
      assert.equal(time, next);
      order.push(what);
    }
    assert.equal(queue.take(), undefined);
    const expected = times.map((_, i) => i).sort((a, b) => times[a]! - times[b]! || a - b);
    assert.deepEqual(order, expected);
  }));
});
