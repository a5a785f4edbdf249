import assert from "node:assert/strict";
import fc from "fast-check";
import { messagesOf } from "../../capture/messages.ts";
import type { Packet } from "../../capture/packet.ts";
import type { Side } from "../../capture/side.ts";
import { StreamOrder } from "../../capture/stream_order.ts";
import { StreamRanges } from "../../capture/stream_ranges.ts";
import { assemble, assembleOne, Talk, type TalkOptions } from "./tcp_talk.ts";

/** Alternating message sizes, the client's first. */
const sizes = fc.array(fc.integer({ min: 1, max: 6000 }), { minLength: 1, maxLength: 8 });

/** The packets of a dialogue, with every flight's data segments as a group of their own. */
function flights(messages: readonly number[], mss: number, options: TalkOptions = {}): Packet[][] {
  const talk = new Talk(options).open(20, 1);
  const groups: Packet[][] = [talk.packets.splice(0)];
  for (const [i, size] of messages.entries()) {
    const side = i % 2 as Side;
    talk.wait(20);
    for (let left = size; left > 0; left -= mss) talk.send(side, Math.min(left, mss)).wait(0.01);
    groups.push(talk.packets.splice(0));
    talk.ack(1 - side as Side);
    groups.push(talk.packets.splice(0));
  }
  talk.close();
  groups.push(talk.packets.splice(0));
  return groups;
}

/** Shuffles a flight and repeats some of it; times stay in order of arrival. */
function disturb(group: readonly Packet[], shuffle: () => number): Packet[] {
  const times = group.map((packet) => packet.time);
  const keyed = group.map((packet) => ({ packet, key: shuffle() }));
  keyed.sort((a, b) => a.key - b.key);
  return keyed.flatMap(({ packet, key }, i) => {
    const arrived = { ...packet, time: times[i]! };
    return key < 0.3 ? [arrived, { ...arrived }] : [arrived];
  });
}

function messageSizes(packets: readonly Packet[]): number[] {
  return messagesOf(assembleOne(packets), { handshake: "included" }).map(({ size }) => size);
}

Deno.test("reordering, duplication and segment size do not change message sizes", () => {
  fc.assert(fc.property(
    sizes,
    fc.integer({ min: 1, max: 3000 }),
    fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })),
    (messages, mss, stream) => {
      const shuffle = () => stream.next().value as number;
      const packets = flights(messages, Math.max(mss, 20)).flatMap((group) =>
        disturb(group, shuffle)
      );
      assert.deepEqual(messageSizes(packets), messages);
    },
  ));
});

Deno.test("sequence numbers may wrap anywhere", () => {
  const isn = fc.integer({ min: 0, max: 10_000 }).map((back) => (2 ** 32 - back) >>> 0);
  fc.assert(fc.property(sizes, isn, isn, (messages, client, server) => {
    const wrapped = flights(messages, 700, { isn: [client, server] }).flat();
    assert.deepEqual(messageSizes(wrapped), messages);
  }));
});

Deno.test("connections may be interleaved in any way", () => {
  fc.assert(fc.property(
    fc.array(sizes, { minLength: 2, maxLength: 4 }),
    fc.infiniteStream(fc.nat()),
    (dialogues, stream) => {
      const queues = dialogues.map((messages, i) =>
        flights(messages, 1000, { clientPort: 40000 + i, host: 1 + (i % 2) }).flat()
      );
      const alone = queues.map(messageSizes);
      const mixed: Packet[] = [];
      while (queues.some((queue) => queue.length > 0)) {
        const ready = queues.filter((queue) => queue.length > 0);
        mixed.push(ready[(stream.next().value as number) % ready.length]!.shift()!);
      }
      const found = assemble(mixed).sort((a, b) => a.clientPort - b.clientPort);
      assert.deepEqual(
        found.map((c) => messagesOf(c, { handshake: "included" }).map(({ size }) => size)),
        alone,
      );
    },
  ));
});

Deno.test("ranges count every byte once, whatever comes in whatever order", () => {
  const segment = fc.tuple(fc.integer({ min: -50, max: 400 }), fc.integer({ min: 1, max: 120 }));
  fc.assert(fc.property(fc.array(segment, { maxLength: 40 }), (segments) => {
    const ranges = new StreamRanges();
    ranges.anchor(4_294_967_200);
    const seen = new Set<number>();
    for (const [offset, length] of segments) {
      let fresh = 0;
      for (let i = Math.max(0, offset); i < offset + length; i++) {
        if (seen.has(i)) continue;
        seen.add(i);
        fresh++;
      }
      assert.equal(ranges.offsetOf((4_294_967_200 + offset) >>> 0), offset);
      assert.equal(ranges.accept(offset, length), fresh);
      let pieces = 0;
      for (let i = 0; i < ranges.pieces; i++) pieces += ranges.pieceLength[i]!;
      assert.equal(pieces, fresh);
    }
    const end = seen.size === 0 ? 0 : Math.max(...seen) + 1;
    assert.equal(ranges.end, end);
    assert.equal(ranges.missing, end - seen.size);
  }));
});

Deno.test("payload comes out in order, in any cutting and order within the buffer", () => {
  const cuts = fc.array(fc.tuple(fc.nat(999), fc.integer({ min: 1, max: 200 })), { maxLength: 60 });
  fc.assert(fc.property(cuts, fc.boolean(), (segments, complete) => {
    const whole = Uint8Array.from({ length: 1200 }, (_, i) => i % 251);
    const out: number[] = [];
    const order = new StreamOrder({
      bytes: (buffer, start, end) => {
        for (let i = start; i < end; i++) out.push(buffer[i]!);
      },
      gap: (length) => {
        for (let i = 0; i < length; i++) out.push(-1);
      },
    }, 1 << 20);
    for (const [offset, length] of segments) {
      order.segment(offset, length, whole.slice(offset, offset + length), 0, length, 0);
    }
    if (complete) order.segment(0, 1200, whole, 0, 1200, 0);
    order.finish();
    const seen = new Set<number>();
    for (const [offset, length] of segments) {
      for (let i = offset; i < offset + length; i++) seen.add(i);
    }
    const expected = Array.from({ length: out.length }, (_, i) => seen.has(i) ? i % 251 : -1);
    if (complete) assert.deepEqual(out, [...whole]);
    else assert.deepEqual(out, expected);
  }));
});

Deno.test("an overfull reorder buffer gives the hole up", () => {
  const got: [string, number][] = [];
  const order = new StreamOrder({
    bytes: (_, start, end) => got.push(["bytes", end - start]),
    gap: (length) => got.push(["gap", length]),
  }, 1000);
  for (let i = 1; i <= 10; i++) order.segment(100 * i, 100, new Uint8Array(100), 0, 100, 0);
  assert.deepEqual(got[0], ["gap", 100]);
  assert.equal(order.next, 1100);
});
