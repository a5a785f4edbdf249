import assert from "node:assert/strict";
import { coverAgainstReal, runAttack, selectSamples } from "../../evaluation/mod.ts";
import type { LabelledSamples } from "../../plugins/attack.ts";
import { loadAttack } from "../../plugins/mod.ts";
import { makeSamples, threeClasses } from "../plugins/made_samples.ts";

function madeCover(): LabelledSamples {
  return makeSamples([
    { name: "https", centre: [500, 900, 40], width: 60, captures: 1, each: 40 },
    { name: "smtp", centre: [200, 300, 20], width: 30, captures: 1, each: 40 },
    { name: "constant-rate", centre: [4000, 4000, 900], width: 1, captures: 1, each: 40 },
  ], 8);
}

Deno.test("an attack on real traffic and cover, with everything that the report needs", async () => {
  const run = await runAttack({
    program: await loadAttack("knn"),
    real: threeClasses(1),
    cover: madeCover(),
    seed: 1,
  });
  const { crossValidation, cover } = run;
  assert.equal(crossValidation.n, 180);
  assert.equal(crossValidation.folds.length, 6);
  assert.equal(crossValidation.grouping, "capture");
  assert.ok(crossValidation.accuracy > 0.85, String(crossValidation.accuracy));
  assert.ok(crossValidation.spread.min <= crossValidation.spread.median);
  const counted = crossValidation.confusion.counts.flat().reduce((a, b) => a + b, 0);
  assert.equal(counted, 180);
  assert.ok(cover.https!.asClaimed > 0.85);
  assert.ok(cover.smtp!.asClaimed < 0.05 && cover.smtp!.labelledAs.ssh! > 0.9);
  assert.equal(cover["constant-rate"]!.asClaimed, 0);
  assert.equal(cover["constant-rate"]!.unknown, 1);
  assert.ok(cover["constant-rate"]!.toldApart > 0.9);
  for (const { n, labelledAs } of Object.values(cover)) {
    assert.equal(n, 40);
    const sum = Object.values(labelledAs).reduce((a, b) => a + b, 0);
    assert.ok(Math.abs(sum - 1) < 1e-9);
  }
  assert.equal(run.plugin.name, "knn");
  assert.equal(run.plugin.sha256, undefined);
});

Deno.test("the same seed gives the same run", async () => {
  const program = await loadAttack("random-forest");
  const run = () =>
    runAttack({ program, real: threeClasses(1, 5), seed: 4, parameters: { trees: 10 }, folds: 3 });
  assert.deepEqual(await run(), await run());
});

Deno.test("a class with one capture is split in blocks, and said to be", async () => {
  const real = makeSamples([
    { name: "a", centre: [0, 0], width: 1, captures: 1, each: 30 },
    { name: "b", centre: [9, 9], width: 1, captures: 3, each: 10 },
  ], 1);
  const { crossValidation } = await runAttack({ program: await loadAttack("knn"), real, seed: 1 });
  assert.equal(crossValidation.grouping, "block");
  assert.deepEqual(crossValidation.singleCapture, ["a"]);
  assert.ok(crossValidation.accuracy > 0.9);
});

Deno.test("one sample cannot be split", async () => {
  const real = selectSamples(threeClasses(1), [0]);
  await assert.rejects(
    runAttack({ program: await loadAttack("knn"), real, seed: 1 }),
    /1 real connection cannot be split/,
  );
});

Deno.test("cover like the real thing scores near one half, other cover near one", async () => {
  const program = await loadAttack("random-forest");
  const protocol = { name: "https", centre: [500, 900, 40], width: 60, captures: 12, each: 20 };
  const real = makeSamples([protocol], 1);
  const options = { program, real, seed: 1, parameters: { trees: 40 }, folds: 3 };
  const same = await coverAgainstReal({ ...options, cover: makeSamples([protocol], 2) });
  assert.ok(Math.abs(same.auc - 0.5) < 0.15, String(same.auc));
  assert.ok(same.ci95[0] <= same.auc && same.auc <= same.ci95[1]);
  assert.equal(same.resampled, "capture");
  assert.ok(Math.abs(same.floor!.auc - 0.5) < 0.15, String(same.floor!.auc));
  const other = await coverAgainstReal({
    ...options,
    cover: makeSamples([{ ...protocol, centre: [700, 700, 40], captures: 1, each: 60 }], 3),
  });
  assert.ok(other.auc > 0.95, String(other.auc));
  assert.equal(other.resampled, "connection");
  assert.equal(other.grouping, "block");
});

Deno.test("as many folds as captures: the interval is as wide as captures differ", async () => {
  const protocol = { name: "https", centre: [500, 900, 40], width: 60, captures: 6, each: 12 };
  const { ci95, auc, resampled } = await coverAgainstReal({
    program: await loadAttack("random-forest"),
    real: makeSamples([protocol], 1),
    cover: makeSamples([protocol], 2),
    seed: 1,
    parameters: { trees: 20 },
    floor: false,
  });
  assert.equal(resampled, "capture");
  assert.ok(ci95[0] < auc - 0.02 && auc + 0.02 < ci95[1], `${auc} in ${ci95}`);
});
