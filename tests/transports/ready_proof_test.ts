import assert from "node:assert/strict";
import { clientSeal, tokenProof } from "../../transports/mimic/proof.ts";
import { ReadyProof } from "../../transports/mimic/ready_proof.ts";

const key = new Uint8Array(32).fill(7);
const digest = Uint8Array.from({ length: 32 }, (_, i) => i);

Deno.test("ready proof: it is what would be made after the handshake", () => {
  const { proof, seal } = new ReadyProof(key, digest, 2, 9);
  assert.deepEqual(proof, tokenProof(key, digest, 2, 9));
  const text = new Uint8Array(100).fill(3);
  assert.deepEqual(seal(text.slice()), clientSeal(key, digest, 2, 9)(text.slice()));
});

// Each connection of ssh has read its host key itself: what was made ahead used to be thrown away every time.
Deno.test("ready proof: a digest with the same bytes in another array is the same server's", () => {
  const ready = new ReadyProof(key, digest, 0, 1);
  assert.ok(ready.serves(key, digest));
  assert.ok(ready.serves(key, digest.slice()));
});

Deno.test("ready proof: it serves no other server and no other tunnel", () => {
  const ready = new ReadyProof(key, digest, 0, 1);
  for (let bit = 0; bit < 8 * digest.length; bit++) {
    const other = digest.slice();
    other[bit >> 3]! ^= 1 << (bit & 7);
    assert.ok(!ready.serves(key, other));
  }
  assert.ok(!ready.serves(key, digest.subarray(1)));
  assert.ok(!ready.serves(undefined, digest));
  assert.ok(!ready.serves(new Uint8Array(32).fill(8), digest));
});
