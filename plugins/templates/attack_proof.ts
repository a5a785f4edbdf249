import assert from "node:assert/strict";
import attack from "./attack.ts";

/** Two classes of four connections each, unlike in every feature. */
const SAMPLES = {
  count: 8,
  featureNames: ["bytesSent", "bytesReceived"],
  features: Float64Array.from([9, 1, 8, 1, 9, 2, 8, 2, 1, 9, 1, 8, 2, 9, 2, 8], (x) => x * 1000),
  offsets: new Uint32Array(9),
  sizes: new Float64Array(0),
  times: new Float64Array(0),
  labelNames: ["https", "ssh"],
  labels: Uint16Array.of(0, 0, 0, 0, 1, 1, 1, 1),
  groupNames: ["run-1"],
  groups: new Uint16Array(8),
};

Deno.test("my-attack tells two classes apart", async () => {
  await attack.train(SAMPLES, { seed: 1, parameters: {} });
  const { labels } = await attack.classify(SAMPLES);
  assert.deepEqual(labels, Int32Array.from(SAMPLES.labels));
});

Deno.test("my-attack calls what is like nothing it knows unknown", async () => {
  await attack.train(SAMPLES, { seed: 1, parameters: {} });
  const strange = { ...SAMPLES, count: 1, features: Float64Array.of(1e12, 1e12) };
  const { anomaly, labels } = await attack.classify(strange);
  assert.equal(labels[0], -1);
  assert.ok(anomaly[0]! > 3);
});
