import assert from "node:assert/strict";
import fc from "fast-check";
import type { CoverModel } from "../../models/cover_model.ts";
import { SharedEnds } from "../../playback/shared_ends.ts";
import { VirtualClock } from "../../playback/virtual_clock.ts";
import { makeWorld, ROLES, saturate, TestModel, type World } from "./engine_world.ts";

const MINUTE = 60_000;

Deno.test("what shares an end closes at once: when all are through, at the mean of their own times", () => {
  const connection = fc.record({
    through: fc.nat(5000),
    pause: fc.nat(3000),
    breaks: fc.boolean(),
  });
  fc.assert(fc.property(fc.array(connection, { minLength: 1, maxLength: 12 }), (connections) => {
    const clock = new VirtualClock();
    const ends = new SharedEnds(clock);
    const closed: { at: number; planned: number }[] = [];
    const stays = connections.filter(({ breaks }) => !breaks);
    for (const { breaks, pause, through } of connections) {
      const farewell = ends.join(3, 7);
      clock.at(through, () => {
        if (breaks) return farewell.leave();
        farewell.ready(through, through + pause, (planned) => {
          closed.push({ at: clock.now(), planned });
          farewell.leave();
        });
      });
    }
    clock.run();
    assert.equal(closed.length, stays.length);
    if (stays.length === 0) return;
    const mean = stays.reduce((sum, one) => sum + one.through + one.pause, 0) / stays.length;
    const due = Math.max(mean, ...stays.map(({ through }) => through));
    // One that breaks holds the others up until then.
    const late = Math.max(due, ...connections.map(({ through }) => through));
    for (const { at, planned } of closed) {
      assert.ok(Math.abs(planned - due) < 1e-6);
      assert.ok(Math.abs(at - late) < 1e-6);
    }
  }));
});

Deno.test("ends of other numbers and of other sessions are apart; who comes after an end waits for nobody", () => {
  const clock = new VirtualClock();
  const ends = new SharedEnds(clock);
  const closed: string[] = [];
  const open = (session: number, end: number, due: number) => {
    const farewell = ends.join(session, end);
    farewell.ready(clock.now(), due, () => {
      closed.push(`${session} ${end} ${clock.now()}`);
      farewell.leave();
    });
  };
  open(0, 1, 100);
  open(0, 2, 200);
  open(1, 1, 300);
  clock.run(1000);
  open(0, 1, 1500);
  clock.run(2000);
  assert.deepEqual(closed, ["0 1 100", "0 2 200", "1 1 300", "0 1 1500"]);
});

/** Windows of three or four connections, each of which the client closes by itself after up to a second. */
function windows(by: "client" | "either"): CoverModel {
  const message = (size: number, time: number) => ({ type: "data" as const, size, time });
  return {
    description: { ...new TestModel().description, name: "windows", digest: "7e".repeat(32) },
    session: () => undefined,
    episode: (random) => ({
      starts: [0, 20, 5, 300].slice(0, 3 + random.integer(2)),
      ends: [0, 1, 0, 0],
      pause: 4000,
    }),
    connectionGap: () => "close",
    connection: (random) => ({
      exchanges: Array.from({ length: 1 + random.integer(4) }, () => ({
        request: message(600 + random.integer(400), random.integer(200)),
        response: [message(500 + random.integer(9000), random.integer(60))],
      })),
      close: {
        by: by === "either" && random.integer(4) === 0 ? "server" as const : "client" as const,
        how: "fin" as const,
        time: random.integer(1000),
      },
    }),
  };
}

/** When the client closed each connection, by serial number. */
function closesOf({ logs }: World): Map<number, number> {
  return new Map(
    logs.client.events.filter(({ session, what }) => what === "close" && session === 0)
      .map(({ serial, time }) => [serial, time]),
  );
}

for (const { form, lead, schedule } of ROLES) {
  Deno.test(`${lead} leads, ${form}, ${schedule}: connections of a window close at once, however busy`, () => {
    const worlds = [false, true].map((busy) => {
      const world = makeWorld({ model: windows("client"), lead, opener: { form, schedule } });
      if (busy) saturate(world);
      world.opener.start();
      world.clock.run(MINUTE);
      assert.deepEqual(world.faults, []);
      assert.deepEqual([world.opener.stats.unclean, world.acceptor.stats.unclean], [0, 0]);
      const starts = world.logs.client.events.filter(({ what }) => what === "open");
      const closes = closesOf(world);
      // A window's first connection is the one that starts long after the one before.
      const groups: number[][] = [];
      for (const [i, { serial, time }] of starts.entries()) {
        if (i === 0 || time - starts[i - 1]!.time > 900) groups.push([]);
        groups.at(-1)!.push(serial);
      }
      const whole = groups.filter((own) => own.length >= 3 && own.every((n) => closes.has(n)));
      assert.ok(whole.length > 5);
      let together = 0;
      for (const [one, , ...others] of whole) {
        const times = [one!, ...others].map((serial) => closes.get(serial)!);
        if (Math.max(...times) - Math.min(...times) < 1e-6) together++;
      }
      // A connection that opens when all that are open are through by chance may miss the end.
      assert.ok(together >= 0.9 * whole.length, `${together} of ${whole.length}`);
      return world;
    });
    if (schedule === "strict") {
      assert.deepEqual(worlds[0]!.logs.client.visible(), worlds[1]!.logs.client.visible());
    }
  });
}

Deno.test("a server that closes by itself, and connections that break, hold up nobody", () => {
  const world = makeWorld({ model: windows("either") });
  const { clock, network } = world;
  const breakOne = () => {
    const open = network.open();
    if (open.length > 0) network.kill(open[open.length >> 1]!, 3);
    clock.at(clock.now() + 1777, breakOne);
  };
  clock.at(1777, breakOne);
  world.opener.start();
  clock.run(3 * MINUTE);
  const last = world.logs.client.events.at(-1)!;
  assert.ok(last.time > 2.8 * MINUTE);
  assert.ok(world.opener.stats.completed > 50);
  assert.ok(network.open().length <= 12, `${network.open().length} are open`);
});

Deno.test("nobody waits longer than half a minute for another that goes on", () => {
  const model: CoverModel = {
    ...windows("client"),
    episode: () => ({ starts: [0, 0], ends: [0, 0], pause: 300_000 }),
    connection: (random) => ({
      exchanges: [{
        request: { type: "data", size: 900, time: random.integer(2) * 45_000 },
        response: [{ type: "data", size: 900, time: 0 }],
      }],
      close: { by: "client", how: "fin", time: 500 },
    }),
  };
  const world = makeWorld({ model });
  world.opener.start();
  world.clock.run(60 * MINUTE);
  const { events } = world.logs.client;
  const asked = new Map(
    events.filter(({ what }) => what === "record").map(({ serial, time }) => [serial, time]),
  );
  const waited = [...closesOf(world)].map(([serial, time]) => time - asked.get(serial)!);
  assert.ok(waited.length > 15);
  assert.ok(waited.every((ms) => ms < 31_000), `${waited}`);
  assert.ok(waited.some((ms) => ms > 30_000) && waited.some((ms) => ms < 1000), `${waited}`);
  assert.deepEqual([world.opener.stats.unclean, world.acceptor.stats.unclean], [0, 0]);
});
