import assert from "node:assert/strict";
import fc from "fast-check";
import type { CoverModel } from "../../models/cover_model.ts";
import { LocalPlans } from "../../models/plans.ts";
import { PlansAhead } from "../../models/plans_ahead.ts";
import { modelFromFile } from "../../models/registry.ts";
import { substream } from "../../models/random.ts";
import { browsing, learn, messageOf, modelOf, observe, randomOf } from "./made.ts";
import { assertValidPlan } from "./valid_plan.ts";

const KINDS = ["conditional", "structural"];

/** Learned once: several tests draw from the same models. */
const learned = new Map(KINDS.map((kind) => [kind, learn(observe(120, browsing), kind)]));

for (const kind of KINDS) {
  Deno.test(`${kind}: every plan drawn is valid`, () => {
    const model = modelOf(learned.get(kind)!);
    fc.assert(
      fc.property(fc.nat(), (number) => {
        assertValidPlan(model.connection(randomOf(number)));
        const gap = model.connectionGap(randomOf(number));
        assert(gap === "close" || (Number.isFinite(gap) && gap >= 0));
      }),
      { numRuns: 300 },
    );
  });

  Deno.test(`${kind}: the same substream gives the same plan, another gives another`, () => {
    const a = modelOf(learned.get(kind)!);
    const b = modelOf(learned.get(kind)!);
    const seed = new Uint8Array(32).fill(7);
    const plans = new Set<string>();
    for (let serial = 0; serial < 50; serial++) {
      const plan = JSON.stringify(new LocalPlans(a, seed).connection(0, serial));
      assert.equal(JSON.stringify(new LocalPlans(b, seed).connection(0, serial)), plan);
      plans.add(plan);
    }
    assert.equal(plans.size, 50);
    assert.notDeepEqual(
      new LocalPlans(a, seed).connection(0, 0, 1),
      new LocalPlans(a, seed).connection(0, 0, 0),
    );
  });

  Deno.test(`${kind}: a model read back from its file, spaces or not, draws alike`, () => {
    const { text, digest } = learned.get(kind)!;
    const model = modelFromFile(text);
    const again = modelFromFile(JSON.stringify(JSON.parse(text)));
    assert.equal(model.description.digest, digest);
    assert.deepEqual(again.description, model.description);
    for (let i = 0; i < 20; i++) {
      assert.deepEqual(again.connection(randomOf(i)), model.connection(randomOf(i)));
    }
  });

  Deno.test(`${kind}: learning twice gives the same bytes, and no name or address`, () => {
    const { text } = learned.get(kind)!;
    assert.equal(learn(observe(120, browsing), kind).text, text);
    assert(!/192\.0|198\.51|10\.1\.2|someone|home/.test(text));
  });

  Deno.test(`${kind}: recovers the distributions of a made process`, () => {
    // One exchange in three has a request of exactly 100 bytes; answers take 20 to 30 ms.
    const observer = observe(400, (random) => {
      const count = 2 + random.integer(3);
      return Array.from({ length: count }, () => ({
        request: messageOf(0, random.integer(3) === 0 ? 100 : 200 + random.integer(2_000)),
        responses: [messageOf(1, 5_000, { think: 20 + 10 * random.float() })],
      }));
    });
    const plans = drawMany(modelOf(learn(observer, kind)), 2_000);
    const exchanges = plans.flatMap((plan) => plan.exchanges);
    const share = (of: (exchange: typeof exchanges[number]) => boolean) =>
      exchanges.filter(of).length / exchanges.length;
    close(exchanges.length / plans.length, 3, 0.15);
    close(share(({ request }) => request.size === 100), 1 / 3, 0.05);
    close(share(({ request }) => request.size >= 1_200), 1 / 3, 0.06);
    close(share(({ response }) => response[0]?.size === 5_000), 1, 0.001);
    close(share(({ response }) => response[0]!.time < 25), 0.5, 0.05);
    for (const length of [2, 3, 4]) {
      close(plans.filter((plan) => plan.exchanges.length === length).length / 2_000, 1 / 3, 0.06);
    }
  });
}

function drawMany(model: CoverModel, count: number) {
  return Array.from({ length: count }, (_, i) => model.connection(randomOf(i)));
}

function close(actual: number, expected: number, by: number): void {
  assert(Math.abs(actual - expected) <= by, `${actual} is not ${expected} ± ${by}`);
}

