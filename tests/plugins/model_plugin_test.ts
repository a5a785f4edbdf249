import assert from "node:assert/strict";
import fc from "fast-check";
import { LocalPlans, SeededRandom, substream } from "../../models/mod.ts";
import { KeyRandom } from "../../plugins/host/key_random.ts";
import { DEFAULT_MODEL_LIMITS, PluginError, PluginModel } from "../../plugins/mod.ts";
import { checkDrawn } from "../../plugins/model_plan.ts";

const hasPrlimit = await new Deno.Command("prlimit", { args: ["--version"], stdout: "null" })
  .output().then(({ success }) => success, () => false);

function modelTest(name: string, body: () => Promise<void>): void {
  Deno.test({ name: `${name} (needs prlimit)`, ignore: !hasPrlimit, fn: body });
}

const PLAN = `{
  exchanges: [{
    request: { type: "data", size: 300 + random.integer(1000), time: 5 * random.float() },
    response: [{ type: "data", size: 1400, time: 30, lead: 0 }],
  }],
  close: { by: "client", how: "fin", time: 0 },
}`;
const SEED = new Uint8Array(32).fill(7);
const seeded = (n: number) => new SeededRandom(substream(SEED, n));

/** A model whose default export has `fields` besides what it needs. */
function start(
  fields = "",
  limits = { sandbox: { ...DEFAULT_MODEL_LIMITS.sandbox, load: 60_000 }, draw: 60_000 },
): Promise<PluginModel> {
  return PluginModel.start({
    specifier: "model.ts",
    sha256: "ab".repeat(32),
    code: new TextEncoder().encode(`export default {
      contract: 1, plugin: "model", name: "made", protocol: "https", carrier: "tls",
      connection: (random) => (${PLAN}), ${fields} }`),
  }, limits);
}

modelTest("a model by others draws the same of the same randomness, in any order", async () => {
  using model = await start(`kinds: ["big"],
    session: (random) => ({ pauses: [0, 1000 * random.float()] }),
    episode: (random) => ({ starts: [0, random.integer(100)] }),`);
  assert.deepEqual(model.description, {
    name: "made",
    kind: "plugin",
    protocol: "https",
    carrier: "tls",
    digest: "ab".repeat(32),
  });
  assert.deepEqual(model.kinds, ["big"]);
  const forward = [0, 1, 2].map((n) => model.connection(seeded(n)));
  const back = [2, 1, 0].map((n) => model.connection(seeded(n)));
  assert.deepEqual(back.reverse(), forward);
  assert.notDeepEqual(forward[0], forward[1]);
  assert.deepEqual(model.session(seeded(9)), model.session(seeded(9)));
  assert.equal(model.session(seeded(9))!.pauses.length, 2);
  assert.equal(model.episode(seeded(9))!.starts.length, 2);
  assert.equal(model.connectionGap(seeded(1)), "close");
});

modelTest("layers that a model by others lacks are lacking, not invented", async () => {
  using model = await start("connectionGap: () => 250,");
  assert.equal(model.session(seeded(1)), undefined);
  assert.equal(model.episode(seeded(1)), undefined);
  assert.equal(model.connectionGap(seeded(1)), 250);
});

modelTest("connections are drawn like what the episode of a model by others says", async () => {
  const made =
    "exchanges: [{ request: { type: 'data', size: 100 + (like ?? 900), time: 1 }, response: [] }]";
  using model = await PluginModel.start({
    specifier: "model.ts",
    sha256: "ab".repeat(32),
    code: new TextEncoder().encode(`export default {
      contract: 1, plugin: "model", name: "made", protocol: "https", carrier: "tls",
      episode: () => ({ starts: [0, 10, 10], like: [7, null, 3] }),
      connection: (random, kind, like) =>
        ({ ${made}, close: { by: "client", how: "fin", time: 0 } }) }`),
  }, { sandbox: { ...DEFAULT_MODEL_LIMITS.sandbox, load: 60_000 }, draw: 60_000 });
  using plans = model.plans(SEED);
  const sizes = [0, 1, 2, 3].map((serial) =>
    plans.connection(0, serial).exchanges[0]!.request.size
  );
  assert.deepEqual(sizes, [107, 1000, 103, 107]);
});

