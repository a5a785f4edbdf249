import assert from "node:assert/strict";
import { DECODERS, fuzz } from "./fuzz_decoders.ts";

for (const decoder of DECODERS) {
  Deno.test(`5000 damaged inputs: ${decoder.name}`, () => {
    for (const seed of decoder.seeds) assert.ok(decoder.run(seed) > 0);
    const { taken } = fuzz(decoder, 5000);
    assert.ok(taken > 50);
  });
}