Deno.test("conditional: keeps what depends on position and on the exchange before", () => {
  // Always a small request first, then alternately; a structural model mixes them.
  const observer = observe(100, (random) =>
    Array.from({ length: 6 }, (_, i) => ({
      request: messageOf(0, i === 0 ? 60 : 1_000 * (1 + i % 2) + random.integer(100)),
      responses: [messageOf(1, 200 + i)],
    })));
  for (const plan of drawMany(modelOf(learn(observer, "conditional")), 200)) {
    assert.equal(plan.exchanges.length, 6);
    for (const [i, { request }] of plan.exchanges.entries()) {
      if (i === 0) assert.equal(request.size, 60);
      else assert.equal(Math.round(request.size / 1_000), 1 + i % 2);
    }
  }
});

Deno.test("conditional: does not replay captured connections", () => {
  const captured = new Set<string>();
  const observer = observe(60, (random) => {
    const exchanges = Array.from({ length: 4 }, () => ({
      request: messageOf(0, 300 + random.integer(2_000)),
      responses: [messageOf(1, 1_000 + random.integer(20_000))],
    }));
    captured.add(exchanges.map((e) => `${e.request.size} ${e.responses[0]!.size}`).join());
    return exchanges;
  });
  const repeats = drawMany(modelOf(learn(observer, "conditional")), 500).filter((plan) =>
    captured.has(plan.exchanges.map((e) => `${e.request.size} ${e.response[0]!.size}`).join())
  );
  assert(repeats.length < 5, `${repeats.length} of 500 are captured ones`);
});

Deno.test("conditional: sizes keep to the protocol's step", () => {
  const observer = observe(50, (random) =>
    Array.from({ length: 5 }, () => ({
      request: messageOf(0, 36, { records: [] }),
      responses: [messageOf(1, 36 + 8 * random.integer(4_000), { records: [] })],
    })));
  for (const { exchanges } of drawMany(modelOf(learn(observer, "conditional")), 200)) {
    for (const { request, response } of exchanges) {
      assert.equal(request.size, 36);
      assert.equal((response[0]!.size - 36) % 8, 0);
      assert.equal(response[0]!.records, undefined);
    }
  }
});

Deno.test("conditional: fixed sizes stay, sizes that met by chance do not", () => {
  // One in four requests is 517; the others are anything, and each of these happens to be seen twice.
  const observer = observe(80, (random, index) => [{
    request: messageOf(0, random.integer(4) === 0 ? 517 : 600 + 2 * (index >> 1)),
    responses: [messageOf(1, 36)],
  }]);
  const sizes = drawMany(modelOf(learn(observer, "conditional")), 400).map((plan) => {
    assert.equal(plan.exchanges[0]!.response[0]!.size, 36);
    return plan.exchanges[0]!.request.size;
  });
  const fixed = sizes.filter((size) => size === 517).length;
  assert(fixed > 60 && fixed < 160, `${fixed} of 400`);
  assert(!sizes.some((size) => size !== 517 && size < 560));
  const met = sizes.filter((size) => size >= 600 && size % 2 === 0).length;
  assert(met < 300, `${met} of ${400 - fixed} keep to what was seen`);
  assert(sizes.some((size) => size % 2 === 1 && size > 600));
});

Deno.test("conditional: overlapping messages keep their lead", () => {
  const observer = observe(30, (random) => [
    { request: messageOf(0, 100), responses: [messageOf(1, 10_000 + random.integer(5_000))] },
    { request: messageOf(0, 200, { lead: 20_000 }), responses: [messageOf(1, 500, { lead: 200 })] },
  ]);
  for (const { exchanges } of drawMany(modelOf(learn(observer, "conditional")), 50)) {
    const first = exchanges[0]!.response[0]!.size;
    assert.equal(exchanges[1]!.request.lead, first, "sent before any of the answer had come");
    assert.equal(exchanges[1]!.response[0]!.lead, 200);
  }
});

Deno.test("the worker's plans are the local ones, early or late", async () => {
  const { text } = learned.get("conditional")!;
  const seed = substream(new Uint8Array(32), "test");
  using ahead = new PlansAhead(text, seed);
  const local = new LocalPlans(modelFromFile(text), seed);
  assert.deepEqual(ahead.description, local.description);
  for (let serial = 0; serial < 30; serial++) {
    assert.deepEqual(ahead.connection(0, serial), local.connection(0, serial));
    assert.deepEqual(ahead.connection(1, serial, 2), local.connection(1, serial, 2));
    // Lets the worker answer now and then, so that both ways are taken.
    if (serial % 3 === 0) await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.deepEqual(ahead.connectionGap(0, 4), local.connectionGap(0, 4));
  assert.equal(ahead.session(0), undefined);
});
