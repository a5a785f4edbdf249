import assert from "node:assert/strict";
import fc from "fast-check";
import { TCP_ACK, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN } from "../../capture/packet.ts";
import { CLIENT, SERVER, type Side } from "../../capture/side.ts";
import { LAB_LINK } from "../../lab/link_profile.ts";
import { type PathListener, type PathPacket, TcpPath } from "../../lab/tcp_path.ts";

interface Heard {
  readonly time: number;
  readonly what: "accept" | "data" | "end" | "reset" | "sent";
  readonly connection: number;
  readonly side?: Side;
  readonly start?: number;
  readonly end?: number;
}

/** A path whose listener writes down all it hears, and may react. */
function watched(
  profile: Partial<typeof LAB_LINK> = {},
  react: (heard: Heard, path: TcpPath) => void = () => {},
) {
  const packets: PathPacket[] = [];
  const heard: Heard[] = [];
  const hear = (what: Omit<Heard, "time">) => {
    const full = { time: path.now, ...what };
    heard.push(full);
    react(full, path);
  };
  const listener: PathListener = {
    onPacket: (packet) => packets.push(packet),
    onAccept: (connection) => hear({ what: "accept", connection }),
    onData: (connection, side, start, end) => hear({ what: "data", connection, side, start, end }),
    onEnd: (connection, side) => hear({ what: "end", connection, side }),
    onReset: (connection, side) => hear({ what: "reset", connection, side }),
    onSent: (connection, side) => hear({ what: "sent", connection, side }),
  };
  const path = new TcpPath({ ...LAB_LINK, ...profile }, listener);
  return { path, packets, heard };
}

const data = (packets: readonly PathPacket[], side: Side) =>
  packets.filter((packet) => packet.side === side && packet.length > 0);

Deno.test("a handshake takes its round trips, and early data waits for it", () => {
  const { path, packets, heard } = watched({ rateMbit: 0 });
  path.advance(1000);
  const id = path.open();
  path.write(id, CLIENT, 517);
  path.advance(2000);
  assert.deepEqual(
    packets.map(({ time, side, flags, length }) => [Math.round(time), side, flags, length]),
    [
      [1000, CLIENT, TCP_SYN, 0],
      [1040, SERVER, TCP_SYN | TCP_ACK, 0],
      [1040, CLIENT, TCP_ACK, 0],
      [1040, CLIENT, TCP_ACK | TCP_PSH, 517],
      [1080, SERVER, TCP_ACK, 0],
    ],
  );
  assert.deepEqual(heard.map(({ time, what }) => [time, what]), [
    [1040, "sent"],
    [1060, "accept"],
    [1060, "data"],
  ]);
});

Deno.test("the numbers of every packet follow from those before it", () => {
  const { path, packets } = watched({}, (heard, path) => {
    if (heard.what === "data" && heard.side === CLIENT) {
      path.write(heard.connection, SERVER, 30_000);
      path.end(heard.connection, SERVER);
    }
    if (heard.what === "end" && heard.side === SERVER) path.end(heard.connection, CLIENT);
  });
  path.write(path.open(), CLIENT, 200);
  path.advance(5000);
  assert.equal(path.size, 0);
  assert.equal(path.next, Infinity);
  const next = [0, 0];
  const sent = [0, 0];
  for (const { side, flags, length, sequence, acknowledgement, offset } of packets) {
    assert.equal(sequence, next[side]);
    const syn = (flags & TCP_SYN) !== 0 ? 1 : 0;
    next[side]! += length + syn + ((flags & TCP_FIN) !== 0 ? 1 : 0);
    assert.equal(offset, sent[side]);
    sent[side]! += length;
    // The client's recorder has seen the server's packets when the client acknowledges them.
    if (side === CLIENT) assert.ok(acknowledgement <= next[SERVER]!);
    else assert.ok(acknowledgement <= next[CLIENT]!);
  }
  assert.deepEqual(next, [200 + 2, 30_000 + 2]);
  assert.equal(packets.findLast(({ side }) => side === CLIENT)!.acknowledgement, 30_002);
  assert.equal(packets.findLast(({ side }) => side === SERVER)!.acknowledgement, 202);
});

