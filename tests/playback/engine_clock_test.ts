import assert from "node:assert/strict";
import fc from "fast-check";
import { SystemClock } from "../../playback/clock.ts";
import { Lateness } from "../../playback/lateness.ts";
import { VirtualClock } from "../../playback/virtual_clock.ts";
import { Opener } from "../../playback/opener.ts";
import { Acceptor } from "../../playback/acceptor.ts";
import { ReliableTunnel } from "../../playback/tunnel.ts";
import { VirtualNetwork } from "../../playback/virtual_network.ts";
import { TestModel } from "./engine_world.ts";
import { WireLog } from "./wire_log.ts";

Deno.test("the wall clock never calls early, forgets what was cancelled, waits long", async () => {
  const clock = new SystemClock();
  const now = clock.now();
  const early: number[] = [];
  const cancelled = clock.at(now + 5, () => early.push(-1));
  clock.cancel(cancelled);
  const far = clock.at(now + 2 ** 33, () => early.push(-2));
  await Promise.all(
    Array.from({ length: 60 }, (_, i) =>
      new Promise<void>((resolve) => {
        const time = now + i * 0.37;
        clock.at(time, () => {
          if (clock.now() < time) early.push(time);
          resolve();
        });
      })),
  );
  clock.cancel(far);
  assert.deepEqual(early, []);
});

Deno.test("virtual time runs timers by time, then in the order in which they were set", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(20), fc.boolean()), { maxLength: 200 }), (sets) => {
      const clock = new VirtualClock();
      const ran: number[] = [];
      const timers = sets.map(([time], i) => clock.at(time, () => ran.push(i)));
      for (const [i, [, cancel]] of sets.entries()) if (cancel) clock.cancel(timers[i]!);
      clock.run(30);
      const expected = sets.map(([time, cancel], i) => ({ time, cancel, i }))
        .filter(({ cancel }) => !cancel)
        .sort((a, b) => a.time - b.time || a.i - b.i).map(({ i }) => i);
      assert.deepEqual(ran, expected);
      assert.equal(clock.now(), 30);
      assert.equal(clock.pending, 0);
    }),
  );
});

Deno.test("virtual time stops where it is told to, and refuses a time that is none", () => {
  const clock = new VirtualClock();
  let ran = 0;
  for (let i = 1; i <= 10; i++) clock.at(i, () => ran++);
  clock.run(100, () => ran === 4);
  assert.deepEqual([ran, clock.now()], [4, 4]);
  assert.throws(() => clock.at(NaN, () => {}), RangeError);
});

Deno.test("a virtual link has a delay, a rate and an order; a reset discards what is unsent", () => {
  const clock = new VirtualClock();
  const network = new VirtualNetwork(clock, { delay: 10, rate: 100_000, socketBuffer: 500 });
  const [client, server] = network.connect();
  const heard: [number, number | string][] = [];
  server.listener = {
    onData: (bytes) => heard.push([clock.now(), bytes.length]),
    onClose: (reason) => heard.push([clock.now(), reason]),
  };
  client.write(new Uint8Array(978));
  client.write(new Uint8Array(978));
  clock.at(15, () => client.close("rst"));
  clock.run();
  // 1000 bytes on the wire take 10 ms each; the second has left by half when the reset comes.
  assert.deepEqual(heard, [[20, 978], [25, "rst"]]);
  const [a, b] = network.connect();
  const order: (number | string)[] = [];
  b.listener = {
    onData: (bytes) => order.push(bytes.length),
    onClose: (reason) => order.push(reason),
  };
  for (let i = 1; i <= 5; i++) a.write(new Uint8Array(i));
  a.close("fin");
  clock.run();
  assert.deepEqual(order, [1, 2, 3, 4, 5, "fin"]);
});

Deno.test("lateness: quantiles within 5 % of the truth", () => {
  fc.assert(fc.property(
    fc.array(fc.double({ min: 0.01, max: 1e5, noNaN: true }), { minLength: 1, maxLength: 300 }),
    fc.double({ min: 0.01, max: 1, noNaN: true }),
    (values, q) => {
      const lateness = new Lateness();
      for (const value of values) lateness.add(value);
      const sorted = [...values].sort((a, b) => a - b);
      const truth = sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)]!;
      assert.ok(Math.abs(lateness.quantile(q) - truth) <= truth * 0.05 + 0.001);
      assert.equal(lateness.max, sorted.at(-1));
    },
  ));
  assert.deepEqual(new Lateness().summary(), { count: 0, median: 0, p99: 0, max: 0 });
});

Deno.test("the engine plays on the wall clock as it does in virtual time", async () => {
  const clock = new SystemClock();
  const model = new TestModel({ layers: false, gap: 5, think: 3, exchanges: 2 });
  const network = new VirtualNetwork(clock, { delay: 1 });
  const tunnels = {
    client: new ReliableTunnel({ end: "client", clock }),
    server: new ReliableTunnel({ end: "server", clock }),
  };
  const acceptor = new Acceptor({ clock, tunnel: tunnels.server, models: [model] });
  const { promise, resolve } = Promise.withResolvers<void>();
  const log = new WireLog();
  const opener = new Opener({
    clock,
    tunnel: tunnels.client,
    model,
    seed: new Uint8Array(16),
    dial: ({ session, serial, done }) =>
      network.dial(
        (connection) => done({ connection }),
        (connection) => acceptor.accept(connection, { session, serial }),
      ),
    onWire: (event) => {
      log.add(event);
      if (event.what === "close" && event.serial === 8) resolve();
    },
  });
  opener.start();
  await promise;
  opener.stop();
  acceptor.stop();
  for (const tunnel of Object.values(tunnels)) tunnel.fail(new Error("over"));
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.ok(opener.stats.completed >= 3);
  assert.ok(opener.stats.lateness.count > 10);
  for (const { time, planned } of log.events) assert.ok(time >= planned - 1e-6);
});
