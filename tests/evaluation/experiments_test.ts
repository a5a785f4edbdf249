import assert from "node:assert/strict";
import fc from "fast-check";
import {
  autocorrelation,
  earthMover,
  energyOf,
  rankCorrelation,
} from "../../evaluation/experiments/fidelity.ts";
import { attackInThisThread } from "../../evaluation/experiments/local_attack.ts";
import type { Job } from "../../evaluation/experiments/jobs.ts";
import { JobFailed, resultFile, runJobs } from "../../evaluation/experiments/pool.ts";
import { nearest, repeats, vectorOf } from "../../evaluation/experiments/repeats.ts";
import { ROUGH_LINKS, roughLink } from "../../evaluation/experiments/rough_link.ts";
import { scheduleLeak } from "../../evaluation/experiments/schedule_leak.ts";
import { tellingColumns } from "../../evaluation/experiments/telling_columns.ts";
import { toldApart } from "../../evaluation/experiments/told_apart.ts";
import { transfer } from "../../evaluation/experiments/transfers.ts";
import { makeSamples } from "../plugins/made_samples.ts";

const cover = (runs: number, seed: string) => ({
  model: "constant-rate",
  link: "lab",
  runs,
  connections: 4,
  sessions: 1,
  seed,
});

Deno.test("told apart: classes that differ are found, classes that do not are guessed, and the bound is said", async () => {
  const made = (centre: number, seed: number) =>
    makeSamples(
      [{
        name: "x",
        centre: [centre, 0, 0],
        width: 1,
        captures: 3,
        each: 40,
        messages: [100, -100],
      }],
      seed,
    );
  const program = attackInThisThread("random-forest");
  const options = { program, seed: 1, parameters: { trees: 40 } };
  const apart = await toldApart({ ...options, real: made(0, 1), other: made(30, 2) });
  assert.ok(apart.auc > 0.99, String(apart.auc));
  assert.deepEqual(apart.runs, [3, 3]);
  assert.deepEqual(apart.n, [120, 120]);
  assert.equal(apart.bound, 3 / 120);
  const [even, rare, rarest] = apart.baseRates;
  assert.equal(even!.accused, 0);
  assert.equal(even!.precision, 1);
  // Nobody was accused among so few: what can be claimed is much less.
  assert.ok(even!.precisionAtBound! > 0.95 && rare!.precisionAtBound! < 0.35);
  assert.ok(rarest!.precisionAtBound! < 0.005);
  const alike = await toldApart({ ...options, real: made(0, 1), other: made(0, 3) });
  assert.ok(Math.abs(alike.auc - 0.5) < 0.12, String(alike.auc));
  assert.ok(alike.ci95[0] <= alike.auc && alike.auc <= alike.ci95[1]);
});

Deno.test("earth mover's distance: a shift moves everything by as much, and order does not matter", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: -1000, max: 1000 }), { minLength: 1, maxLength: 50 }),
      fc.integer({ min: 0, max: 500 }),
      (values, shift) => {
        const first = Float64Array.from(values).sort();
        const second = first.map((value) => value + shift);
        assert.ok(Math.abs(earthMover(first, second) - shift) < 1e-6);
        assert.ok(Math.abs(earthMover(second, first) - shift) < 1e-6);
        assert.equal(earthMover(first, first), 0);
      },
    ),
  );
});

Deno.test("dependences: of what follows, of what does not, of ranks with ties", () => {
  const rising = Array.from({ length: 50 }, (_, i) => i);
  assert.ok(autocorrelation([rising], 1) > 0.999);
  const turning = Array.from({ length: 50 }, (_, i) => i % 2);
  assert.ok(autocorrelation([turning], 1) < -0.99);
  assert.ok(autocorrelation([turning], 2) > 0.99);
  assert.equal(autocorrelation([[1], [2]], 1), 0);
  assert.ok(Math.abs(rankCorrelation(rising.map((i) => [i, Math.exp(i / 5)])) - 1) < 1e-9);
  assert.equal(rankCorrelation(rising.map((i) => [i, 7])), 0);
});

Deno.test("energy: a square wave has it at its own scale, and a busier series no more", () => {
  const series = Float64Array.from({ length: 4096 }, (_, i) => (i >> 4) % 2 === 0 ? 100 : 0);
  const energy = energyOf(series);
  const most = energy.reduce(
    (best, own, scale) => own > (energy[best] ?? -Infinity) ? scale : best,
    0,
  );
  assert.equal(most, 4);
  const busier = energyOf(series.map((value) => 50 * value));
  assert.ok(Math.abs(busier[4]! - energy[4]!) < 1e-9);
  assert.ok(Number.isNaN(energy.at(-1)));
});

Deno.test("transfers: constant rate carries what its rate says; a faster one more", async () => {
  const job = { link: "canada-uk", from: "server", bytes: 20_000, times: 2, seed: "x" } as const;
  const slow = await transfer({ ...job, model: "constant-rate" });
  const fast = await transfer({ ...job, model: "constant-rate:28" });
  assert.equal(slow.unfinished + fast.unfinished, 0);
  // 1448 bytes every 500 ms are 23.2 kbit/s, headers and frames off.
  assert.ok(slow.kbps.every((kbps) => kbps > 18 && kbps < 23.2), slow.kbps.join());
  assert.ok(fast.kbps.every((kbps) => kbps > 22 && kbps < 28), fast.kbps.join());
  assert.ok(slow.overhead.every((overhead) => overhead > 2 && overhead < 4));
  assert.deepEqual(await transfer({ ...job, model: "constant-rate" }), slow);
});