Deno.test("slow start: ten segments, then as many more as were acknowledged", () => {
  const { path, packets } = watched({ rateMbit: 0 });
  const id = path.open();
  path.write(id, CLIENT, 200 * 1448);
  path.advance(10_000);
  const rounds = new Map<number, number>();
  for (const { time } of data(packets, CLIENT)) {
    const round = Math.round(time / 40);
    rounds.set(round, (rounds.get(round) ?? 0) + 1);
  }
  const sizes = [...rounds.values()];
  assert.equal(sizes[0], 10);
  assert.equal(sizes[1], 20);
  assert.ok(sizes.reduce((sum, size) => sum + size) === 200);
});

Deno.test("the window shrinks when idle, and does not grow unused", () => {
  const { path, packets } = watched({ rateMbit: 0 });
  const id = path.open();
  path.write(id, CLIENT, 300 * 1448);
  path.advance(10_000);
  path.write(id, CLIENT, 300 * 1448);
  path.advance(10_001);
  assert.equal(data(packets, CLIENT).length - 300, 10);
  path.advance(20_000);
  for (let i = 0; i < 50; i++) {
    path.write(id, CLIENT, 100);
    path.advance(path.now + 30);
  }
  const before = data(packets, CLIENT).length;
  path.write(id, CLIENT, 300 * 1448);
  assert.ok(data(packets, CLIENT).length - before <= 50);
});

/** Segments of a burst of 100 that leave at once, after writes of these many segments at these times. */
function burstAfter(...writes: (readonly [time: number, segments: number])[]): number {
  const { path, packets } = watched({ rateMbit: 0 });
  const id = path.open();
  for (const [time, segments] of writes) {
    path.advance(time);
    path.write(id, CLIENT, segments * 1448);
  }
  path.advance(path.now + 100);
  const before = data(packets, CLIENT).length;
  path.write(id, CLIENT, 100 * 1448);
  return data(packets, CLIENT).length - before;
}

Deno.test("a window that was full grows by all that was sent while it was, as on Linux", () => {
  // Ten fill the window; three more leave with the first acknowledgements, and count as well.
  assert.equal(burstAfter([100, 13]), 23);
  // Nine do not fill it, but are more than half of it in slow start: it grows to twice what was used.
  assert.equal(burstAfter([100, 9]), 18);
  assert.equal(burstAfter([100, 5]), 10);
  assert.equal(burstAfter([100, 1]), 10);
});

Deno.test("a window that is made little use of shrinks half-way to what is used, each timeout", () => {
  // 40 segments, of which the window holds all in the end: 50. Then single ones, 150 ms apart.
  const ones = (count: number) =>
    Array.from({ length: count }, (_, i) => [400 + 150 * i, 1] as const);
  assert.equal(burstAfter([100, 40], ...ones(1)), 50);
  assert.equal(burstAfter([100, 40], ...ones(3)), 30);
  assert.equal(burstAfter([100, 40], ...ones(5)), 20);
});

Deno.test("acknowledgements: at once at first, late in a conversation, every second segment in bulk", () => {
  const { path, packets } = watched({ rateMbit: 0 });
  const id = path.open();
  path.advance(100);
  const acks = (since: number) =>
    packets.filter(({ time, side, flags, length }) =>
      time >= since && side === CLIENT && length === 0 && flags === TCP_ACK
    ).map(({ time }) => Math.round(time - since));
  // The server speaks first: acknowledged when it arrives.
  path.write(id, SERVER, 50);
  path.advance(200);
  assert.deepEqual(acks(100), [20]);
  // The client answers within 40 ms: from now on it waits for something to carry acknowledgements.
  path.write(id, SERVER, 50);
  path.advance(225);
  path.write(id, CLIENT, 50);
  path.advance(300);
  path.write(id, SERVER, 50);
  path.advance(400);
  assert.deepEqual(acks(300), [20 + 40]);
  // Bulk: never more than two segments without one.
  path.write(id, SERVER, 100 * 1448);
  path.advance(2000);
  const bulk = acks(400).length;
  assert.ok(bulk >= 50 && bulk < 100, `${bulk}`);
});

