import assert from "node:assert/strict";
import type { UserError } from "../../base/mod.ts";
import { DEFAULT_POLICY } from "../../playback/policy.ts";
import {
  makeWorld,
  pump,
  saturate,
  TestModel,
  type World,
  type WorldOptions,
} from "./engine_world.ts";

const MINUTE = 60_000;

/** A model of users who had so many connections open at once. */
class Users extends TestModel {
  constructor(readonly mostOpen: number | undefined, gap = 150) {
    super({ layers: false, gap });
  }
}

/** Plays for two minutes; `slow` carries a fraction of what the model asks for. */
function play(options: WorldOptions, slow: boolean, act?: (world: World) => void) {
  const world = makeWorld({
    ...options,
    link: { delay: 20, ...(slow ? { rate: 20_000 } : {}) },
  });
  let most = 0;
  act?.(world);
  world.opener.start();
  world.clock.run(2 * MINUTE, () => {
    most = Math.max(most, world.opener.open);
    return false;
  });
  return { world, most };
}

Deno.test("on a slow link connections pile up, but for a model that knows how many its users had open", () => {
  assert.ok(play({ model: new Users(undefined) }, true).most > 100);
  for (const lead of ["client", "server"] as const) {
    for (const form of ["derived", "embedded"] as const) {
      const { most, world } = play({
        model: new Users(6),
        lead,
        opener: { form, sessions: 2 },
      }, true);
      assert.equal(most, 12, `${lead} ${form}`);
      assert.ok(world.opener.stats.completed > 10);
      assert.deepEqual(world.faults, []);
    }
  }
});

Deno.test("who waits for another connection to close opens when one has, and is not counted as late", () => {
  const { world } = play({ model: new Users(3) }, true);
  const events = world.logs.client.events;
  const opens = events.filter(({ what }) => what === "open").slice(5);
  const closes = new Set(events.filter(({ what }) => what === "close").map(({ time }) => time));
  assert.ok(opens.length > 5);
  for (const { planned, time } of opens) assert.equal(planned, time);
  // The handshake goes before what the log calls open: two round trips.
  assert.ok(opens.filter(({ time }) => closes.has(time)).length > opens.length / 2);
});

Deno.test("where it is never reached, the limit changes nothing", () => {
  const [free, limited] = [undefined, 60].map((most) =>
    play({ model: new Users(most, 600) }, false)
  );
  assert.ok(free!.most < 60);
  assert.deepEqual(free!.world.logs.client.visible(), limited!.world.logs.client.visible());
});

Deno.test("strict: idle and busy look alike while connections wait for others to close", () => {
  const [idle, busy] = [undefined, saturate].map((act) =>
    play({ model: new Users(6), opener: { sessions: 2 } }, true, act).world
  ) as [World, World];
  assert.ok(busy.opener.stats.data > 10_000 && idle.opener.stats.data === 0);
  for (const end of ["client", "server"] as const) {
    assert.deepEqual(idle.logs[end].visible(), busy.logs[end].visible());
  }
});

Deno.test("a server that has more connections than it allows ends the last, and not the tunnel", () => {
  const errors: UserError[] = [];
  const world = makeWorld({
    model: new Users(undefined),
    acceptor: { policy: { ...DEFAULT_POLICY, maxOpen: 4 } },
    opener: { onError: (error) => errors.push(error) },
  });
  const carried = pump(world, 200_000);
  world.opener.start();
  world.clock.run(10 * MINUTE, () => carried.here.ended && carried.there().ended);
  assert.deepEqual(errors, []);
  assert.ok(world.opener.stats.unclean > 0);
  assert.equal(carried.here.received.digest("hex"), carried.there().sent.digest("hex"));
  assert.equal(carried.there().received.digest("hex"), carried.here.sent.digest("hex"));
});
