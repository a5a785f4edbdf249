import assert from "node:assert/strict";
import { LocalPlans } from "../../models/plans.ts";
import { builtinModel } from "../../models/registry.ts";
import { DrawnOpenings, type Opening } from "../../playback/openings.ts";

/** The first openings of one of a model's sessions, or all. */
async function openingsOf(name: string, count: number, session = 0): Promise<Opening[]> {
  const openings = new DrawnOpenings(
    new LocalPlans(await builtinModel(name), new Uint8Array(32).fill(5)),
  );
  const found: Opening[] = [];
  for (let serial = 0; serial < count; serial++) {
    const opening = openings.opening(session, serial);
    if (opening === "end") break;
    found.push(opening);
  }
  return found;
}

Deno.test("openings of models without sessions: whole clicks, each after a pause from the start before", async () => {
  for (const name of ["https", "smtp", "ssh"]) {
    const [, ...openings] = await openingsOf(name, 600);
    assert.equal(openings.length, 599);
    assert.ok(openings.every(({ after }) => after === "start"));
    const [pauses, gaps] = [true, false].map((begins) =>
      openings.filter((opening) => opening.begins === begins).map(({ time }) => time)
    );
    assert.ok(pauses!.length > 30 && gaps!.length > 30);
    // A fifth more than the second within which a click's connections start.
    assert.ok(Math.min(...pauses!) > 1000 && Math.max(...gaps!) <= 1200, name);
  }
});

Deno.test("openings of models with sessions: an episode begins when all is quiet, with all of its clicks", async () => {
  const long: number[] = [];
  for (const name of ["https-users", "smtp-users", "ssh-users"]) {
    for (let session = 0; session < 8; session++) {
      const openings = await openingsOf(name, 600, session);
      assert.ok(openings.every(({ after, begins }) => begins === (after === "quiet")));
      const inside = openings.filter(({ begins }) => !begins).map(({ time }) => time);
      assert.ok(inside.every((time) => time <= 30_000), name);
      long.push(...inside.filter((time) => time > 1200));
    }
  }
  assert.ok(long.length > 0, "people do more than one thing in an episode");
});
