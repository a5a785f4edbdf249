// What a peer that holds the secret can do to this end by the plans that it asks for.
import assert from "node:assert/strict";
import { encodeSetup, ENGINE, packNumbers, type Setup } from "../../playback/engine_frames.ts";
import { encodeEngine } from "../../playback/frame.ts";
import { encodePlan, PlanDecoder, PlanFormatError } from "../../playback/plan_codec.ts";
import { PlanStore } from "../../playback/plans_sent.ts";
import { makeWorld } from "./engine_world.ts";

const DERIVED: Setup = {
  form: "derived",
  master: "client",
  schedule: "strict",
  sessions: 1,
  minimum: 0,
  minimumHere: 0,
  digest: Uint8Array.of(0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef),
  seed: new Uint8Array(16),
};
const setup = (setup: Setup) => encodeEngine(ENGINE.setup, encodeSetup(setup));
const MESSAGE = { type: "data", size: 100_000, time: 0 } as const;
/** `messages` messages of the client's, then a close. */
function plan(messages: number, size = 60): Uint8Array {
  const exchange = { request: { ...MESSAGE, size }, response: [] };
  return encodePlan({
    exchanges: Array.from({ length: messages }, () => exchange),
    close: { by: "client", how: "fin", time: 0 },
  }, { requestTimes: false });
}
function concat(...parts: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** What becomes of an acceptor that is sent `frames` on one connection: the fault that ended it, if one did. */
function faultOf(...frames: Uint8Array[]): string | undefined {
  const world = makeWorld({ prefix: { client: 0, server: 0 } });
  const [mine, theirs] = world.network.connect();
  mine.listener = { onData: () => {}, onClose: () => {} };
  world.acceptor.accept(theirs, { session: 0, serial: 0 });
  for (const frame of frames) mine.write(frame);
  world.clock.run(1000);
  return (world.faults[0] as Error | undefined)?.message;
}

Deno.test("hostile plans: a connection has one set-up and one plan, wherever they come from", () => {
  const embedded = setup({ ...DERIVED, form: "embedded" });
  const here = encodeEngine(ENGINE.here, plan(3, 5000));
  const own = encodeEngine(ENGINE.own, packNumbers([0]));
  const kind = encodeEngine(ENGINE.kind, packNumbers([0]));
  assert.equal(faultOf(embedded, here), undefined, "a plan in its place is played");
  const second = /a second (set-up on|plan for) a connection/;
  assert.match(faultOf(setup(DERIVED), setup(DERIVED)) ?? "", second);
  assert.match(faultOf(embedded, embedded) ?? "", second);
  for (const again of [here, own, kind]) {
    assert.match(faultOf(setup(DERIVED), again) ?? "", second);
  }
});

Deno.test("hostile plans: the memory of what is to be played is bounded, and given back", () => {
  const world = makeWorld({ prefix: { client: 0, server: 0 } });
  const refused: unknown[] = [];
  // Eight connections of 60,000 messages each would take 75 MB.
  let most = 0;
  for (let serial = 0; serial < 8; serial++) {
    const [mine, theirs] = world.network.connect();
    mine.listener = { onData: () => {}, onClose: (reason) => refused.push(reason) };
    world.clock.at(serial * 10, () => {
      world.acceptor.accept(theirs, { session: 0, serial });
      if (serial === 0) mine.write(setup({ ...DERIVED, form: "embedded" }));
      const bytes = plan(60_000);
      for (let at = 0; at < bytes.length; at += 8192) {
        mine.write(encodeEngine(ENGINE.here, bytes.subarray(at, at + 8192)));
      }
    });
  }
  const look = () => {
    most = Math.max(most, world.acceptor.memory);
    if (world.clock.now() < 3000) world.clock.at(world.clock.now() + 10, look);
  };
  look();
  world.clock.run(1000);
  assert.ok(most > 2 ** 20, "plans are counted");
  assert.ok(most < 34 * 2 ** 20, `${most} bytes`);
  world.acceptor.stop("rst");
  world.clock.run(3_600_000);
  assert.equal(world.acceptor.open, 0);
  assert.equal(world.acceptor.memory, 0);
});

Deno.test("hostile plans: plans sent ahead are kept within bounded memory, whatever they say of records", () => {
  // A message of 60,000 bytes in records of one byte, in a dozen bytes.
  const size = 60_000;
  const records = new Array<number>(size).fill(1);
  const bytes = encodePlan({
    exchanges: [{ request: { ...MESSAGE, size, records }, response: [] }],
    close: { by: "client", how: "fin", time: 0 },
  }, { requestTimes: false });
  assert.ok(bytes.length < 20);
  const decoder = new PlanDecoder();
  decoder.push(bytes);
  assert.ok(decoder.memory > 8 * size);
  const store = new PlanStore();
  // An opening (1 at once), then the plan.
  const opening = Uint8Array.of(0, 0);
  for (let serial = 0; serial < 100; serial++) {
    store.take(concat(packNumbers([0, serial, 0, 0]), opening, bytes), () => true);
  }
  const kept = Array.from({ length: 100 }, (_, serial) => store.has(0, serial, 0));
  assert.ok(kept.at(-1), "the newest is there");
  // The newest may go beyond.
  assert.ok((kept.filter(Boolean).length - 1) * decoder.memory <= 16 * 2 ** 20);

  const gross = new PlanDecoder();
  const many = { ...MESSAGE, size: 70_000, records: new Array<number>(70_000).fill(1) };
  assert.throws(
    () =>
      gross.push(encodePlan({
        exchanges: [{ request: many, response: [] }],
        close: { by: "client", how: "fin", time: 0 },
      }, { requestTimes: false })),
    PlanFormatError,
  );
});

Deno.test("hostile plans: what came of a plan is not read again for each piece that follows", () => {
  // One exchange of 16,000 messages, byte by byte: read anew each time it would take over a hundred million steps.
  const decoder = new PlanDecoder();
  let read = 0;
  const piece = Uint8Array.of(9);
  const watched = Uint8Array.prototype.slice;
  // What is left over is copied for the next piece: it stays short.
  Uint8Array.prototype.slice = function (this: Uint8Array, ...range) {
    const left = watched.apply(this, range);
    read += left.length;
    return left;
  } as typeof watched;
  try {
    for (let i = 0; i < 16_000; i++) decoder.push(piece);
  } finally {
    Uint8Array.prototype.slice = watched;
  }
  assert.ok(read < 100_000, `${read} bytes were carried over`);
  assert.ok(decoder.memory < 4 * 2 ** 20);
});

Deno.test("hostile plans: acknowledgements that nobody makes room for do not pile up", () => {
  const world = makeWorld({ prefix: { client: 0, server: 0 } });
  const [mine, theirs] = world.network.connect();
  mine.listener = { onData: () => {}, onClose: () => {} };
  world.acceptor.accept(theirs, { session: 0, serial: 0 });
  mine.write(setup({ ...DERIVED, form: "embedded" }));
  // A plan in which the server never speaks, and then that session 5 ends, again and again.
  mine.write(encodeEngine(ENGINE.here, plan(1000, 5000)));
  const end = encodeEngine(ENGINE.ahead, concat(packNumbers([5, 0, 0, 0]), Uint8Array.of(3)));
  const many = concat(...Array.from({ length: 1000 }, () => end));
  for (let round = 0; round < 5; round++) mine.write(many);
  world.clock.run(1000);
  const { live } = world.acceptor as unknown as { live: Map<number, { waiting: unknown[] }> };
  const [{ waiting }] = [...live.values()] as [{ waiting: unknown[] }];
  assert.equal(waiting.length, 1024);
});