Deno.test("repeats: constant rate repeats itself", async () => {
  const result = await repeats({
    protocol: "x",
    learned: cover(1, "a"),
    real: cover(2, "b"),
    cover: cover(1, "c"),
  });
  const { coverDistance, realDistance, ...shares } = result;
  assert.deepEqual(shares, { cover: 1, real: 1, coverLong: 1, realLong: 1, n: [4, 8] });
  assert.deepEqual([coverDistance.high, realDistance.high], [0, 0]);
});

Deno.test("distances: none to itself, the same either way, one doubling for twice the bytes, sign matters", () => {
  const sizes = fc.array(fc.integer({ min: -100_000, max: 100_000 }).filter((n) => n !== 0), {
    minLength: 1,
    maxLength: 40,
  });
  fc.assert(fc.property(sizes, sizes, (first, second) => {
    const [a, b] = [vectorOf(first), vectorOf(second)];
    assert.equal(nearest(a, [b, a]), 0);
    assert.ok(Math.abs(nearest(a, [b]) - nearest(b, [a])) < 1e-9);
  }));
  assert.equal(nearest(vectorOf([1]), []), Infinity);
  assert.ok(
    nearest(vectorOf([500]), [vectorOf([-500])]) > nearest(vectorOf([500]), [vectorOf([1000])]),
  );
});

Deno.test("rough links: what is said stays the same byte for byte, when it is said does not", async () => {
  for (const link of Object.keys(ROUGH_LINKS)) {
    const { connections, gapsKs, gapsKsFloor, same } = await roughLink({
      model: "constant-rate",
      link,
      connections: 6,
      seed: "x",
    });
    assert.deepEqual([connections, same], [6, 6], link);
    assert.ok(link !== "jitter" || gapsKs > gapsKsFloor, `${link} ${gapsKs} ${gapsKsFloor}`);
  }
});

Deno.test("schedules: strict tells nothing of a user, and says on how many connections that rests", async () => {
  const job = { model: "https", users: 3, minutes: 1, seed: "x" } as const;
  const { across, gaps, inside } = await scheduleLeak({ ...job, schedule: "strict" });
  assert.ok(Math.abs(inside.auc - 0.5) < 0.1 && Math.abs(across.auc - 0.5) < 0.35);
  assert.ok(inside.n[0] > 20 && inside.n[1] > 20 && gaps[0] > 0 && gaps[1] > 0);
});

Deno.test("telling columns: the worst first, with both distributions; what is not there is left out", () => {
  const made = (messages: number[], seed: number) =>
    makeSamples([{ name: "x", centre: [0], width: 1, captures: 2, each: 10, messages }], seed);
  const columns = tellingColumns(
    "first-messages",
    new Map([["size0", 0.2], ["size2", 0.7]]),
    made([100, -100, 50], 1),
    made([900, -100], 2),
  );
  assert.deepEqual(columns.map(({ name }) => name), ["size2", "size0"]);
  assert.deepEqual(columns[0]!.present, [1, 0]);
  assert.deepEqual(columns[0]!.curves.other, []);
  assert.equal(columns[1]!.ks, 1);
  assert.deepEqual(tellingColumns("knn", new Map([["x", 1]]), made([1], 1), made([1], 2)), []);
});

Deno.test("jobs: results are kept, not done again, and belong to their inputs; a failure names its job", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const job = (seed: string): Job => ({
      kind: "transfer",
      name: `transfer ${seed}`,
      args: {
        model: "constant-rate",
        link: "lan",
        from: "client",
        bytes: 3000,
        times: 1,
        seed,
      },
    });
    const jobs = [job("a"), job("b"), job("c")];
    const seen: [number, number, number][] = [];
    const options = {
      jobs,
      folder,
      inputs: () => ({ version: 1 }),
      workers: 2,
      onProgress: (done: number, total: number, _: string, before: number) =>
        seen.push([done, total, before]),
    };
    const first = await runJobs(options);
    assert.deepEqual(seen.map(([done]) => done), [0, 1, 2, 3]);
    // One is lost, one was cut in the middle.
    await Deno.remove(`${folder}/${resultFile(jobs[0]!, { version: 1 })}`);
    await Deno.writeTextFile(`${folder}/${resultFile(jobs[1]!, { version: 1 })}`, "{");
    seen.length = 0;
    assert.deepEqual(await runJobs(options), first);
    assert.deepEqual(seen.map(([done]) => done), [1, 2, 3]);
    assert.notEqual(
      resultFile(jobs[0]!, { version: 1 }),
      resultFile(jobs[0]!, { version: 2 }),
    );
    const wrong: Job = { ...job("d"), args: { ...job("d").args, model: "nobody" } } as Job;
    await assert.rejects(
      runJobs({ ...options, jobs: [...jobs, wrong] }),
      (error: Error) => error instanceof JobFailed && error.message.startsWith("transfer d: "),
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
