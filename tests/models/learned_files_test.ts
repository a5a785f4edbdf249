import assert from "node:assert/strict";
import { parseModelFile, serialiseModel } from "../../models/model_file.ts";
import { BUILTIN_MODELS, loadModelText, modelFromFile } from "../../models/registry.ts";
import { randomOf } from "./made.ts";
import { assertValidPlan } from "./valid_plan.ts";

for (const name of BUILTIN_MODELS) {
  Deno.test(`shipped model ${name}: small, canonical, valid, and without names or addresses`, async () => {
    const text = await loadModelText(name);
    assert(text.length < 1_000_000, `${text.length} bytes`);
    const file = parseModelFile(text, name);
    assert.equal(file.name, name);
    assert.equal(serialiseModel(file).text, text, "not in its canonical text");
    // Nothing but words of the schema, numbers, digests, dates and capture names.
    const captures = file.provenance?.captures.map((capture) => capture.name) ?? [];
    for (const capture of captures) assert.match(capture, /^[\w.+ -]{1,100}$/);
    const rest = captures.reduce((left, capture) => left.replaceAll(capture, ""), text);
    assert(!/\d{1,3}(\.\d{1,3}){3}/.test(text), "a dotted quad");
    assert(!/[0-9a-f]{1,4}(:[0-9a-f]{0,4}){3,}/i.test(rest), "an IPv6 or hardware address");
    assert(!/[\w-]+\.(com|org|net|io|example|local|test)\b/i.test(text), "a host name");
    assert(!/[/\\]/.test(rest), "a path");
    const strings = [...rest.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map((match) => match[1]!);
    const longest = strings.filter((string) => !/^[0-9a-f]{64}$/.test(string));
    for (const string of longest) assert(string.length <= 50, `a long text: ${string}`);
    const model = modelFromFile(text, name);
    for (let i = 0; i < 100; i++) assertValidPlan(model.connection(randomOf(i)));
  });
}
