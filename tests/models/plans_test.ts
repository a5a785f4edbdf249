import assert from "node:assert/strict";
import fc from "fast-check";
import type { CoverModel } from "../../models/cover_model.ts";
import { LocalPlans } from "../../models/plans.ts";
import { DrawnOpenings } from "../../playback/openings.ts";

/** Episodes of up to 40 connections that say what each is like; a connection tells what it was made like. */
const TELLING: CoverModel = {
  description: {
    name: "made",
    kind: "made",
    protocol: "https",
    carrier: "tls",
    digest: "1".repeat(64),
  },
  session: () => undefined,
  episode: (random) => {
    const starts = Array.from({ length: 1 + random.integer(40) }, () => random.integer(100));
    return {
      starts,
      like: starts.map(() => random.integer(10) === 0 ? null : random.integer(1000)),
      ends: starts.map((_, i) => i),
      pause: 1000,
    };
  },
  connectionGap: () => "close",
  connection: (random, _kind, like = -1) => ({
    exchanges: [{
      request: { type: "data", size: 1000 + like, time: random.integer(100) },
      response: [],
    }],
    close: { by: "client", how: "fin", time: 0 },
  }),
};

const likeOf = (plans: LocalPlans, serial: number, attempt?: number, kind?: string) =>
  plans.connection(3, serial, attempt, kind).exchanges[0]!.request.size - 1000;

Deno.test("connections are like what their episodes say, in whatever order they are asked for", () => {
  const seed = new Uint8Array(32).fill(9);
  const plans = new LocalPlans(TELLING, seed);
  const said: number[] = [];
  let episodes = 0;
  while (said.length < 3000) {
    const { ends, like, starts } = plans.episode(3, said.length)!;
    assert.deepEqual([ends!.length, like!.length], [starts.length, starts.length]);
    // None lies across a multiple of 256: what is in it can be found out from there.
    assert.equal(said.length >> 8, (said.length + starts.length - 1) >> 8);
    said.push(...like!.map((one) => one ?? -1));
    episodes++;
  }
  assert.ok(episodes < 200);
  fc.assert(fc.property(fc.array(fc.nat(2999), { minLength: 1, maxLength: 40 }), (serials) => {
    const other = new LocalPlans(TELLING, seed);
    for (const serial of serials) {
      assert.equal(likeOf(other, serial), said[serial]);
      assert.deepEqual(other.connection(3, serial), plans.connection(3, serial));
    }
  }));
  // What is drawn again, or of a kind, is like nothing.
  assert.deepEqual([likeOf(plans, 8, 1), likeOf(plans, 8, 0, "large")], [-1, -1]);
  // Far ahead costs no walk there.
  assert.ok(likeOf(plans, 2 ** 40) >= -1);
  assert.equal(likeOf(plans, 2 ** 70), -1);
  const openings = new DrawnOpenings(plans);
  const begins = said.map((_, serial) => {
    const opening = openings.opening(3, serial);
    return opening !== "end" && opening.begins;
  });
  assert.equal(begins.filter(Boolean).length, episodes);
});
