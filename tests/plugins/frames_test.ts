import assert from "node:assert/strict";
import fc from "fast-check";
import { FRAME, FrameError, frameHead, FrameReader } from "../../plugins/host/frames.ts";

function readerOf(bytes: Uint8Array, cuts: readonly number[]): FrameReader {
  const edges = [...new Set([0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])]
    .sort((a, b) => a - b);
  let next = 0;
  return new FrameReader(() => {
    if (next >= edges.length - 1) return Promise.resolve(undefined);
    const chunk = bytes.slice(edges[next], edges[next + 1]);
    next++;
    return Promise.resolve(chunk);
  });
}

function framed(payloads: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(payloads.flatMap((payload, serial) => [
    ...frameHead(FRAME.answer, serial, payload.length),
    ...payload,
  ]));
}

Deno.test("frames are read whole however their bytes arrive", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 5 }),
      fc.array(fc.nat()),
      async (payloads, cuts) => {
        const reader = readerOf(framed(payloads), cuts);
        for (const [serial, payload] of payloads.entries()) {
          const frame = await reader.read(100);
          assert.equal(frame?.serial, serial);
          assert.deepEqual([...frame.payload], [...payload]);
        }
        assert.equal(await reader.read(100), undefined);
      },
    ),
  );
});

Deno.test("a frame beyond the credit is refused before its content is read", async () => {
  const reader = readerOf(frameHead(FRAME.answer, 1, 0xffff_ffff), []);
  await assert.rejects(reader.read(1000), FrameError);
});

Deno.test("a stream that ends inside a frame is an error, not an end", async () => {
  const whole = framed([new Uint8Array(10)]);
  for (const keep of [1, 11, 12, whole.length - 1]) {
    await assert.rejects(readerOf(whole.slice(0, keep), []).read(100), FrameError);
  }
});
