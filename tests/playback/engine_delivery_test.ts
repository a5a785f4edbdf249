import assert from "node:assert/strict";
import { SeededRandom, substream } from "../../models/random.ts";
import { makeWorld, pump, ROLES, TestModel } from "./engine_world.ts";

const MILLION = 1_000_000;

for (const { form, lead, schedule } of ROLES) {
  Deno.test(`a million random bytes each way, connections cut at random: ${lead} leads, ${form}, ${schedule}`, () => {
    const random = new SeededRandom(substream(new Uint8Array(32), "cuts", lead, form, schedule));
    const world = makeWorld({
      lead,
      model: new TestModel({ clientSizes: [60, 16_000], think: 80 }),
      sealed: schedule === "demand",
      link: { delay: 15, rate: 500_000 },
      opener: { form, schedule, sessions: 4 },
    });
    const { clock, network } = world;
    let cuts = 0;
    const cut = () => {
      const open = network.open();
      if (open.length > 0) {
        network.kill(open[random.integer(open.length)]!, random.float() * 50);
        cuts++;
      }
      clock.at(clock.now() + random.float() * 400, cut);
    };
    clock.at(100, cut);
    const { here, there } = pump(world, MILLION, 7);
    world.opener.start();
    const done = () => here.ended && there().ended;
    clock.run(3_600_000, done);
    assert.ok(done(), `${here.arrived} and ${there().arrived} bytes in an hour`);
    assert.equal(there().received.digest("hex"), here.sent.digest("hex"));
    assert.equal(here.received.digest("hex"), there().sent.digest("hex"));
    assert.equal(here.arrived, MILLION);
    assert.equal(there().arrived, MILLION);
    assert.ok(cuts >= 30, `only ${cuts} cuts`);
    assert.ok(world.opener.stats.unclean > 0 && world.opener.stats.completed > 0);
    assert.deepEqual([world.opener.master, world.opener.form], [lead, form]);
    world.opener.stop();
    world.acceptor.stop();
  });
}

Deno.test("user data rides in data slots only, and fills them", () => {
  const world = makeWorld({ link: { delay: 5 } });
  pump(world, 2 ** 24, 1);
  world.opener.start();
  world.clock.run(120_000);
  const { stats } = world.acceptor;
  assert.ok(
    stats.data > 0.75 * (stats.data + stats.padding + stats.control),
    JSON.stringify(stats),
  );
});

Deno.test("a sealed client side carries user data in the first message", () => {
  const firstData = (sealed: boolean) => {
    const world = makeWorld({ sealed, model: new TestModel({ clientSizes: [300, 900] }) });
    pump(world, 2 ** 20, 1);
    world.opener.start();
    world.clock.run(60_000);
    assert.deepEqual(world.faults, []);
    const first = new Map<string, number>();
    for (const { what, session, serial, data } of world.logs.client.events) {
      const name = `${session}/${serial}`;
      if (what === "record" && !first.has(name)) first.set(name, data);
    }
    return [...first.values()].filter((data) => data > 0).length / first.size;
  };
  assert.equal(firstData(false), 0);
  // All but padding messages.
  assert.ok(firstData(true) > 0.7);
});
