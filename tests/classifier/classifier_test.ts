import assert from "node:assert/strict";
import fc from "fast-check";
import { readFlows } from "../../capture/mod.ts";
import {
  attractionOf,
  CLASSIFIER_KINDS,
  decodeModel,
  DEFAULT_FLOW_SETTINGS,
  encodeModel,
  type FlowData,
  flowNamer,
  flowOptions,
  judge,
  judgementOf,
  learningCurve,
  readFlowData,
  roundCaptures,
  roundOf,
  selectFlows,
  trainModel,
  trialByCapture,
  trialByRound,
  trialOnFiles,
} from "../../classifier/mod.ts";
import { Draws } from "../../plugins/attacks/draws.ts";
import { normal } from "../plugins/made_samples.ts";
import { capturesOf, withRounds } from "./made_applications.ts";

const SETTINGS = DEFAULT_FLOW_SETTINGS;
const FOREST = { kind: "random-forest", seed: 1, trees: 20, workers: 1 };

/**
 * Flows of made-up features: application `c` is around `5 c` in the first column, but a share `shared` of
 * all flows are of a sort that every application has, around -5. Four captures each.
 */
function madeData(each: number, applications: number, shared: number, seed: number): FlowData {
  const draws = new Draws(seed);
  const count = each * applications;
  const width = 5;
  const values = new Float64Array(count * width);
  const labels = Uint16Array.from({ length: count }, (_, i) => i % applications);
  for (let i = 0; i < count; i++) {
    const centre = draws.float() < shared ? -5 : 5 * labels[i]!;
    for (let c = 0; c < width; c++) {
      values[i * width + c] = normal(draws) + (c === 0 ? centre : 0);
    }
  }
  const groups = Uint16Array.from(
    labels,
    (label, i) => 4 * label + Math.floor(i / applications) % 4,
  );
  return {
    features: "seed5",
    rows: { count, width, values },
    labelNames: Array.from({ length: applications }, (_, i) => `app${i}`),
    labels,
    groupNames: Array.from(
      { length: 4 * applications },
      (_, i) => `app${i >> 2}/round-${i % 4 + 1}`,
    ),
    rounds: Array.from({ length: 4 * applications }, (_, i) => i % 4 + 1),
    groups,
    leftOut: new Array(applications).fill(0),
  };
}

Deno.test("captures of four rounds: three are learned from, the fourth is named", async () => {
  await withRounds(4, 12, async (folder) => {
    const data = await readFlowData(await roundCaptures(folder), "seed14");
    assert.deepEqual(data.labelNames, ["video", "weather", "web"]);
    assert.equal(data.rows.count, 4 * 3 * 12);
    for (const kind of Object.keys(CLASSIFIER_KINDS)) {
      const trial = await trialByRound(data, 4, SETTINGS, { ...FOREST, kind });
      assert.equal(trial.split, "round");
      assert.equal(trial.tested.rows.count, 36);
      assert.equal(trial.parts[0]!.trained.rows.count, 108);
      const { labels } = trial.verdicts;
      const right = labels.filter((label, i) => label === trial.tested.labels[i]).length;
      assert.ok(right >= 34, `${kind}: ${right} of 36`);
    }
    const each = await trialByRound(data, "each", SETTINGS, FOREST);
    assert.equal(each.tested.rows.count, 144);
    assert.deepEqual(each.parts.map(({ name }) => name), [
      "round 1",
      "round 2",
      "round 3",
      "round 4",
    ]);
    await assert.rejects(
      trialByRound(data, 7, SETTINGS, FOREST),
      /--test-round 7: there are 1, 2, 3, 4/,
    );
  });
});

Deno.test("no capture is both learned from and tested, whatever the split", async () => {
  const data = madeData(40, 3, 0, 1);
  const trials = [
    await trialByRound(data, "each", SETTINGS, FOREST),
    await trialByCapture(data, 3, SETTINGS, FOREST),
  ];
  for (const { parts, split } of trials) {
    assert.ok(split === "round" || split === "capture");
    let tested = 0;
    for (const part of parts) {
      const learned = new Set(part.trained.groups);
      assert.ok(part.tested.groups.every((group) => !learned.has(group)));
      tested += part.tested.rows.count;
    }
    assert.equal(tested, data.rows.count);
  }
});

Deno.test("an application with one capture is cut into blocks, and it is said", async () => {
  const data = madeData(40, 2, 0, 2);
  const single = { ...data, groups: data.groups.map((group) => group < 4 ? 0 : group) };
  const { split } = await trialByCapture(single, 4, SETTINGS, FOREST);
  assert.equal(split, "block");
});

