import assert from "node:assert/strict";
import fc from "fast-check";
import { encodeEngine, encodeNumbers, encodeOpen, FRAME } from "../../playback/frame.ts";
import { ReliableTunnel } from "../../playback/tunnel.ts";
import { TunnelProtocolError } from "../../playback/tunnel_error.ts";
import { ManualClock } from "./tunnel_hub.ts";

function victim(): ReliableTunnel {
  const tunnel = new ReliableTunnel({ end: "server", clock: new ManualClock() });
  tunnel.onStream = (stream) => stream.accept();
  tunnel.connectionOpened(1);
  return tunnel;
}

const small = fc.nat(40);
const offset = fc.oneof(fc.nat(300), fc.nat(300_000), fc.maxSafeNat());

/** Frames that are well formed and mostly make no sense. */
const hostile: fc.Arbitrary<Uint8Array> = fc.oneof(
  fc.uint8Array({ maxLength: 60 }),
  small.map((stream) => encodeOpen(stream, { host: "a", port: 1 })),
  fc.tuple(
    fc.constantFrom(
      FRAME.refused,
      FRAME.fin,
      FRAME.reset,
      FRAME.ack,
      FRAME.ackFinal,
      FRAME.credit,
    ),
    small,
    offset,
  ).map(([type, first, second]) => encodeNumbers(type, first, second)),
  fc.tuple(small, offset, fc.integer({ min: 1, max: 2000 })).map(([stream, offset, length]) =>
    Uint8Array.from([
      ...encodeNumbers(FRAME.data, 2 * stream, offset % 70_000, length),
      ...new Uint8Array(length),
    ])
  ),
  fc.tuple(offset, fc.uint8Array({ maxLength: 50 })).map(([sequence, body]) =>
    encodeEngine(3, body, sequence)
  ),
  small.map((code) => encodeNumbers(FRAME.ackHere, code)),
);

Deno.test("tunnel: hostile frames give the protocol error or nothing, and memory stays bounded", () => {
  fc.assert(
    fc.property(fc.array(hostile, { maxLength: 60 }), (frames) => {
      const tunnel = victim();
      const buffer = new Uint8Array(500);
      try {
        for (const frame of frames) {
          tunnel.receive(1, frame);
          tunnel.fill(1, buffer, true);
        }
      } catch (error) {
        assert.ok(error instanceof TunnelProtocolError, String(error));
      }
      assert.ok(tunnel.memory <= 256 * 65536);
      tunnel.fill(1, buffer, true);
      tunnel.connectionClosed(1, false);
    }),
    { numRuns: 1500 },
  );
});

Deno.test("tunnel: each rule of the peer's is enforced", () => {
  const data = (stream: number, offset: number, length: number) =>
    Uint8Array.from([
      ...encodeNumbers(FRAME.data, stream, offset, length),
      ...new Uint8Array(length).fill(1),
    ]);
  const cases: Record<string, Uint8Array[]> = {
    "data beyond the first credit": [data(0, 65536, 1)],
    "data beyond the end": [encodeNumbers(FRAME.fin, 0, 5), data(0, 5, 1)],
    "an end before data": [data(0, 0, 9), encodeNumbers(FRAME.fin, 0, 5)],
    "two ends": [encodeNumbers(FRAME.fin, 0, 5), encodeNumbers(FRAME.fin, 0, 6)],
    "a stream of ours that was never opened": [data(1, 0, 1)],
    "an answer to a stream of theirs": [encodeNumbers(FRAME.opened, 0)],
    "a stream opened with our number": [encodeOpen(1, { host: "a", port: 1 })],
    "an acknowledgement of bytes not sent": [encodeNumbers(FRAME.ackHere, 1)],
  };
  for (const [what, frames] of Object.entries(cases)) {
    const tunnel = victim();
    assert.throws(
      () => frames.forEach((frame) => tunnel.receive(1, frame)),
      TunnelProtocolError,
      what,
    );
    // What comes after on the same connection is not looked at.
    tunnel.receive(1, Uint8Array.of(0xff, 0xff));
  }
});

Deno.test("tunnel: a flood of streams, gaps or numbers ends in the protocol error", () => {
  const floods: Record<string, (index: number) => Uint8Array> = {
    "streams": (index) => encodeOpen(2 * index, { host: "a", port: 1 }),
    "numbers left out": (index) => encodeEngine(1, new Uint8Array(), 2 * index),
    "streams left out": (index) => encodeNumbers(FRAME.reset, 4 * index, 1),
    "bytes left out": (index) =>
      Uint8Array.from([...encodeNumbers(FRAME.data, 0, 1 + 2 * index, 1), 1]),
  };
  for (const [what, frame] of Object.entries(floods)) {
    const tunnel = victim();
    assert.throws(
      () => {
        for (let index = 0; index < 100_000; index++) tunnel.receive(1, frame(index));
      },
      TunnelProtocolError,
      what,
    );
  }
});
