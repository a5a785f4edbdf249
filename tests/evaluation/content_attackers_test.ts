import assert from "node:assert/strict";
import { LAB_LINK } from "../../lab/link_profile.ts";
import { loadModel } from "../../models/mod.ts";
import { Draws } from "../../plugins/attacks/draws.ts";
import { RandomForest } from "../../plugins/attacks/forest.ts";
import { toldByRun } from "../../evaluation/content/by_run.ts";
import { connections } from "../../evaluation/content/connections.ts";
import { correlation, recoverKeystrokes } from "../../evaluation/content/keystrokes.ts";
import { leafVectors, nearestByHamming } from "../../evaluation/content/leaf_neighbours.ts";
import type { FlowStart } from "../../evaluation/content/flow.ts";
import { afterHandshake } from "../../evaluation/content/flow.ts";
import { learnNestedHandshakes } from "../../evaluation/content/nested_handshake.ts";
import { type Activity, perform } from "../../evaluation/content/activities.ts";
import { observe, type Scene, type Seen } from "../../evaluation/content/observe.ts";
import { pages, seenInRuns } from "../../evaluation/content/pages.ts";
import { roundTripDifference } from "../../evaluation/content/round_trips.ts";
import type { Trace } from "../../evaluation/content/trace.ts";
import { TRACE_FEATURES, traceRows } from "../../evaluation/content/trace_features.ts";
import { users } from "../../evaluation/content/users.ts";
import { drawPages, visitPage } from "../../evaluation/content/web_visits.ts";

const BARE = { how: "bare" } as const;
const CONSTANT = { how: "tunnel", model: "constant-rate:28", schedule: "strict" } as const;

function randomTrace(draws: Draws, window: number): Trace {
  const length = 50 + draws.integer(200);
  return {
    length,
    time: Float64Array.from({ length }, () => window * draws.float()).sort(),
    size: Int32Array.from({ length }, () => (draws.integer(2) * 2 - 1) * (1 + draws.integer(1448))),
    opened: Float64Array.from({ length: draws.integer(5) }, () => window * draws.float()).sort(),
  };
}

Deno.test("content: website fingerprinting names pages on bare TLS, and under constant rate does not", async () => {
  const job = { pages: 8, visits: 3, runs: 3, window: 15_000, trees: 60, seed: 3 };
  const bare = await pages({ ...job, disguise: BARE });
  const best = Math.max(bare.told.forest.share, bare.told.neighbours.share);
  assert.ok(best > 0.75, `${best} of the visits of bare TLS`);
  assert.equal(bare.done.share, 1);
  const constant = await pages({ ...job, disguise: CONSTANT });
  assert.equal(constant.told.chance, 1 / 8);
  for (const { ci95 } of [constant.told.forest, constant.told.neighbours]) {
    assert.ok(ci95[0] <= 1 / 8, `${ci95}`);
  }
  // The same again, bit by bit.
  assert.deepEqual(await pages({ ...job, disguise: BARE }), bare);
});

Deno.test("content: activities and keys show on bare protocols, and under constant rate do not", async () => {
  const job = { times: 3, runs: 3, window: 8000, trees: 40, seed: 2 };
  const bare = await users({ ...job, disguise: BARE });
  assert.ok(bare.activities.forest.share > 0.85);
  assert.ok(bare.typing.value > 0.99);
  assert.ok(bare.keystrokes.count.value > 0.95 && bare.keystrokes.times.value > 0.95);
  assert.ok(bare.keystrokes.times.chance < 0.3 && bare.keystrokes.n[1] > 80);
  const constant = await users({ ...job, disguise: CONSTANT });
  assert.ok(constant.activities.forest.ci95[0] <= constant.activities.chance);
  assert.ok(Math.abs(constant.keystrokes.times.value) < 0.15);
  assert.ok(constant.keystrokes.count.ci95[0] <= 0);
});

Deno.test("content: on noise attackers guess", () => {
  const draws = new Draws(1);
  const window = 10_000;
  const traces = Array.from({ length: 240 }, () => randomTrace(draws, window));
  const told = toldByRun({
    rows: traceRows(traces, window),
    labels: Uint16Array.from(traces, (_, i) => i % 4),
    runs: Uint16Array.from(traces, (_, i) => Math.floor(i / 60)),
    classes: 4,
  }, { trees: 60, seed: 1 });
  assert.equal(told.chance, 0.25);
  for (const { ci95 } of [told.forest, told.neighbours]) {
    assert.ok(ci95[0] <= 0.25 && ci95[1] >= 0.25, `${ci95}`);
  }
  const seen = traces.map((trace): Seen => ({
    label: 0,
    trace,
    took: Infinity,
    keys: Float64Array.from({ length: 10 + draws.integer(20) }, () => window * draws.float())
      .sort(),
    flows: [],
  }));
  const { count, times } = recoverKeystrokes(seen, seen.map((_, i) => i % 4), window, 1);
  assert.ok(Math.abs(times.value) < 0.03, `${times.value}`);
  assert.ok(count.value < 0.15, `${count.value}`);
});