Deno.test("a model names flows in a file, after a file of its own, as it did in memory", async () => {
  await withRounds(2, 8, async (folder) => {
    const train = await readFlowData(capturesOf(folder, [1]), "timed");
    const test = await readFlowData(capturesOf(folder, [2]), "timed", {
      labelNames: train.labelNames,
    });
    for (const kind of Object.keys(CLASSIFIER_KINDS)) {
      const model = await trainModel(train, SETTINGS, { ...FOREST, kind });
      const bytes = encodeModel(model);
      const read = decodeModel(bytes, "a.model");
      assert.deepEqual(judge(read, test.rows), judge(model, test.rows), kind);
      assert.deepEqual(read.labels, model.labels);
      assert.deepEqual(read.trainedOn[0]!.flows, 8);
      const name = flowNamer(read, 0.4);
      const named: string[] = [];
      await readFlows(`${folder}/round-2/video.pcap.gz`, {
        onFlow: (flow) => named.push(name(flow).application),
      }, flowOptions(read.settings));
      const { labels, confidence } = judge(model, test.rows);
      const expected = Array.from(
        labels.subarray(0, 8),
        (label, i) => confidence[i]! < 0.4 || label < 0 ? "unknown" : model.labels[label]!,
      );
      assert.deepEqual(named, expected, kind);
    }
  });
});

Deno.test("a model that is none, damaged, or of other features gets one clear line", async () => {
  const model = await trainModel(madeData(20, 2, 0, 3), SETTINGS, FOREST);
  const bytes = encodeModel(model);
  const text = new TextEncoder();
  assert.throws(
    () => decodeModel(text.encode("{}"), "m"),
    /^ModelFileError: m: not a classifier's/,
  );
  assert.throws(() => decodeModel(bytes.subarray(0, 200), "m"), /m: a damaged model/);
  assert.throws(() => decodeModel(bytes.subarray(0, bytes.length - 3), "m"), /m: a damaged model/);
  const other = new TextDecoder("latin1").decode(bytes).replace('"protocol"', '"protokol"');
  const changed = Uint8Array.from(other, (letter) => letter.charCodeAt(0));
  assert.throws(() => decodeModel(changed, "m"), /features seed5 are not those of this version/);
  fc.assert(
    fc.property(
      fc.nat({ max: bytes.length - 1 }),
      fc.nat({ max: 255 }),
      fc.nat({ max: bytes.length }),
      (at, byte, end) => {
        const damaged = bytes.slice(0, end % 2 === 0 ? end : undefined);
        if (at < damaged.length) damaged[at] = byte;
        try {
          decodeModel(damaged, "m");
        } catch (error) {
          assert.equal((error as Error).name, "ModelFileError", String(error));
        }
      },
    ),
    { numRuns: 1500 },
  );
});

Deno.test("ambiguity: flows that all applications have become unknown, their own stay named", async () => {
  const data = madeData(200, 3, 0.4, 4);
  const plain = await trialByRound(data, 4, SETTINGS, FOREST);
  const aware = await trialByRound(data, 4, SETTINGS, { ...FOREST, ambiguity: true });
  const figures = (trial: typeof plain) =>
    judgementOf(trial.tested.labels, trial.verdicts, data.labelNames, 3, 0);
  const before = figures(plain);
  const after = figures(aware);
  assert.equal(before.all.unknown.n, 150);
  assert.equal(before.all.unknown.share, 0);
  assert.ok(after.all.unknown.share > 0.2 && after.all.unknown.share < 0.5);
  assert.ok(before.all.correctOfDecided.share < 0.8);
  assert.ok(after.all.correctOfDecided.share > before.all.correctOfDecided.share + 0.1);
});

Deno.test("the judgement counts what the seed's table counts", () => {
  // Truth 0 0 0 0 1 1 2: one right, one unknown, one ambiguous, one wrong; both right; an unlearned one.
  const judgement = judgementOf(
    [0, 0, 0, 0, 1, 1, 2],
    {
      labels: Int32Array.of(0, 0, -1, 1, 1, 1, 0),
      confidence: Float64Array.of(0.9, 0.3, 0.9, 0.8, 0.7, 0.6, 0.5),
    },
    ["a", "b", "c"],
    2,
    0.5,
  );
  const [a, b, c] = judgement.applications;
  assert.equal(a!.correct.share, 0.25);
  assert.equal(a!.unknown.share, 0.5);
  assert.equal(a!.correctOfDecided.share, 0.5);
  assert.equal(a!.precision.share, 0.5);
  assert.equal(b!.correct.share, 1);
  assert.equal(b!.precision.share, 2 / 3);
  assert.equal(c!.correct.share, 0);
  assert.deepEqual(judgement.confusion.counts, [[1, 1, 2], [0, 2, 0], [1, 0, 0]]);
  assert.equal(judgement.average.correct, 1.25 / 3);
  assert.equal(judgement.all.correct.share, 3 / 7);
  assert.equal(judgement.all.correctOfDecided.share, 3 / 5);
  assert.equal(judgement.curve[0]!.coverage, 6 / 7);
  assert.equal(judgement.curve[0]!.accuracy, 4 / 6);
});

