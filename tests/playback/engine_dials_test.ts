import assert from "node:assert/strict";
import { makeWorld, TestModel } from "./engine_world.ts";

const MINUTE = 60_000;

Deno.test("a server that is slow to answer is not flooded with dials, and all is as before when it answers", () => {
  let away = false;
  let pending = 0;
  let most = 0;
  let dials = 0;
  const world = makeWorld({
    model: new TestModel({
      layers: false,
      gap: 50,
      exchanges: 1,
      think: 5,
      serverSizes: [23, 900],
    }),
    opener: {
      dial: ({ done, failed, serial, session }) => {
        pending++;
        dials++;
        most = Math.max(most, pending);
        if (away) {
          world.clock.at(world.clock.now() + 20_000, () => {
            pending--;
            failed(new Error("no answer in time"));
          });
          return;
        }
        world.network.dial((connection) => {
          pending--;
          done({
            connection,
            prefix: new Uint8Array(16).fill(1),
            peerPrefix: 16,
            onPeerPrefix: (proof) => proof.every((byte) => byte === 2),
          });
        }, (connection) =>
          world.acceptor.accept(connection, {
            session,
            serial,
            peerPrefix: 16,
            prefix: new Uint8Array(16).fill(2),
          }));
      },
    },
  });
  world.opener.start();
  world.clock.run(6000);
  assert.ok(world.opener.stats.completed > 80);
  away = true;
  world.clock.run(25_000);
  assert.ok(most <= 64, `${most} dials at once`);
  world.clock.run(MINUTE);
  const before = dials;
  world.clock.run(6 * MINUTE);
  // One at a time, a pause after each: at most one in 20 s.
  assert.ok(dials - before <= 16, `${dials - before} dials in five minutes`);
  away = false;
  const completed = world.opener.stats.completed;
  world.clock.run(7 * MINUTE);
  assert.ok(world.opener.stats.completed > completed + 100, "it goes on");
  assert.deepEqual(world.faults, []);
});
