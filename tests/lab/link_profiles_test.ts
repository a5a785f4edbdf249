import assert from "node:assert/strict";
import { DelayLine } from "../../lab/delay_line.ts";
import { LAB_LINK, LINKS } from "../../lab/link_profile.ts";
import { measureLink } from "../../lab/measure.ts";
import { missingFor } from "../../lab/needs.ts";
import { seededRandom } from "../../lab/random.ts";
import { SIMULATED_LINKS } from "../../evaluation/simulation/mod.ts";

const missing = await missingFor([]);
const why = missing.length > 0 ? ` (ignored: ${missing[0]})` : "";

Deno.test("links: each is called by its name, and can be made", () => {
  assert.deepEqual(LINKS["lab"], LAB_LINK);
  for (const [name, link] of Object.entries(LINKS)) {
    assert.equal(link.name, name);
    const line = new DelayLine({ ...link, delayMs: link.oneWayDelayMs }, seededRandom(name));
    line.offer(0, 1000);
    assert.ok(line.due >= link.oneWayDelayMs + 8 / link.rateMbit, name);
    assert.ok(line.due <= link.oneWayDelayMs + 8 / link.rateMbit + (link.jitterMs ?? 0), name);
  }
});

Deno.test("links: a simulation means the same by a name, but for jitter and loss", () => {
  assert.deepEqual(Object.keys(SIMULATED_LINKS), Object.keys(LINKS));
  for (const [name, { jitterMs: _, loss: __, ...link }] of Object.entries(LINKS)) {
    assert.deepEqual(SIMULATED_LINKS[name], link);
  }
});

Deno.test({
  name: `links: what is measured over one is at least what was asked for${why}`,
  ignore: missing.length > 0,
  fn: async () => {
    const { asked, measured, link, linkKind } = await measureLink({
      link: LINKS["mobile"]!,
      milliseconds: 400,
    });
    assert.equal(asked.name, "mobile");
    assert.ok(measured.roundTrip.min >= 2 * asked.oneWayDelayMs);
    assert.ok(measured.downMbit > 0 && measured.upMbit > 0);
    // Jitter shows: no two round trips in ten would be as far apart without it.
    assert.ok(measured.roundTrip.p90 - measured.roundTrip.min > asked.jitterMs! / 2);
    assert.equal(link !== undefined, linkKind === "tun");
  },
});
