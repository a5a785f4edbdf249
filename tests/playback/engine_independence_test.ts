import assert from "node:assert/strict";
import type { End } from "../../models/cover_model.ts";
import { Lead } from "../../playback/lead.ts";
import { recordsOf } from "../../playback/script.ts";
import { TLS_GRID } from "../../playback/virtual_network.ts";
import { ConstantRate } from "../../models/constant_rate.ts";
import {
  leadSeed,
  makeWorld,
  pump,
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
  "shared ends": { model: new TestModel({ ends: true }) },
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
      }, 1.5);
      assertSameWire(idle, busy);
      assert.deepEqual([busy.opener.form, busy.opener.master], [form, lead]);
    });
  }

  Deno.test(`strict, ${lead} leads, ${form}: idle and busy look alike while connections break`, () => {
    const options = { lead, opener: { form, sessions: 3 } };
    const [idle, busy] = idleAndBusy(options, 1.5, ({ clock, network }) => {
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

/** What is seen of each connection that ended, from its opening on. */
function shapesOf(world: World, end: End): Map<string, string[]> {
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
  return new Map(
    [...shapes].filter(([, { done }]) => done).map(([name, { lines }]) => [name, lines]),
  );
}

for (const lead of ["client", "server"] as const) {
  Deno.test(`demand, ${lead} leads: only the starts of episodes depend on users`, () => {
    const [idle, busy] = idleAndBusy({ lead, opener: { schedule: "demand", sessions: 2 } }, 10);
    assert.ok(busy.opener.stats.opened > idle.opener.stats.opened, "demand has no effect");
    // The connections that both played are the same from their own opening on.
    for (const end of ["client", "server"] as const) {
      const [a, b] = [shapesOf(idle, end), shapesOf(busy, end)];
      let compared = 0;
      for (const [name, shape] of a) {
        if (!b.has(name)) continue;
        assert.deepEqual(b.get(name), shape, `connection ${name} at the ${end}`);
        compared++;
      }
      assert.ok(compared > 20);
    }
  });

  Deno.test(`adaptive, ${lead} leads: only the starts and kinds of episodes depend on users`, () => {
    const model = new TestModel();
    const [idle, busy] = idleAndBusy(
      { lead, model, opener: { schedule: "adaptive", sessions: 2 } },
      3,
    );
    // Idle, no connection is of a kind; busy, each is what its lead draws for one of the kinds.
    const drawn = new Lead(model, leadSeed(lead), { adaptive: true });
    const sizesOf = (name: string, kind: number) => {
      const [session, serial] = name.split("/").map(Number) as [number, number];
      const { exchanges } = drawn.draw(session, serial, kind, 22, TLS_GRID).plan;
      return exchanges.flatMap(({ request }) => recordsOf(request, TLS_GRID)).join();
    };
    const kindsKnown = new Map<string, number>();
    const kindOf = (name: string, shape: string[]) => {
      const known = kindsKnown.get(`${name} ${shape.length} ${shape[0]}`);
      if (known !== undefined) return known;
      const sizes = shape.filter((line) => line.startsWith("record"))
        .map((line) => line.split(" ")[1]).join();
      const kind = [0, 1, 2].find((kind) => sizesOf(name, kind) === sizes);
      if (kind !== undefined) kindsKnown.set(`${name} ${shape.length} ${shape[0]}`, kind);
      return kind;
    };
    const kinds = (world: World) =>
      [...shapesOf(world, "client")].slice(8).map(([name, shape]) => kindOf(name, shape));
    assert.ok(kinds(idle).every((kind) => kind === 0));
    const chosen = kinds(busy);
    assert.ok(!chosen.includes(undefined), "a connection is of one of the kinds, and nothing else");
    assert.ok(chosen.filter((kind) => kind! > 0).length > 10, "kinds are chosen");
    // Given the kind, a connection is the same whatever it carries: so is another user's.
    const other = makeWorld({ lead, model, opener: { schedule: "adaptive", sessions: 2 } });
    pump(other, 3_000_000, 5);
    other.opener.start();
    other.clock.run(180_000);
    for (const end of ["client", "server"] as const) {
      const [a, b] = [shapesOf(busy, end), shapesOf(other, end)];
      const [ka, kb] = [shapesOf(busy, "client"), shapesOf(other, "client")];
      let compared = 0;
      for (const [name, shape] of a) {
        const theirs = b.get(name);
        if (theirs === undefined || !ka.has(name) || !kb.has(name)) continue;
        if (kindOf(name, ka.get(name)!) !== kindOf(name, kb.get(name)!)) continue;
        assert.deepEqual(theirs, shape, `connection ${name} at the ${end}`);
        compared++;
      }
      assert.ok(compared > 10, `only ${compared} compared`);
    }
  });
}

for (const schedule of ["demand", "adaptive"] as const) {
  Deno.test(`${schedule} without users is strict`, () => {
    const [free, strict] = ([schedule, "strict"] as const).map((schedule) => {
      // The kind's name takes room in a first message, which is drawn again if it has none.
      const model = new TestModel({ clientSizes: [300, 900] });
      const world = makeWorld({ model, opener: { schedule } });
      world.opener.start();
      world.clock.run(300_000);
      return world;
    }) as [World, World];
    assert.deepEqual(free.logs.client.visible(), strict.logs.client.visible());
    assert.deepEqual(free.logs.server.visible(), strict.logs.server.visible());
  });
}
