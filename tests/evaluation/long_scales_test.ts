import assert from "node:assert/strict";
import type { PlannedJobs, Results } from "../../evaluation/experiments/plan.ts";
import { longScales, type LongScalesResult } from "../../evaluation/experiments/long_scales.ts";
import { longScalesSection } from "../../evaluation/experiments/sections/long_scales.ts";
import { withMadeCaptures } from "./made_captures.ts";

function sectionOf(found: LongScalesResult) {
  const planned = { longScales: [{ model: "made-users", job: 0 }] } as unknown as PlannedJobs;
  return longScalesSection(planned, [found] as unknown as Results);
}

Deno.test("users over long times: real ones and played ones are cut to one length, and compared pause by pause", () =>
  withMadeCaptures(async (folder) => {
    const real = [1, 2].map((run) => `${folder}/typing/run-${run}.pcap`);
    const found = await longScales({ real, model: "constant-rate", seed: "1" });
    assert.equal(found.users, 1);
    assert.ok(found.minutes > 0 && found.openings.real.low > 1 && found.openings.cover.low > 0);
    assert.ok(found.pauses.ks >= 0 && found.pauses.ks <= 1);
    assert.deepEqual([found.pauses.cover.sessions, found.pauses.real.sessions], [0, 0]);
    // Constant rate opens a connection every five seconds: it has no pauses that end an episode.
    assert.equal(found.pauses.cover.episodes, 0);
    const { facts, tables } = sectionOf(found);
    assert.equal(facts!.length, 0);
    assert.equal(tables.length, 2);
    for (const { head, rows } of tables) {
      for (const row of rows) assert.equal(row.length, head.length);
    }
  }));

Deno.test("users over long times: played users who never go away are said to", () => {
  const range = { low: 10, middle: 12, high: 14 };
  const { facts } = sectionOf({
    users: 12,
    minutes: 24,
    openings: { real: range, cover: { low: 40, middle: 48, high: 50 } },
    energy: [{ scale: 1000, real: range, cover: range }],
    pauses: {
      real: { n: 100, episodes: 50, sessions: 10 },
      cover: { n: 400, episodes: 100, sessions: 0 },
      ...{ ks: 0.2, ksReal: 0.1, ksEpisodes: 0.3, ksEpisodesReal: 0.1 },
    },
  });
  assert.match(facts![0]!.text, /no played user pauses for 5 minutes.* 4 times as many/);
  assert.equal(facts![0]!.good, false);
});
