import assert from "node:assert/strict";
import fc from "fast-check";
import type { CoverListener } from "../../playback/cover_connection.ts";
import { Inbox } from "../../transports/carriers/inbox.ts";
import { Outbox } from "../../transports/carriers/outbox.ts";

/** A listener that notes what it is told; `then` runs after each piece. */
function noting(then: (seen: number[]) => void = () => {}) {
  const seen: number[] = [];
  const ends: string[] = [];
  const listener: CoverListener = {
    onData: (bytes) => {
      seen.push(...bytes);
      then(seen);
    },
    onClose: (reason) => ends.push(reason),
  };
  return { seen, ends, listener };
}

Deno.test("inbox: every byte is told once and in order, however listeners change, and then the end", () => {
  const step = fc.oneof(
    fc.record({ does: fc.constant("bytes" as const), length: fc.integer({ min: 1, max: 4 }) }),
    fc.record({ does: fc.constant("listen" as const), hands: fc.boolean() }),
    fc.record({ does: fc.constant("leave" as const) }),
  );
  fc.assert(fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
    const inbox = new Inbox(() => assert.fail("too little for that"));
    const told: number[] = [];
    const ends: string[] = [];
    const second = {
      onData: (bytes: Uint8Array) => void told.push(...bytes),
      onClose: (reason: string) => void ends.push(reason),
    };
    let sent = 0;
    for (const one of steps) {
      if (one.does === "bytes") {
        inbox.received(Uint8Array.from({ length: one.length }, () => sent++ & 255));
      } else if (one.does === "leave") inbox.listener = undefined;
      else {
        inbox.listener = one.hands
          ? {
            // Hands on at the first piece, and gives the second byte of it back.
            onData: (bytes) => {
              told.push(bytes[0]!);
              inbox.unread(bytes.subarray(1));
              inbox.listener = second;
            },
            onClose: (reason) => void ends.push(reason),
          }
          : second;
      }
    }
    inbox.over("fin");
    inbox.over("rst");
    inbox.listener = second;
    assert.deepEqual(told, Array.from({ length: sent }, (_, i) => i & 255));
    assert.deepEqual(ends, ["fin"]);
  }));
});

Deno.test("inbox: a listener is told since when the bytes are here, also one that comes later", () => {
  const inbox = new Inbox(() => assert.fail("too little for that"));
  const kept: (number | undefined)[] = [];
  const listener: CoverListener = {
    onData: (_, ms) => void kept.push(ms),
    onClose: () => {},
  };
  const came = performance.now() - 1000;
  inbox.received(new Uint8Array(1), came);
  assert.equal(inbox.came, came);
  inbox.listener = listener;
  inbox.received(new Uint8Array(1), came);
  inbox.received(new Uint8Array(1));
  assert.equal(kept.length, 3);
  assert.ok(kept[0]! >= 1000 && kept[1]! >= 1000);
  assert.equal(kept[2], 0);
});

Deno.test("inbox: too much without a listener is told of", () => {
  let times = 0;
  const inbox = new Inbox(() => times++);
  inbox.received(new Uint8Array(65_536));
  assert.equal(times, 0);
  inbox.received(new Uint8Array(1));
  assert.equal(times, 1);
  const { listener, seen } = noting();
  inbox.listener = listener;
  inbox.received(new Uint8Array(1));
  assert.deepEqual([seen.length, times], [65_538, 1]);
});

Deno.test("outbox: one payload at a time, the end after the last one, nothing after a reset", () => {
  const did: string[] = [];
  let sent = () => {};
  const outbox = new Outbox({
    send: ({ length }, taken) => {
      did.push(`send ${length}`);
      sent = taken;
    },
    end: () => did.push("end"),
    reset: () => did.push("reset"),
    drained: () => did.push("drained"),
  });
  outbox.put(new Uint8Array(3));
  outbox.put(new Uint8Array(4));
  assert.deepEqual([outbox.queued, did], [7, ["send 3"]]);
  sent();
  sent();
  assert.deepEqual([outbox.queued, did], [0, ["send 3", "send 4", "drained"]]);
  outbox.put(new Uint8Array(5));
  outbox.put(new Uint8Array(6));
  outbox.close("fin");
  sent();
  assert.equal(did.at(-1), "send 6");
  sent();
  assert.equal(did.at(-1), "end");
  outbox.close("rst");
  outbox.close("fin");
  outbox.over();
  assert.deepEqual([did.at(-1), outbox.closing], ["reset", "rst"]);
});