Deno.test("half-close: one side ends, the other goes on", () => {
  const { path, heard } = watched({ rateMbit: 0 });
  const id = path.open();
  path.write(id, CLIENT, 10);
  path.end(id, CLIENT);
  path.write(id, CLIENT, 10); // after its end: ignored
  path.advance(100);
  assert.deepEqual(heard.filter(({ what }) => what === "end").map(({ side }) => side), [CLIENT]);
  path.write(id, SERVER, 5000);
  path.advance(200);
  assert.equal(path.size, 1);
  path.end(id, SERVER);
  path.advance(300);
  assert.deepEqual(heard.filter(({ what }) => what === "data").at(-1)?.end, 5000);
  assert.deepEqual(heard.filter(({ what }) => what === "end").map(({ side }) => side), [
    CLIENT,
    SERVER,
  ]);
  assert.equal(path.size, 0);
});

Deno.test("reset: what is under way still arrives, what was not sent is lost", () => {
  const { path, heard, packets } = watched({ rateMbit: 0 });
  const id = path.open();
  path.advance(100);
  path.write(id, CLIENT, 100 * 1448);
  path.write(id, SERVER, 3000);
  path.reset(id, CLIENT);
  path.write(id, CLIENT, 10);
  path.advance(200);
  assert.equal(heard.filter(({ what, side }) => what === "data" && side === CLIENT).length, 10);
  assert.deepEqual(heard.at(-1), { time: 120, what: "reset", connection: id, side: CLIENT });
  assert.equal(heard.some(({ what, side }) => what === "data" && side === SERVER), false);
  assert.ok(packets.some(({ side, flags }) => side === CLIENT && (flags & TCP_RST) !== 0));
  assert.equal(path.size, 0);
  assert.equal(path.unsent(id, CLIENT), 0);
  path.write(id, SERVER, 10);
  path.end(id, SERVER);
  path.reset(id, SERVER);
  path.advance(1000);
  assert.equal(path.next, Infinity);
});

Deno.test("reset at any moment of a connection's life", () => {
  for (let at = 0; at <= 200; at += 5) {
    for (const side of [CLIENT, SERVER] as const) {
      const { path } = watched({}, (heard, path) => {
        if (heard.what === "data" && heard.side === CLIENT) {
          path.write(heard.connection, SERVER, 40_000);
        }
      });
      const id = path.open();
      path.write(id, CLIENT, 500);
      path.end(id, CLIENT);
      path.advance(at);
      path.reset(id, side);
      path.advance(10_000);
      assert.equal(path.next, Infinity);
      assert.equal(path.size, 0);
    }
  }
});

Deno.test("connections share the rate", () => {
  const { path, heard } = watched({ rateMbit: 8 });
  const ids = [path.open(), path.open()];
  for (const id of ids) path.write(id, CLIENT, 500_000);
  path.advance(60_000);
  const last = heard.filter(({ what }) => what === "data").at(-1)!;
  assert.ok(last.time > 1000 && last.time < 1400, `${last.time}`);
});

/** What a program does in the property tests. */
const step = fc.record({
  wait: fc.nat(300),
  connection: fc.nat(3),
  side: fc.constantFrom(CLIENT, SERVER),
  bytes: fc.oneof(fc.nat(2000), fc.nat(120_000)),
});

