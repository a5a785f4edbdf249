import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import model from "./model.ts";

/** Randomness that repeats itself for the same number. */
function randomOf(seed: number) {
  let block = 0;
  const integer = (bound: number) => {
    const digest = createHash("sha256").update(`${seed} ${block++}`).digest();
    return digest.readUIntBE(0, 6) % bound;
  };
  return { integer, float: () => integer(2 ** 32) / 2 ** 32 };
}

Deno.test("my-model draws the same connection of the same randomness, and another of another", async () => {
  const first = await model.connection(randomOf(1));
  assert.deepEqual(await model.connection(randomOf(1)), first);
  assert.notDeepEqual(await model.connection(randomOf(2)), first);
});

Deno.test("my-model draws connections that can be played", async () => {
  for (let seed = 0; seed < 100; seed++) {
    const { close, exchanges } = await model.connection(randomOf(seed));
    assert.ok(exchanges.length >= 1 && close.time >= 0);
    for (
      const { size, time } of exchanges.flatMap(({ request, response }) => [request, ...response])
    ) {
      assert.ok(Number.isInteger(size) && size >= 23 && time >= 0);
    }
  }
});
