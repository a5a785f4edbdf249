import assert from "node:assert/strict";
import fc from "fast-check";
import * as v from "valibot";
import {
  drawConnectionGap,
  drawEpisode,
  drawPause,
  drawSession,
  layersSchema,
} from "../../models/layers.ts";
import { layersOf, swingLayersOf, Timeline } from "../../models/learn/timeline.ts";
import { linearTable } from "../../models/quantile_table.ts";
import { randomOf } from "./made.ts";

Deno.test("Swing's rules: 30 s makes an episode, 5 min a session, per client", () => {
  const timeline = new Timeline();
  timeline.add("a", 0, 1_000);
  timeline.add("a", 30_000, 95_000); // 30 s after the start before: same episode
  timeline.add("a", 60_001, 61_000); // a new episode while the one before still runs
  timeline.add("b", 61_000, 62_000); // another client's
  timeline.add("a", 361_000, 362_000); // 5 min after the end of the episode before: same session
  timeline.add("a", 662_001, 663_000); // more: a new session
  timeline.endCapture(700_000);
  const observed = timeline.observed();
  assert.deepEqual(observed.episodeConnections, [2, 1, 1, 1, 1]);
  assert.deepEqual(observed.episodeGaps, [30_000]);
  assert.deepEqual(observed.pauses, [0, 300_000]);
  // a's second session is cut off by the capture's end; b's had 5 min of silence.
  assert.deepEqual(observed.sessionEpisodes, [3, 1]);
  assert.deepEqual(observed.connectionGaps, [30_000, 30_001, 300_999]);
});

Deno.test("gaps between captures never count, nor what a capture's end cuts off", () => {
  const timeline = new Timeline();
  for (let capture = 0; capture < 3; capture++) {
    timeline.add("a", capture * 10_000, capture * 10_000 + 500);
    timeline.endCapture(capture * 10_000 + 1_000);
  }
  assert.deepEqual(timeline.observed(), {
    clickEnds: [],
    clickMembers: [],
    clickPauses: [],
    clicks: [],
    connectionGaps: [],
    episodeClicks: [],
    episodeConnections: [],
    episodeGaps: [],
    mostOpen: 1,
    sessionEpisodes: [],
    pauses: [],
  });
});

Deno.test("how many connections of one client were open at once is learned, at most of all clients and captures", () => {
  const timeline = new Timeline();
  for (let i = 0; i < 6; i++) timeline.add("a", i * 1000, i * 1000 + 2500);
  timeline.add("b", 0, 60_000);
  timeline.endCapture(70_000);
  // One that begins when another ends is not open beside it.
  for (let i = 0; i < 6; i++) timeline.add("a", i * 1000, i * 1000 + 1000);
  timeline.endCapture(80_000);
  assert.equal(timeline.observed().mostOpen, 3);
  assert.equal(layersOf(timeline.observed()).open, 3);
});

Deno.test("a layer that fewer than five observations show is absent, and nothing is drawn for it", () => {
  const timeline = new Timeline();
  for (let i = 0; i < 5; i++) timeline.add("a", i * 1_000, i * 1_000 + 100);
  timeline.endCapture(10_000);
  const layers = layersOf(timeline.observed());
  assert.deepEqual(layers, {});
  assert.equal(drawSession(layers, randomOf(0)), undefined);
  assert.equal(drawEpisode(layers, randomOf(0)), undefined);
  assert.equal(drawConnectionGap(layers, randomOf(0)), "close");
});

Deno.test("whole layers are learned and drawn", () => {
  const timeline = new Timeline();
  let time = 0;
  for (let session = 0; session < 6; session++) {
    for (let episode = 0; episode < 3; episode++) {
      for (let i = 0; i < 2; i++) timeline.add("a", time + i * 500, time + i * 500 + 100);
      time += 60_000;
    }
    time += 1_000_000;
  }
  timeline.endCapture(time);
  const layers = layersOf(timeline.observed());
  assert.equal(layers.session?.episodes.n, 6);
  assert.equal(layers.episode?.connections.n, 18);
  fc.assert(fc.property(fc.nat(), (number) => {
    const session = drawSession(layers, randomOf(number))!;
    assert.equal(session.pauses.length, 3);
    assert.equal(session.pauses[0], 0);
    assert.deepEqual(drawEpisode(layers, randomOf(number)), { starts: [0, 500] });
  }));
});