Deno.test("content: features are finite for any trace, an empty one too, and count what is there", () => {
  const draws = new Draws(5);
  const empty = {
    length: 0,
    time: new Float64Array(0),
    size: new Int32Array(0),
    opened: new Float64Array(0),
  };
  const made: Trace = {
    length: 4,
    time: Float64Array.of(0, 50, 1500, 2500),
    size: Int32Array.of(300, -1448, -36, 36),
    opened: Float64Array.of(0, 1400),
  };
  const rows = traceRows([
    empty,
    made,
    ...Array.from({ length: 20 }, () => randomTrace(draws, 4000)),
  ], 4000);
  assert.equal(rows.values.length, 22 * TRACE_FEATURES.length);
  assert.ok(rows.values.every(Number.isFinite));
  const of = (name: string) => rows.values[rows.width + TRACE_FEATURES.indexOf(name)];
  assert.equal(new Set(TRACE_FEATURES).size, TRACE_FEATURES.length);
  assert.deepEqual(
    ["packets all", "packets in", "bytes in", "bytes out", "connections", "last opening"].map(of),
    [4, 2, 1484, 336, 2, 1400],
  );
  assert.deepEqual(
    ["gap all max", "time all 100 %", "in of full size", "out of 40 bytes or less"].map(of),
    [1450, 2500, 1, 1],
  );
  assert.deepEqual(["bytes out in slot 1", "bytes in in slot 1", "curve 60"].map(of), [
    300,
    1448,
    1148,
  ]);
});

Deno.test("content: leaf vectors are the leaves that the forest's own votes come from", () => {
  const draws = new Draws(7);
  const count = 120;
  const values = Float64Array.from({ length: count * 5 }, () => draws.float());
  const rows = { count, width: 5, values };
  const labels = Uint16Array.from(
    { length: count },
    (_, i) => +(values[i * 5]! > values[i * 5 + 1]!),
  );
  const forest = RandomForest.grow(rows, labels, 2, { trees: 25, seed: 4 });
  const leaves = leafVectors(forest, rows);
  const shares = forest.shares(rows);
  for (let row = 0; row < count; row++) {
    let votes = 0;
    forest.parts.trees.forEach((tree, t) => {
      const leaf = leaves[row * 25 + t]!;
      assert.equal(tree.column[leaf], -1);
      votes += tree.shares[tree.split[leaf]! * 2 + 1]! / 65_535;
    });
    assert.ok(Math.abs(votes / 25 - shares[row * 2 + 1]!) < 1e-3);
  }
  // Each row is nearest to itself.
  assert.deepEqual([...nearestByHamming(leaves, labels, leaves, 25, 2, 1)], [...labels]);
  const known = Uint32Array.of(1, 1, 1, 9, 9, 9, 9, 9, 8);
  assert.deepEqual([...nearestByHamming(known, [0, 1, 1], Uint32Array.of(9, 9, 7), 3, 2, 3)], [1]);
  assert.deepEqual([...nearestByHamming(known, [0, 1, 1], Uint32Array.of(1, 1, 1), 3, 2, 1)], [0]);
});