Deno.test("property: complete, in order, within the segment size, the rate and time", () => {
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 30 }),
      fc.constantFrom(0, 1, 20, 100),
      fc.constantFrom(0, 20, 150),
      fc.constantFrom(536, 1448),
      (steps, rateMbit, oneWayDelayMs, mss) => {
        const { path, packets, heard } = watched({ rateMbit, oneWayDelayMs, mss });
        const ids = Array.from({ length: 4 }, () => path.open());
        const written = ids.map(() => [0, 0] as [number, number]);
        for (const { wait, connection, side, bytes } of steps) {
          path.advance(path.now + wait);
          path.write(ids[connection]!, side, bytes);
          written[connection]![side] += bytes;
        }
        for (const id of ids) {
          path.end(id, CLIENT);
          path.end(id, SERVER);
        }
        path.advance(Number.MAX_SAFE_INTEGER);
        assert.equal(path.size, 0);
        // Complete, once and in order; then the end.
        const arrived = ids.map(() => [0, 0] as [number, number]);
        const ended = ids.map(() => [false, false]);
        for (const { what, connection, side, start, end } of heard) {
          if (what === "data") {
            assert.equal(start, arrived[connection]![side!]);
            assert.ok(end! > start! && end! - start! <= mss);
            assert.equal(ended[connection]![side!], false);
            arrived[connection]![side!] = end!;
          } else if (what === "end") ended[connection]![side!] = true;
        }
        assert.deepEqual(arrived, written);
        assert.ok(ended.flat().every((end) => end));
        // The recorder's times never go back, nor do the listener's.
        let time = 0;
        for (const packet of packets) {
          assert.ok(packet.time >= time);
          assert.ok(packet.length <= mss);
          time = packet.time;
        }
        time = 0;
        for (const event of heard) {
          assert.ok(event.time >= time);
          time = event.time;
        }
        // Nothing arrives sooner than the delay after it was written, nor faster than the rate.
        if (rateMbit > 0) {
          for (const side of [CLIENT, SERVER] as const) {
            const arrivals = heard.filter((event) => event.what === "data" && event.side === side);
            let busySince = 0;
            let bytes = 0;
            for (const [i, { time, start, end }] of arrivals.entries()) {
              const size = end! - start! + 52;
              if (i > 0) {
                bytes += size;
                const least = bytes * 8 / (rateMbit * 1000);
                assert.ok(time - busySince >= least - 1e-6);
              } else busySince = time;
            }
          }
        }
      },
    ),
    { numRuns: 150 },
  );
});

Deno.test("property: the same inputs give the same packets, however time is advanced", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 15 }), fc.array(fc.nat(50)), (steps, pauses) => {
      const run = (pieces: readonly number[]) => {
        const { path, packets } = watched();
        const ids = Array.from({ length: 4 }, () => path.open());
        let i = 0;
        const advance = (time: number) => {
          while (path.now < time && pieces.length > 0) {
            path.advance(Math.min(time, path.now + 1 + pieces[i++ % pieces.length]!));
          }
          path.advance(time);
        };
        let time = 0;
        for (const { wait, connection, side, bytes } of steps) {
          advance(time += wait);
          path.write(ids[connection]!, side, bytes);
        }
        advance(time + 20_000);
        return packets;
      };
      assert.deepEqual(run(pauses), run([]));
    }),
    { numRuns: 50 },
  );
});

Deno.test("a FIN is acknowledged at once, also where acknowledgements of data wait", () => {
  const { path, packets } = watched({}, ({ what, connection, side }, path) => {
    if (what === "data" && side === CLIENT) path.write(connection, SERVER, 100);
    if (what === "end" && side === CLIENT) path.end(connection, SERVER);
  });
  const id = path.open();
  // Both ends answer quickly, so that either side delays its acknowledgements.
  for (const time of [100, 160, 220, 280]) {
    path.advance(time);
    path.write(id, CLIENT, 100);
  }
  path.advance(330);
  path.end(id, CLIENT);
  path.advance(1000);
  const fins = packets.filter(({ flags }) => (flags & TCP_FIN) !== 0);
  assert.equal(fins.length, 2);
  const [first, answer] = fins;
  assert.ok(answer!.time - first!.time < 42);
  assert.ok(packets.at(-1)!.time - answer!.time < 1);
});