modelTest("plans drawn ahead are those that would have been drawn on the spot", async () => {
  using model = await start();
  const local = new LocalPlans(model, SEED);
  const expected = [0, 1, 2, 3, 4].map((serial) => local.connection(0, serial));
  using plans = model.plans(SEED);
  for (let serial = 0; serial < 5; serial++) {
    assert.deepEqual(plans.connection(0, serial), expected[serial]);
    // Lets what was drawn ahead arrive.
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.deepEqual(plans.connection(0, 3), expected[3], "asked for again");
  assert.notDeepEqual(plans.connection(0, 0, 1), expected[0], "another attempt is another plan");
});

const BAD: Record<string, { fields: string; says: RegExp }> = {
  "throws": {
    fields: `connection() { throw new Error("no") }`,
    says: /failed in connection: .*no/,
  },
  "hangs": { fields: "connection() { for (;;); }", says: /connection took longer than 300 ms/ },
  "exits": { fields: "connection() { Deno.exit(0) }", says: /ended without an answer/ },
  "reads a file": {
    fields: `connection() { Deno.readFileSync("/etc/passwd") }`,
    says: /asked for read access/,
  },
  "answers nothing": { fields: "connection() {}", says: /connection\(\) answered/ },
  "has no exchange": {
    fields: `connection: () => ({ exchanges: [], close: { by: "client", how: "fin", time: 0 } })`,
    says: /connection\(\) answered exchanges: /,
  },
  "draws a message too small for any carrier": {
    fields: `connection: () => ({ exchanges: [{
      request: { type: "data", size: 3, time: 0 }, response: [] }],
      close: { by: "client", how: "fin", time: 0 } })`,
    says: /exchanges\.0\.request\.size: /,
  },
  "draws a time before the trigger": {
    fields: `connection: () => ({ exchanges: [{
      request: { type: "data", size: 300, time: -1 }, response: [] }],
      close: { by: "client", how: "fin", time: 0 } })`,
    says: /exchanges\.0\.request\.time: /,
  },
  "draws a plan without end": {
    fields: `connection: () => ({ x: "x".repeat(2e6) })`,
    says: /bytes where 1048576 are allowed/,
  },
};

for (const [name, { fields, says }] of Object.entries(BAD)) {
  modelTest(`a model by others that ${name} is stopped and named`, async () => {
    const draw = name === "hangs" ? 300 : 60_000;
    using model = await start(fields, { ...DEFAULT_MODEL_LIMITS, draw });
    assert.throws(() => model.connection(seeded(1)), (error: Error) => {
      assert.match(
        error.message,
        /^the model made drew a connection that cannot be played: [^\n]+$/,
      );
      assert.match(error.message, says);
      return true;
    });
  });
}

modelTest("a default export that is no model is refused", async () => {
  for (
    const [fields, says] of [
      ["plugin: 'attack'", /contract: 1, plugin: "model"/],
      ["name: 'A B'", /its name/],
      ["connection: 3", /no connection\(\)/],
      ["kinds: ['a b']", /its kinds/],
    ] as const
  ) {
    await assert.rejects(start(fields), (error: Error) => {
      assert.ok(error instanceof PluginError);
      return says.test(error.message);
    });
  }
});

modelTest(
  "a model that hangs ahead of time is killed, and closing does not wait for it",
  async () => {
    const model = await start("connection() { for (;;); }", {
      ...DEFAULT_MODEL_LIMITS,
      draw: 60_000,
    });
    model.drawAhead(seeded(1));
    model[Symbol.dispose]();
    assert.throws(() => model.connection(seeded(2)), /was closed/);
  },
);

Deno.test("a plugin's randomness is decided by its key and lies within its bounds", () => {
  fc.assert(fc.property(
    fc.uint8Array({ minLength: 32, maxLength: 32 }),
    fc.integer({ min: 1, max: 2 ** 32 }),
    (key, bound) => {
      const [a, b] = [new KeyRandom(key), new KeyRandom(key)];
      for (let i = 0; i < 20; i++) {
        const float = a.float();
        assert.ok(float >= 0 && float < 1 && float === b.float());
        const integer = a.integer(bound);
        assert.ok(Number.isInteger(integer) && integer >= 0 && integer < bound);
        assert.equal(integer, b.integer(bound));
      }
    },
  ));
});

Deno.test("whatever a model answers, it is a plan or it is refused in words", () => {
  fc.assert(fc.property(fc.anything(), (value) => {
    for (const method of ["session", "episode", "connectionGap", "connection"] as const) {
      try {
        checkDrawn(method, value);
      } catch (error) {
        assert.ok(error instanceof RangeError, String(error));
      }
    }
  }));
});
