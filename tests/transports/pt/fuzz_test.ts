import assert from "node:assert/strict";
import { fuzz, PARSERS } from "./parsers.ts";

for (const parser of PARSERS) {
  Deno.test(`damaged input is refused in words: ${parser.name}`, () => {
    const { taken, refused } = fuzz(parser, 5000);
    assert.equal(taken + refused, 5000);
    assert.ok(taken > 0);
    for (const seed of parser.seeds) {
      for (let end = 0; end <= seed.length; end++) {
        try {
          parser.run(seed.subarray(0, end));
        } catch (error) {
          assert.match((error as Error).message, /^.+$/);
        }
      }
    }
  });
}