Deno.test("a higher threshold never names more flows", () => {
  const flow = fc.tuple(
    fc.nat({ max: 2 }),
    fc.integer({ min: -1, max: 2 }),
    fc.double({
      min: 0,
      max: 1,
      noNaN: true,
    }),
  );
  fc.assert(fc.property(fc.array(flow, { minLength: 1 }), (flows) => {
    const { curve, confusion, all } = judgementOf(
      flows.map(([truth]) => truth),
      {
        labels: Int32Array.from(flows, ([, label]) => label),
        confidence: Float64Array.from(flows, ([, , sure]) => sure),
      },
      ["a", "b", "c"],
      3,
      0.5,
    );
    for (let i = 1; i < curve.length; i++) {
      assert.ok(curve[i]!.coverage <= curve[i - 1]!.coverage);
    }
    assert.equal(confusion.counts.flat().reduce((sum, own) => sum + own, 0), flows.length);
    assert.equal(all.flows, flows.length);
  }));
});

Deno.test("the name that attracts others is found, and the feature why", async () => {
  const learned = madeData(150, 3, 0, 5);
  const tested = madeData(60, 3, 0, 6);
  // Half the tested flows of app0 and app2 look in the first column as those of app1 do.
  for (let i = 0; i < tested.rows.count; i += 2) tested.rows.values[i * 5] = 5;
  const trial = await trialOnFiles(learned, tested, SETTINGS, { ...FOREST, trees: 50 });
  const found = attractionOf(trial, 0.5, 1)!;
  assert.equal(found.attractor, "app1");
  assert.deepEqual(found.from.map(({ application }) => application).sort(), ["app0", "app2"]);
  assert.equal(found.pulls[0]!.feature, "protocol", "the first column");
  assert.ok(found.pulls[0]!.pull > 0.5 && found.pulls[0]!.undone > 0.9);
  assert.ok(found.pulls[1]!.pull < 0.1);
  assert.equal(found.pulls[0]!.here, 5);
  // All five columns are of one sort: together they undo whatever the first does.
  assert.deepEqual(found.groups.map(({ feature }) => feature), ["counts and duration"]);
  assert.ok(found.groups[0]!.undone > 0.9);
  const none = await trialOnFiles(learned, learned, SETTINGS, FOREST);
  assert.equal(attractionOf(none, 0.9, 1), undefined);
});

Deno.test("a learning curve rises with the flows learned from", async () => {
  const data = madeData(200, 4, 0.1, 7);
  const noisy = { ...data, rows: { ...data.rows, values: data.rows.values.map((own) => own / 2) } };
  const trial = await trialByRound(noisy, 4, SETTINGS, FOREST);
  const points = await learningCurve(trial, FOREST, 2);
  assert.deepEqual(points.map(({ share }) => share), [0.05, 0.1, 0.25, 0.5, 1]);
  assert.equal(points.at(-1)!.flows, 600);
  assert.ok(points.at(-1)!.correct > points[0]!.correct - 0.02);
});

Deno.test("flows with too few packets are counted and left out, and unknown", async () => {
  await withRounds(1, 6, async (folder) => {
    const settings = { ...SETTINGS, minPackets: 12 };
    const labelled = capturesOf(folder, [1]);
    await assert.rejects(
      readFlowData(labelled, "seed5", { settings }),
      /no flow for weather: all 6 have fewer packets than --min-packets/,
    );
    const two = labelled.filter(({ label }) => label !== "weather");
    const data = await readFlowData(two, "seed5", { settings: { ...SETTINGS, minPackets: 30 } })
      .catch((error) => String(error));
    assert.match(String(data), /no flow for web/);
    const model = await trainModel(
      await readFlowData(two, "seed5", { settings: { ...SETTINGS, minPackets: 9 } }),
      { ...SETTINGS, minPackets: 9 },
      FOREST,
    );
    const name = flowNamer(model, 0);
    await readFlows(`${folder}/round-1/weather.pcap.gz`, {
      onFlow: (flow) =>
        assert.deepEqual(name(flow), {
          application: "unknown",
          likeliest: "",
          confidence: 0,
        }),
    }, flowOptions(model.settings));
  });
});

Deno.test("rounds are read from names", () => {
  assert.equal(roundOf("data/round-3/youtube.pcap.gz"), 3);
  assert.equal(roundOf("round_2.pcap"), 2);
  assert.equal(roundOf("around/x.pcap"), 0);
  assert.equal(roundOf("round-1/again/round-12.pcap"), 12);
});

Deno.test("selecting flows keeps rows and labels together", () => {
  const data = madeData(30, 3, 0.2, 9);
  const some = selectFlows(data, (i) => i % 7 === 3);
  for (let i = 0; i < some.rows.count; i++) {
    const from = 7 * i + 3;
    assert.equal(some.labels[i], data.labels[from]);
    assert.equal(some.groups[i], data.groups[from]);
    assert.deepEqual(
      some.rows.values.subarray(5 * i, 5 * i + 5),
      data.rows.values.subarray(5 * from, 5 * from + 5),
    );
  }
});
