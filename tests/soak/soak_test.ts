import assert from "node:assert/strict";
import { leftovers } from "../../lab/leftovers.ts";
import { missingFor } from "../../lab/needs.ts";
import { soak } from "./soak.ts";

const missing = await missingFor([], ["nft", "ip", "ss"]);
const why = missing.length > 0 ? ` (ignored: ${missing[0]})` : "";

Deno.test({
  name:
    `soak, a little one: five tunnels over a bad link whose connections are killed lose nothing (needs root, nft)${why}`,
  ignore: missing.length > 0,
  fn: async () => {
    const report = await soak({
      tunnels: 5,
      seconds: 8,
      perProcess: 3,
      carriers: [],
      killEvery: 0.4,
      loss: 0.02,
      seed: "little",
      grace: 10,
      nice: 0,
      onProgress: () => {},
    });
    // What had not ended when time was up was given up by its user.
    const { begun, complete, failed, silentlyWrong, unfinished } = report.streams;
    assert.equal(silentlyWrong, 0, JSON.stringify(report.faults));
    assert.equal(failed, unfinished, JSON.stringify(report.faults));
    assert.ok(complete > 10, `${complete} of ${begun} streams complete`);
    const killed = Object.values(report.kills).reduce((sum, count) => sum + count, 0);
    assert.ok(killed >= 5, `${killed} connections killed`);
    assert.ok(report.link!.there.lost > 0 && report.link!.back.lost > 0, "the link loses packets");
    assert.deepEqual(report.changes.map(({ what }) => what), ["rate 5 Mbit/s", "rate 100 Mbit/s"]);
    assert.deepEqual(await leftovers(Deno.pid), []);
  },
});