Deno.test("clicks are learned: what starts within a second of the one before, and pauses between them in an episode", () => {
  const timeline = new Timeline();
  for (let i = 0; i < 6; i++) {
    const start = i * 400_000;
    for (const at of [0, 250, 251, 5_251, 6_251, 8_251]) {
      timeline.add("a", start + at, start + at + 10);
    }
  }
  timeline.add("a", 2_400_000, 2_400_010); // cut off by the capture's end
  timeline.endCapture(2_400_500);
  const { clickPauses, clicks, episodeClicks } = timeline.observed();
  assert.deepEqual(clicks.slice(0, 4), [[250, 1], [1_000], [], [250, 1]]);
  assert.deepEqual([clicks.length, clickPauses.length], [18, 12]);
  assert.deepEqual([...new Set(clickPauses)].sort(), [2_000, 5_000]);
  assert.deepEqual(episodeClicks, Array(6).fill(3));
});

Deno.test("an episode is drawn of whole clicks with pauses between; without sessions it is one click after a pause", () => {
  const timeline = new Timeline();
  for (let i = 0; i < 12; i++) {
    for (const at of [0, 300, 310, 4_310]) {
      timeline.add("a", i * 100_000 + at, i * 100_000 + at + 9);
    }
    if (i % 2 === 1) timeline.endCapture(i * 100_000 + 90_000);
  }
  const layers = layersOf(timeline.observed());
  assert.equal(layers.session, undefined);
  const near = (actual: number, observed: number) =>
    assert.ok(Math.abs(actual - observed) <= 0.2 * observed + 1e-9, `${actual}, ${observed}`);
  fc.assert(fc.property(fc.nat(), (number) => {
    const { pause, starts } = drawEpisode(layers, randomOf(number))!;
    assert.equal(pause, 4_000);
    assert.equal(starts[0], 0);
    if (starts.length > 1) [300, 10].forEach((gap, i) => near(starts[i + 1]!, gap));
    assert.ok([1, 3].includes(starts.length));
  }));
  const users = new Timeline();
  for (let session = 0; session < 6; session++) {
    for (const at of [0, 300, 310, 4_310, 64_310]) {
      users.add("a", session * 1e6 + at, session * 1e6 + at + 9);
    }
    users.endCapture(session * 1e6 + 900_000);
  }
  const whole = layersOf(users.observed());
  assert.deepEqual(whole.episode?.clicks?.values, [1, 2]);
  fc.assert(fc.property(fc.nat(), (number) => {
    const { pause, starts } = drawEpisode(whole, randomOf(number))!;
    assert.equal(pause, undefined);
    assert.ok(starts.slice(1).filter((gap) => gap > 1_000).every((gap) => gap === 4_000));
  }));
  assert.equal(drawPause(whole, randomOf(1)), 4_000);
  const { click: _, ...swing } = whole;
  assert.deepEqual(
    swingLayersOf(users.observed()),
    { ...swing, episode: { connections: swing.episode!.connections, gap: swing.episode!.gap } },
  );
});

