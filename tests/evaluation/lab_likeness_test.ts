import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import fc from "fast-check";
import {
  compareCover,
  type CoverPair,
  pairRecordings,
  play,
  playOverLab,
} from "../../evaluation/mod.ts";
import { largestGap } from "../../base/largest_gap.ts";
import { missingFor } from "../../lab/needs.ts";

const missing = await missingFor([]);
const why = missing.length > 0 ? ` (ignored: ${missing[0]})` : "";

const CONNECTIONS = 20;

Deno.test({
  name:
    `privileged: one seed on the laboratory's link and on the user-space link is one traffic${why}`,
  ignore: missing.length > 0,
  fn: async () => {
    const folder = await Deno.makeTempDir();
    try {
      const what = {
        model: "https",
        payload: new Uint8Array(randomBytes(100_000)),
        sessions: 4,
        connections: CONNECTIONS,
        seed: "likeness",
        patience: 14_000,
      };
      const [lab, userspace] = [`${folder}/lab`, `${folder}/userspace`];
      for (const own of [lab, userspace]) await Deno.mkdir(own);
      const plays = await Promise.allSettled([
        playOverLab({ ...what, folder: lab, out: `${folder}/cover.pcap` }),
        play({ ...what, folder: userspace }),
      ]);
      // Both have come to their end, and left nothing running, before anything is judged.
      const [recorded, here] = plays.map((one) => {
        if (one.status === "rejected") throw one.reason;
        return one.value;
      });
      for (const { up, down } of [recorded!, here!]) {
        assert.ok(up.sha256Match && down.sha256Match);
        assert.deepEqual([up.bytes, down.bytes], [100_000, 100_000]);
      }
      const pairs = await pairRecordings(
        { capture: recorded!.capture, clientLog: `${lab}/client.jsonl` },
        { capture: here!.capture, clientLog: `${userspace}/client.jsonl` },
      );
      // Some may be unfinished when time is up, and sessions may overtake each other at the edge.
      assert.ok(pairs.length >= CONNECTIONS / 2, `${pairs.length} connections in both recordings`);
      let sameMessages = 0;
      for (const { name, both: [theirs, ours] } of pairs) {
        const seen = `${name}: ${JSON.stringify({ theirs, ours })}`;
        assert.equal(theirs.missingBytes, 0, seen);
        assert.deepEqual(ours.features.slice(0, 2), theirs.features.slice(0, 2), seen);
        // A record whose end waits for the window shares its last segment with the next record; when it
        // waits depends on times, and these on what else the machine does.
        for (const side of [0, 1]) {
          const apart = Math.abs(ours.segments[side]! - theirs.segments[side]!);
          assert.ok(apart <= 1 + 0.06 * theirs.segments[side]!, seen);
        }
        if (ours.messages.join() === theirs.messages.join()) sameMessages++;
        const total = (messages: readonly number[], sign: number) =>
          messages.reduce((sum, size) => sum + Math.max(0, sign * size), 0);
        for (const sign of [1, -1]) {
          assert.equal(total(ours.messages, sign), total(theirs.messages, sign), seen);
        }
      }
      // A machine that stands still for half a second in the middle of a message makes two of it.
      assert.ok(sameMessages >= 0.9 * pairs.length, `${sameMessages} of ${pairs.length}`);
      const features = compareCover(pairs);
      for (const { name, medians: [theirs, ours] } of features) {
        const ratio = ours / theirs;
        // The time that the programs take is in durations. A link of another delay or rate, or a window
        // that does not grow, would be further off than a busy machine.
        const [low, high] = name === "duration" ? [0.5, 2] : [0.97, 1.03];
        assert.ok(ratio >= low && ratio <= high, `${name}: ${theirs} and ${ours}`);
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test("property: the distance of Kolmogorov and Smirnov is that of its definition", () => {
  const sample = fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 30 });
  fc.assert(fc.property(sample, sample, (first, second) => {
    const upTo = (values: number[], most: number) =>
      values.filter((value) => value <= most).length / values.length;
    const differences = [...first, ...second].map((value) =>
      Math.abs(upTo(first, value) - upTo(second, value))
    );
    assert.equal(largestGap(first, second), Math.max(...differences));
    assert.equal(largestGap(second, first), largestGap(first, second));
    assert.equal(largestGap(first, first), 0);
  }));
});

Deno.test("likeness is told from features of pairs", () => {
  const cover = (...features: number[]) => ({
    features,
    segments: [1, 1] as const,
    messages: [],
    missingBytes: 0,
  });
  const pairs: CoverPair[] = [1, 2, 3].map((i) => ({
    name: `0/${i}`,
    both: [cover(i, 10, 1, 1, 100 * i), cover(i, 10, 1, 1, 100 * i + 50)],
  }));
  const [sent, received, , , duration] = compareCover(pairs);
  assert.deepEqual(sent, { name: "bytesSent", medians: [2, 2], ks: 0 });
  assert.deepEqual(received, { name: "bytesReceived", medians: [10, 10], ks: 0 });
  assert.deepEqual(duration!.medians, [200, 250]);
  assert.ok(Math.abs(duration!.ks - 1 / 3) < 1e-12);
});
