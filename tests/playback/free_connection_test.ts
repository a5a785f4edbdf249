import assert from "node:assert/strict";
import fc from "fast-check";
import { Bulk } from "../../models/bulk.ts";
import { ReliableTunnel } from "../../playback/tunnel.ts";
import { makeWorld, pump } from "./engine_world.ts";

const model = new Bulk();

Deno.test("free: what there is goes at once, in full records, without padding", () => {
  const world = makeWorld({ model, sealed: true, link: { delay: 10, rate: 1e7 } });
  world.opener.start();
  world.clock.run(200);
  const { here, there } = pump(world, 5_000_000);
  world.clock.run(3000);
  assert.equal(here.received.digest("hex"), there().sent.digest("hex"));
  assert.equal(there().received.digest("hex"), here.sent.digest("hex"));
  assert(here.ended && there().ended);
  assert.deepEqual(world.faults, []);
  for (const { stats } of [world.opener, world.acceptor]) {
    assert.equal(stats.opened, 1);
    assert(stats.data >= 5_000_000);
    // The proof's exchange is padded, nothing after it.
    assert(stats.padding < 800, `${stats.padding} bytes of padding`);
    assert(stats.control < 0.01 * stats.data, `${stats.control} bytes of frames`);
    assert(stats.wire < 1.015 * stats.data, `${stats.wire} on the wire`);
  }
});

Deno.test("free: nothing is lost when connections are killed, and one takes the place of another", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 1000 }),
      fc.array(fc.integer({ min: 30, max: 900 }), { minLength: 1, maxLength: 6 }),
      fc.integer({ min: 1, max: 3 }),
      (seed, kills, sessions) => {
        const world = makeWorld({
          model,
          seed,
          sealed: true,
          link: { delay: 5, rate: 2e6 },
          opener: { sessions, stagger: 20 },
        });
        world.opener.start();
        world.clock.run(300);
        const { here, there } = pump(world, 400_000, seed);
        let time = 300;
        for (const wait of kills) {
          world.clock.run(time += wait);
          const [id] = world.network.open();
          if (id !== undefined) world.network.kill(id, 7);
        }
        world.clock.run(120_000);
        assert.equal(here.received.digest("hex"), there().sent.digest("hex"));
        assert.equal(there().received.digest("hex"), here.sent.digest("hex"));
        assert(here.ended && there().ended);
        assert.equal(world.opener.open, sessions);
      },
    ),
    { numRuns: 25 },
  );
});

Deno.test("free: an idle connection stays, with a byte now and then; a silent peer is given up", () => {
  const world = makeWorld({ model, link: { delay: 5 } });
  world.opener.start();
  world.clock.run(3_600_000);
  assert.equal(world.opener.stats.opened, 1);
  assert.equal(world.opener.open, 1);
  assert(world.opener.stats.records <= 70, `${world.opener.stats.records} records in an hour`);
  // The server is not told that the connection broke, and hears nothing more on it.
  const [id] = world.network.open();
  world.network.kill(id!, 1e9);
  world.clock.run(3_600_000 + 600_000);
  assert.equal(world.opener.stats.opened, 2);
  assert.equal(world.acceptor.stats.stalled, 1);
  assert.equal(world.acceptor.open, 1);
});

Deno.test("free: acknowledgements alone wait a little, and go", () => {
  const [client, server] = [
    new ReliableTunnel({ end: "client" }),
    new ReliableTunnel({ end: "server" }),
  ];
  for (const end of [client, server]) end.connectionOpened(1);
  let woken = 0;
  server.flow(1, () => woken++);
  const buffer = new Uint8Array(1000);
  const nothing = { control: 0, data: 0, padding: 0 };
  assert.deepEqual(server.fillFree(1, buffer, true), nothing);
  client.sendControl(200, new Uint8Array(10));
  const { control } = client.fillFree(1, buffer, true);
  assert(control > 10);
  server.receive(1, buffer.subarray(0, control));
  assert(woken > 0 && server.owesAcks);
  assert.deepEqual(server.fillFree(1, buffer, true), nothing);
  assert(server.fillFree(1, buffer, false).control > 0);
  assert(!server.owesAcks);
});

Deno.test("free: without the model at the other end there is one clear error", () => {
  for (const opener of [{}, { form: "embedded" as const }]) {
    const world = makeWorld({ model, models: [], opener });
    world.opener.start();
    world.clock.run(10_000);
    assert.equal(world.opener.open, 0);
    const said = world.faults.map(String).join("\n");
    assert.match(said, /only where the server holds the model|does not hold this model/);
  }
});

for (const lead of ["client", "server"] as const) {
  for (const schedule of ["strict", "demand", "adaptive"] as const) {
    Deno.test(`free: whoever leads, whatever the schedule: ${lead}, ${schedule}`, () => {
      const world = makeWorld({
        model,
        lead,
        sealed: true,
        link: { delay: 5, rate: 2e6 },
        opener: { sessions: 2, stagger: 20, schedule },
      });
      world.opener.start();
      world.clock.run(1000);
      const { here, there } = pump(world, 400_000);
      world.clock.run(20_000);
      assert.equal(here.received.digest("hex"), there().sent.digest("hex"));
      assert.equal(there().received.digest("hex"), here.sent.digest("hex"));
      assert.equal(world.opener.open, 2);
      assert.deepEqual(world.faults, []);
    });
  }
}