Deno.test("what a client closes at once is learned with the click that opened it, where it is no chance", () => {
  const timeline = new Timeline();
  for (let i = 0; i < 6; i++) {
    const start = i * 10_000;
    // Two windows, of which one outlives the other, one connection that the server closes, one closed alone.
    timeline.add("a", start, start + 3_000, { closed: start + 3_000 });
    timeline.add("a", start + 100, start + 2_005, { closed: start + 2_005 });
    timeline.add("a", start + 200, start + 1_000);
    timeline.add("a", start + 300, start + 2_000, { closed: start + 2_000 });
    timeline.add("a", start + 310, start + 1_500, { closed: start + 1_500 });
    timeline.add("a", start + 400, start + 3_007, { closed: start + 3_007 });
    timeline.add("a", start + 5_000, start + 6_000, { closed: start + 6_000 });
  }
  timeline.endCapture(90_000);
  const { clickEnds } = timeline.observed();
  assert.deepEqual(clickEnds!.slice(0, 2), [[1, 0, null, 0, null, 1], [null]]);
  assert.equal(layersOf(timeline.observed()).click?.members, undefined);
  const layers = layersOf(timeline.observed());
  assert.deepEqual(layers.click?.ends, clickEnds);
  assert.deepEqual(v.parse(layersSchema, layers), layers);
  fc.assert(fc.property(fc.nat(), (number) => {
    const { ends, starts } = drawEpisode(layers, randomOf(number))!;
    assert.deepEqual(ends, starts.length === 1 ? [null] : clickEnds![0]);
  }));
  // In one of twenty connections it says nothing.
  for (let i = 0; i < 600; i++) {
    timeline.add("b", i * 1_000, i * 1_000 + 500, { closed: i * 1_000 + 500 });
  }
  timeline.endCapture(700_000);
  assert.equal(layersOf(timeline.observed()).click?.ends, undefined);
});

Deno.test("shared ends of other clicks, or of more connections than a click has, are refused", () => {
  const of = (ends: unknown) => {
    const layers = { click: { starts: [[100, 50], []], ends, pause: linearTable([1_000, 2_000]) } };
    return v.safeParse(layersSchema, layers).success;
  };
  assert.ok(of(undefined));
  assert.ok(of([[0, null, 0], [null]]));
  for (
    const ends of [[], [[0, null, 0]], [[0, 0], [null]], [[0, -1, 0], [null]], [[0, 1.5, 0], [0]]]
  ) {
    assert.ok(!of(ends), JSON.stringify(ends));
  }
});

Deno.test("what a click opened is named by the rows of the model, as far as they were kept", () => {
  const timeline = new Timeline();
  for (let i = 0; i < 12; i++) {
    const start = i * 5_000;
    const over = start + 1_000;
    timeline.add("a", start, over + 40, { closed: over, over, number: 2 * i });
    timeline.add("a", start + 9, over + 40, { closed: over, over, number: 2 * i + 1 });
  }
  timeline.endCapture(90_000);
  const close = { by: "client", how: "fin", time: 0 } as const;
  const connections = [7, 3, 2, 8, 11].map((number) => ({ number, close, exchanges: [] }));
  const layers = layersOf(timeline.observed(), connections);
  assert.deepEqual(layers.click?.members?.slice(0, 6), [
    [null, null],
    [2, 1],
    [null, null],
    [null, 0],
    [3, null],
    [null, 4],
  ]);
  // Those of which an end has begun to close leave room.
  assert.equal(layers.open, 2);
  assert.deepEqual(v.parse(layersSchema, layers), layers);
  const [first, ...others] = layers.click!.members!;
  const shorter = { ...layers, click: { ...layers.click, members: [first!.slice(1), ...others] } };
  assert.ok(!v.safeParse(layersSchema, shorter).success);
});

Deno.test("clicks of one episode share no end with each other", () => {
  const users = new Timeline();
  for (let session = 0; session < 6; session++) {
    for (const at of [0, 300, 310, 4_310, 4_400]) {
      const start = session * 1e6 + at;
      users.add("a", start, session * 1e6 + 9_000, { closed: session * 1e6 + 9_000 });
    }
    users.endCapture(session * 1e6 + 900_000);
  }
  const layers = layersOf(users.observed());
  fc.assert(fc.property(fc.nat(), (number) => {
    const { ends, starts } = drawEpisode(layers, randomOf(number))!;
    assert.equal(ends!.length, starts.length);
    const clicks = starts.map((gap, i) => Number(i > 0 && gap > 1_000));
    let click = 0;
    const clickOf = new Map<number, number>();
    for (const [i, end] of ends!.entries()) {
      click += clicks[i]!;
      assert.ok(end !== null && end < starts.length);
      assert.equal(clickOf.get(end) ?? click, click);
      clickOf.set(end, click);
    }
  }));
});
