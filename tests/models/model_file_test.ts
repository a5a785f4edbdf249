import assert from "node:assert/strict";
import fc from "fast-check";
import { ConstantRate, constantRateFile } from "../../models/constant_rate.ts";
import { ModelFileError, serialiseModel } from "../../models/model_file.ts";
import { builtinModel, loadModel, modelFromFile } from "../../models/registry.ts";
import { browsing, learn, observe, randomOf } from "./made.ts";
import { assertValidPlan } from "./valid_plan.ts";

const observer = observe(6, browsing);
const TEXTS = [
  serialiseModel(constantRateFile()).text,
  learn(observer, "structural").text,
  learn(observer, "conditional").text,
];

Deno.test("a wrong version, kind or text is one clear line", () => {
  const file = JSON.parse(TEXTS[0]!);
  const cases: [string, RegExp][] = [
    ["", /^m\.json: not a model file: it is not JSON$/],
    ["[]", /^m\.json: not a model file: "schema"/],
    ["null", /^m\.json: not a model file: "schema"/],
    [
      JSON.stringify({ ...file, version: 2 }),
      /^m\.json: model file version 2, this program reads version 1: learn it again/,
    ],
    [JSON.stringify({ ...file, version: undefined }), /version missing/],
    [JSON.stringify({ ...file, kind: "psychic" }), /kind "psychic" is unknown/],
    [JSON.stringify({ ...file, name: "../x" }), /name: Invalid format/],
    [JSON.stringify({ ...file, extra: 1 }), /extra/],
    [JSON.stringify({ ...file, content: { ...file.content, size: 10 } }), /content\.size/],
  ];
  for (const [text, message] of cases) {
    assert.throws(() => modelFromFile(text, "m.json"), (error: unknown) => {
      assert(error instanceof ModelFileError);
      assert.match(error.message, message);
      assert(!error.message.includes("\n"));
      return true;
    });
  }
});

Deno.test("the constant-rate model's digest is that of its file", () => {
  const { description } = modelFromFile(TEXTS[0]!);
  assert.deepEqual(description, new ConstantRate().description);
});

Deno.test("unknown models and missing files are one clear line", async () => {
  await assert.rejects(
    loadModel("gopher"),
    /^ModelFileError: gopher: no such model: bulk, constant-rate/,
  );
  await assert.rejects(builtinModel("./x.json"), /no such model: choose/);
  await assert.rejects(loadModel("./not/there.json"), /not\/there\.json: no such model file/);
});

/** Every place in a JSON value: its path. */
function places(value: unknown, path: (string | number)[] = []): (string | number)[][] {
  if (typeof value !== "object" || value === null) return [path];
  return [path, ...Object.entries(value).flatMap(([key, item]) => places(item, [...path, key]))];
}

function replaced(value: unknown, path: readonly (string | number)[], item: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return item;
  const copy = structuredClone(value) as Record<string | number, unknown>;
  copy[key] = replaced(copy[key], rest, item);
  return copy;
}

for (const text of TEXTS) {
  const value = JSON.parse(text);
  Deno.test(`a damaged ${value.kind} model file is refused in one line, or plays valid plans`, () => {
    const paths = places(value);
    let refused = 0;
    fc.assert(
      fc.property(
        fc.nat(paths.length - 1),
        fc.oneof(
          fc.constantFrom(
            0,
            -1,
            1,
            22,
            23,
            0.5,
            1e9,
            2 ** 31,
            2 ** 53,
            1e308,
            null,
            "",
            "fin",
            [],
            {},
          ),
          fc.integer(),
          fc.double({ noNaN: true, noDefaultInfinity: true }),
          fc.jsonValue(),
        ),
        fc.nat(),
        (place, item, number) => {
          try {
            const model = modelFromFile(JSON.stringify(replaced(value, paths[place]!, item)));
            for (let i = 0; i < 3; i++) assertValidPlan(model.connection(randomOf(number + i)));
          } catch (error) {
            if (!(error instanceof ModelFileError)) throw error;
            assert(!error.message.includes("\n") && error.message.length < 500);
            refused++;
          }
        },
      ),
      { numRuns: 400 },
    );
    assert(refused > 100, `${refused} refused`);
  });
}

Deno.test("text cut anywhere is refused", () => {
  const text = TEXTS[2]!;
  fc.assert(fc.property(fc.nat(text.length - 3), (length) => {
    assert.throws(() => modelFromFile(text.slice(0, length)), ModelFileError);
  }));
});