Deno.test("content: handshakes inside are found in plain relays and not in bare connections; a relay's round trips are longer", async () => {
  const flowsOf = async (how: "bare" | "relay", seed: number) => {
    const scenes = drawPages(6, seed).map((page, label) => ({
      label,
      perform: (
        ...[stage, random]: Parameters<typeof visitPage> extends [infer S, unknown, infer R]
          ? [S, R]
          : never
      ) => visitPage(stage, page, random),
    }));
    const options = { disguise: { how }, times: 3, runs: 2, window: 15_000, seed: `test ${seed}` };
    return (await seenInRuns(scenes, options)).seen.flatMap(({ flows }) => flows);
  };
  const attacker = learnNestedHandshakes(await flowsOf("relay", 1), await flowsOf("bare", 1), 0.02);
  const [relayed, bare] = [await flowsOf("relay", 2), await flowsOf("bare", 2)];
  const named = (flows: readonly FlowStart[]) =>
    flows.filter(attacker.accuses).length / flows.length;
  assert.ok(named(relayed) > 0.9, `${named(relayed)}`);
  assert.ok(named(bare) < 0.1, `${named(bare)}`);
  const median = (flows: readonly FlowStart[]) => {
    const own = flows.map(roundTripDifference).filter((one) => one !== undefined).sort((a, b) =>
      a - b
    );
    return own[own.length >> 1]!;
  };
  assert.ok(median(relayed) >= 20 && median(bare) < 15, `${median(relayed)}, ${median(bare)}`);
  // On noise it accuses no more than it has allowed itself.
  const draws = new Draws(3);
  const noise = Array.from({ length: 400 }, (): FlowStart => {
    const length = 5 + draws.integer(40);
    return {
      start: 0,
      rtt: 40,
      sizes: Int32Array.from(
        { length },
        (_, i) =>
          i === 0 ? 517 : i === 1 ? -1400 : (draws.integer(2) * 2 - 1) * (1 + draws.integer(1448)),
      ),
      times: Float64Array.from({ length }, (_, i) => 40 * i),
    };
  });
  const careful = learnNestedHandshakes(await flowsOf("relay", 1), noise.slice(0, 200), 0);
  assert.ok(noise.slice(200).filter(careful.accuses).length <= 10);
});

Deno.test("content: the handshake of a connection is told by directions and sizes", () => {
  const flow = (...sizes: number[]): FlowStart => ({
    start: 0,
    rtt: 40,
    sizes: Int32Array.from(sizes),
    times: Float64Array.from(sizes, (_, i) => i * 45),
  });
  assert.equal(afterHandshake(flow(1448, 507, -799, 64, 900, -574)), 4);
  assert.equal(afterHandshake(flow(517, -1448, -1448, 900)), 3);
  assert.equal(afterHandshake(flow(517)), 1);
  assert.equal(afterHandshake(flow()), 0);
  assert.equal(roundTripDifference(flow(517, -799, 64)), undefined);
  assert.equal(correlation([1, 2, 3], [2, 4, 6]), 1);
  assert.equal(correlation([1, 2, 3], [5, 5, 5]), 0);
});

Deno.test("content: single connections of a tunnel, with false accusations counted on real ones of other runs", async () => {
  const https = [1, 2, 3, 4, 5, 6].map((run) => `samples/https/run-${run}.pcap.gz`);
  const found = await connections({
    plain: [https.slice(0, 3), https.slice(3)],
    near: https.slice(3),
    first: [{ label: "ssh", files: ["samples/ssh/run-1.pcap.gz"] }],
    disguises: [{ how: "relay" }, CONSTANT],
    pages: 4,
    visits: 1,
    runs: 2,
    window: 10_000,
    seed: 1,
  });
  const [careful, careless] = found.settings;
  assert.ok(careful!.accused.n > 300 && careful!.accused.share < 0.03);
  assert.ok(careless!.accused.share >= careful!.accused.share);
  assert.equal(found.bound, 3 / careful!.accused.n);
  const [relay, constant, idle] = found.of;
  assert.ok(
    relay!.name === "plain relay" && relay!.nested[0]!.connections.share > 0.9,
  );
  assert.ok(
    constant!.nested[0]!.connections.share < 0.1 && idle!.name === "constant-rate:28, idle",
  );
  assert.ok(relay!.roundTrips!.auc > 0.6);
  const [ssh, cover, random] = found.firstPayloads;
  assert.ok(ssh!.n > 20 && ssh!.blocked === 0 && cover!.blocked === 0);
  assert.ok(random!.blocked > 0.98 * random!.n);
});

Deno.test("content: in strict an observer sees the same whatever is done; in demand not", async () => {
  const model = await loadModel("https");
  const watch = (schedule: "strict" | "demand", activity: Activity) =>
    observe(
      Array.from({ length: 3 }, () => ({
        label: 0,
        perform: (...[stage, random, onKey]: Parameters<Scene["perform"]>) =>
          perform(activity, stage, random, onKey),
      })),
      {
        disguise: { how: "tunnel", model: "https", schedule },
        model,
        link: LAB_LINK,
        window: 6000,
        seed: "strict",
      },
    ).map(({ trace }) => trace);
  const idle = watch("strict", "nothing");
  assert.ok(idle.every(({ length }) => length > 50));
  for (const activity of ["web", "ssh-typing", "voice"] as const) {
    assert.deepEqual(watch("strict", activity), idle);
  }
  assert.notDeepEqual(watch("demand", "web"), watch("demand", "nothing"));
});
