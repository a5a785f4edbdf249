import assert from "node:assert/strict";
import fc from "fast-check";
import {
  asTwoClasses,
  NoUsableConnectionError,
  parseLabelledCaptures,
  readSamples,
  selectSamples,
  shippedSamples,
  splitByCapture,
} from "../../evaluation/mod.ts";
import { UsageError } from "../../base/mod.ts";
import { threeClasses } from "../plugins/made_samples.ts";
import { CONSTANT, withMadeCaptures, writeMadeCapture } from "./made_captures.ts";

Deno.test("captures become samples with the seed's features, in order", async () => {
  await withMadeCaptures(async (folder) => {
    const { samples, leftOut } = await readSamples(
      await parseLabelledCaptures(
        [`constant-rate=${folder}/constant.pcap`, `typing=${folder}/typing`],
        "--real",
      ),
      { reads: "messages" },
    );
    assert.deepEqual(leftOut, {});
    assert.equal(samples.count, 30 + 36);
    assert.deepEqual(samples.labelNames, ["constant-rate", "typing"]);
    assert.equal(samples.groupNames.length, 4);
    const first = samples.features.slice(0, 5);
    assert.deepEqual([...first.slice(0, 4)], [14480, 14480, 1448, 1448]);
    const messages = samples.sizes.slice(samples.offsets[0], samples.offsets[1]);
    assert.deepEqual([...messages], [...CONSTANT(undefined as never)]);
    const times = samples.times.slice(samples.offsets[0], samples.offsets[1]);
    assert.ok(times.every((time, i) => i === 0 || time > times[i - 1]!));
  });
});

Deno.test("a label without a usable connection is named with the reason", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/empty.pcap`;
    await writeMadeCapture(path, () => [], 2, 1);
    await assert.rejects(readSamples([{ label: "web", captures: [path] }]), (error: Error) => {
      assert.ok(error instanceof NoUsableConnectionError);
      assert.match(error.message, /no usable connection for web \(2 without payload\)/);
      return true;
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("LABEL=FILE arguments: more files, more labels, folders, names with =", async () => {
  await withMadeCaptures(async (folder) => {
    await Deno.copyFile(`${folder}/constant.pcap`, `${folder}/a=b.pcap`);
    const parsed = await parseLabelledCaptures([
      `web=${folder}/constant.pcap`,
      `${folder}/a=b.pcap`,
      `typing=${folder}/typing/`,
      `web=missing.pcap`,
    ], "--real");
    assert.deepEqual(parsed, [
      { label: "web", captures: [`${folder}/constant.pcap`, `${folder}/a=b.pcap`, "missing.pcap"] },
      { label: "typing", captures: [1, 2, 3].map((run) => `${folder}/typing/run-${run}.pcap`) },
    ]);
    await assert.rejects(parseLabelledCaptures(["a.pcap"], "--cover"), UsageError);
    await Deno.mkdir(`${folder}/hollow`);
    await assert.rejects(
      parseLabelledCaptures([`x=${folder}/hollow`], "--real"),
      /no capture file in this folder/,
    );
    // A folder of folders, or an empty one, is no label.
    assert.deepEqual((await shippedSamples(folder)).map(({ label }) => label), [
      "browsing",
      "typing",
    ]);
    await assert.rejects(shippedSamples(`${folder}/none`), /give captures with --real/);
  });
});

Deno.test("a selection of samples holds those samples and nothing else", () => {
  const whole = { ...threeClasses(1, 2), ...{} };
  fc.assert(
    fc.property(fc.array(fc.nat(whole.count - 1)), (chosen) => {
      const part = selectSamples(whole, chosen);
      assert.equal(part.count, chosen.length);
      assert.equal(part.offsets.length, chosen.length + 1);
      chosen.forEach((from, to) => {
        assert.equal(part.labels[to], whole.labels[from]);
        assert.equal(part.groups[to], whole.groups[from]);
        assert.deepEqual(
          part.features.slice(to * 3, to * 3 + 3),
          whole.features.slice(from * 3, from * 3 + 3),
        );
      });
    }),
  );
});

Deno.test("two sets become two classes with their captures apart", () => {
  const joined = asTwoClasses(threeClasses(1, 2), threeClasses(2, 1), ["real", "cover"]);
  assert.equal(joined.count, 36 + 18);
  assert.deepEqual(joined.labelNames, ["real", "cover"]);
  assert.equal(joined.groupNames.length, 36);
  joined.labels.forEach((label, i) => assert.equal(label, joined.groups[i]! < 18 ? 0 : 1));
});

Deno.test("a split tests every sample once and shares no capture", () => {
  fc.assert(
    fc.property(fc.nat(), fc.integer({ min: 2, max: 8 }), (seed, folds) => {
      const samples = threeClasses(3, 3);
      const { splits, grouping } = splitByCapture(samples, folds, seed);
      assert.equal(grouping, "capture");
      const tested = splits.flatMap((split) => split.tested).sort((a, b) => a - b);
      assert.deepEqual(tested, Array.from({ length: samples.count }, (_, i) => i));
      for (const { train, test } of splits) {
        const learned = new Set(train.groups);
        assert.ok(test.groups.every((group) => !learned.has(group)));
        assert.equal(train.count + test.count, samples.count);
      }
    }),
    { numRuns: 20 },
  );
});
