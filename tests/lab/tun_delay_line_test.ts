import assert from "node:assert/strict";
import fc from "fast-check";
import { DelayLine } from "../../lab/delay_line.ts";
import { seededRandom } from "../../lab/random.ts";

const random = () => seededRandom("test");

/** Sends `sizes` at `times` (milliseconds, ascending) and returns when each arrived, or undefined. */
function send(line: DelayLine, packets: readonly { at: number; size: number }[]) {
  const sent: number[] = [];
  for (const [serial, { at, size }] of packets.entries()) {
    line.incoming[0] = serial & 255;
    line.incoming[1] = serial >> 8;
    if (line.offer(at, size)) sent.push(serial);
  }
  const arrived: { serial: number; time: number; size: number }[] = [];
  while (line.due < Infinity) {
    const time = line.due;
    line.deliver(time, (bytes, size) => {
      arrived.push({ serial: bytes[0]! | bytes[1]! << 8, time, size });
    });
  }
  return { sent, arrived };
}

Deno.test("a packet takes its time to send, then the delay", () => {
  const line = new DelayLine({ delayMs: 20, rateMbit: 20 }, random());
  const { arrived } = send(line, [{ at: 100, size: 1500 }, { at: 100, size: 1500 }, {
    at: 200,
    size: 52,
  }]);
  const times = arrived.map(({ time }) => Number(time.toFixed(4)));
  assert.deepEqual(times, [120.6, 121.2, 220.0208]);
});

Deno.test("without a rate only the delay counts", () => {
  const line = new DelayLine({ delayMs: 5 }, random());
  const { arrived } = send(line, [{ at: 1, size: 1500 }, { at: 1, size: 1500 }]);
  assert.deepEqual(arrived.map(({ time }) => time), [6, 6]);
});

Deno.test("the queue drops what does not fit, and nothing else", () => {
  const line = new DelayLine({ delayMs: 1, rateMbit: 8, queueBytes: 3000 }, random());
  const packets = Array.from({ length: 5 }, () => ({ at: 0, size: 1000 }));
  const { sent, arrived } = send(line, packets);
  assert.deepEqual(sent, [0, 1, 2]);
  assert.deepEqual(arrived.map(({ time }) => time), [2, 3, 4]);
  assert.deepEqual(line.counts, { offered: 5, forwarded: 3, dropped: 2, lost: 0 });
  // When a packet's worth has drained, one more fits.
  assert.equal(line.backlog(3), 0);
  assert.equal(line.offer(3, 1000), true);
});

Deno.test("loss has the rate that was asked for, and jitter keeps the order", () => {
  const line = new DelayLine({ delayMs: 10, loss: 0.1, jitterMs: 30, slots: 16384 }, random());
  const packets = Array.from({ length: 10_000 }, (_, at) => ({ at: at / 10, size: 100 }));
  const { arrived } = send(line, packets);
  assert.ok(Math.abs(line.counts.lost / 10_000 - 0.1) < 0.02, `${line.counts.lost} lost`);
  assert.deepEqual(
    arrived.map(({ serial }) => serial),
    arrived.map(({ serial }) => serial).toSorted((a, b) => a - b),
  );
  assert.ok(arrived.every(({ serial, time }) => time >= serial / 10 + 10));
});

Deno.test("a link that changes: new packets go by the new rate and delay, after those that waited", () => {
  const line = new DelayLine({ delayMs: 10, rateMbit: 8, queueBytes: 4000 }, random());
  const arrived: number[] = [];
  const arrivals = () => {
    while (line.due < Infinity) {
      const { due } = line;
      line.deliver(due, () => arrived.push(due));
    }
  };
  line.offer(0, 1000);
  line.offer(0, 1000);
  line.change(1, { delayMs: 2, rateMbit: 0.8, queueBytes: 4000 });
  assert.equal(line.backlog(1), 1000);
  line.offer(1, 1000);
  // The third waits for the 1000 bytes before it at the new rate, 10 ms, and then takes 10 ms itself.
  arrivals();
  assert.deepEqual(arrived, [11, 12, 23]);
  // Faster again: nothing overtakes.
  line.offer(30, 1000);
  line.change(30, { delayMs: 0 });
  line.offer(30, 1000);
  arrivals();
  assert.deepEqual(arrived.slice(3), [42, 42]);
});

Deno.test("whatever is sent: order, rate, delay and queue hold, and bytes arrive as sent", () => {
  const packets = fc.array(
    fc.record({
      gap: fc.double({ min: 0, max: 3, noNaN: true }),
      size: fc.integer({ min: 40, max: 1500 }),
    }),
    { maxLength: 120 },
  );
  const options = fc.record({
    delayMs: fc.integer({ min: 0, max: 50 }),
    rateMbit: fc.integer({ min: 1, max: 100 }),
    queueBytes: fc.integer({ min: 1500, max: 20_000 }),
  });
  fc.assert(fc.property(packets, options, (gaps, link) => {
    let at = 0;
    const list = gaps.map(({ gap, size }) => ({ at: at += gap, size }));
    const { sent, arrived } = send(new DelayLine(link, random()), list);
    assert.deepEqual(arrived.map(({ serial }) => serial), sent);
    let free = 0;
    for (const { serial, time, size } of arrived) {
      assert.equal(size, list[serial]!.size);
      free = Math.max(free, list[serial]!.at) + size * 8 / (link.rateMbit * 1000);
      assert.ok(Math.abs(time - free - link.delayMs) < 1e-6);
      const waited = free - list[serial]!.at;
      assert.ok(waited <= link.queueBytes * 8 / (link.rateMbit * 1000) + 1e-6);
    }
  }));
});

Deno.test("a full line says so, and goes on when one has left", () => {
  const line = new DelayLine({ delayMs: 1, slots: 2 }, random());
  line.offer(0, 10);
  assert.equal(line.full, false);
  line.offer(0, 10);
  assert.equal(line.full, true);
  assert.equal(line.deliver(0.5, () => {}), false);
  assert.equal(line.deliver(1, () => {}), true);
  assert.equal(line.full, false);
  assert.throws(() => new DelayLine({ delayMs: 1, slots: 3 }, random()), RangeError);
});
