import assert from "node:assert/strict";
import { ConstantRate } from "../../models/constant_rate.ts";
import {
  makeWorld,
  saturate,
  STRICT_ROLES,
  TestModel,
  type World,
  type WorldOptions,
} from "./engine_world.ts";

/** Plays for `minutes` with nothing to carry, and with more than fits both ways. */
function idleAndBusy(
  options: WorldOptions,
  minutes: number,
  act?: (world: World) => void,
): [World, World] {
  const worlds = [makeWorld(options), makeWorld(options)] as [World, World];
  saturate(worlds[1]);
  for (const world of worlds) {
    act?.(world);
    world.opener.start();
    world.clock.run(minutes * 60_000);
    assert.deepEqual(world.faults, []);
  }
  return worlds;
}

function assertSameWire(idle: World, busy: World, breaks = false): void {
  for (const { opener, acceptor } of breaks ? [] : [idle, busy]) {
    assert.deepEqual([opener.stats.unclean, acceptor.stats.unclean], [0, 0]);
  }
  for (const end of ["client", "server"] as const) {
    const [expected, actual] = [idle.logs[end].visible(), busy.logs[end].visible()];
    for (let i = 0; i < Math.max(expected.length, actual.length); i++) {
      if (expected[i] !== actual[i]) {
        assert.fail(`event ${i} at the ${end}: idle ${expected[i]}, busy ${actual[i]}`);
      }
    }
    assert.ok(idle.logs[end].events.every(({ data }) => data === 0));
  }
  assert.ok(idle.opener.stats.completed >= 10, `only ${idle.opener.stats.completed} connections`);
  assert.equal(idle.opener.stats.data, 0);
  assert.ok(busy.opener.stats.data > 0 && busy.acceptor.stats.data > 0, "nothing was carried");
}

const MODELS: Record<string, WorldOptions> = {
  "sessions and episodes": {},
  "no layers": { model: new TestModel({ layers: false }) },
  "one after another": { model: new TestModel({ layers: false, gap: "close", think: 50 }) },
  "tiny client messages": {
    model: new TestModel({ clientSizes: [30, 60], exchanges: 60, think: 50 }),
  },
  "tiny messages both ways": {
    model: new TestModel({
      clientSizes: [24, 44],
      serverSizes: [23, 50],
      exchanges: 80,
      think: 50,
    }),
  },
  "constant rate": { model: new ConstantRate() },
  "a slow link": { link: { delay: 40, rate: 200_000 } },
  "a sealed client side": { sealed: true },
  "several sessions": { opener: { sessions: 5 } },
};

for (const { form, lead } of STRICT_ROLES) {
  for (const [name, options] of Object.entries(MODELS)) {
    Deno.test(`strict, ${lead} leads, ${form}, ${name}: idle and busy look alike`, () => {
      const [idle, busy] = idleAndBusy({
        ...options,
        lead,
        opener: { form, ...options.opener },
      }, 3);
      assertSameWire(idle, busy);
      assert.deepEqual([busy.opener.form, busy.opener.master], [form, lead]);
    });
  }

  Deno.test(`strict, ${lead} leads, ${form}: idle and busy look alike while connections break`, () => {
    const options = { lead, opener: { form, sessions: 3 } };
    const [idle, busy] = idleAndBusy(options, 3, ({ clock, network }) => {
      const breakOne = () => {
        const open = network.open();
        if (open.length > 0) network.kill(open[open.length >> 1]!, 7);
        clock.at(clock.now() + 1234, breakOne);
      };
      clock.at(1234, breakOne);
    });
    assertSameWire(idle, busy, true);
    assert.ok(idle.opener.stats.unclean > 10);
  });
}

Deno.test("demand: only the starts of episodes depend on users", () => {
  const [idle, busy] = idleAndBusy({ opener: { schedule: "demand", sessions: 2 } }, 10);
  assert.ok(busy.opener.stats.opened > idle.opener.stats.opened, "demand has no effect");
  // The connections that both played are the same from their own opening on.
  for (const end of ["client", "server"] as const) {
    const byConnection = (world: World) => {
      const shapes = new Map<string, { opened: number; lines: string[]; done: boolean }>();
      for (const event of world.logs[end].events) {
        const name = `${event.session}/${event.serial}`;
        if (event.what === "open") {
          shapes.set(name, { opened: event.time, lines: [], done: false });
          continue;
        }
        const shape = shapes.get(name)!;
        const after = (event.time - shape.opened).toFixed(6);
        shape.lines.push(`${event.what} ${event.size} ${event.how ?? ""} ${after}`);
        shape.done ||= event.what === "close";
      }
      return shapes;
    };
    const [a, b] = [byConnection(idle), byConnection(busy)];
    let compared = 0;
    for (const [name, shape] of a) {
      const other = b.get(name);
      if (!shape.done || !other?.done) continue;
      assert.deepEqual(other.lines, shape.lines, `connection ${name} at the ${end}`);
      compared++;
    }
    assert.ok(compared > 20);
  }
});

Deno.test("demand without users is strict", () => {
  const [demand, strict] = (["demand", "strict"] as const).map((schedule) => {
    const world = makeWorld({ opener: { schedule } });
    world.opener.start();
    world.clock.run(300_000);
    return world;
  }) as [World, World];
  assert.deepEqual(demand.logs.client.visible(), strict.logs.client.visible());
  assert.deepEqual(demand.logs.server.visible(), strict.logs.server.visible());
});
