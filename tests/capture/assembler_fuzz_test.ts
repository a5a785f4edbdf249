import assert from "node:assert/strict";
import fc from "fast-check";
import { seedFeatures } from "../../capture/features.ts";
import { messagesOf } from "../../capture/messages.ts";
import type { Packet } from "../../capture/packet.ts";
import { assemble, Talk } from "./tcp_talk.ts";

const near = fc.integer({ min: -3000, max: 3000 });
const sequence = fc.oneof(
  near.map((by) => by >>> 0),
  near.map((by) => (1000 + by) >>> 0),
  fc.integer({ min: 0, max: 2 ** 32 - 1 }),
);

const packet = fc.record({
  port: fc.constantFrom(22, 25, 443, 40_000),
  fromServer: fc.boolean(),
  flags: fc.oneof(fc.constantFrom(0x02, 0x12, 0x10, 0x18, 0x11, 0x04, 0x14), fc.nat(255)),
  sequence,
  acknowledgement: sequence,
  payload: fc.oneof(fc.constant(new Uint8Array(0)), fc.uint8Array({ maxLength: 60 })),
  lost: fc.nat(40),
  time: fc.integer({ min: -500, max: 3000 }),
});

Deno.test("any packets at all: no failure, and tables that hold together", () => {
  fc.assert(
    fc.property(
      fc.array(packet, { maxLength: 60 }),
      fc.integer({ min: 1, max: 40 }),
      (made, limit) => {
        const packets: Packet[] = [];
        let time = 1_000_000;
        for (const { port, fromServer, payload, lost, ...rest } of made) {
          time += rest.time;
          const talk = new Talk({ serverPort: port });
          talk.packet(fromServer ? 1 : 0, 0, payload, {
            ...rest,
            time,
            payloadLength: payload.length + (payload.length > 0 ? lost : 0),
          });
          packets.push(talk.packets[0]!);
        }
        const total = packets.reduce((sum, { payloadLength }) => sum + payloadLength, 0);
        let seen = 0;
        const connections = assemble(packets, {
          maxSegments: limit,
          maxTotalSegments: 3 * limit,
          maxConnections: 3,
          idleTimeout: 2500,
          linger: 700,
          reorderBytes: 300,
          maxRecords: 8,
        });
        for (const connection of connections) {
          const { segments } = connection;
          if (!connection.oneSided) assert.ok(segments.length <= limit);
          for (let row = 0; row < segments.length; row++) {
            assert.ok(segments.size[row]! > 0);
            assert.ok(segments.offset[row]! >= 0);
            assert.ok(segments.acked[row]! >= 0);
            if (row > 0) assert.ok(segments.time[row]! >= segments.time[row - 1]!);
            if (!connection.oneSided) seen += segments.size[row]!;
          }
          const messages = messagesOf(connection, { handshake: "included" });
          let bytes = 0;
          for (let row = 0; row < segments.length; row++) bytes += segments.size[row]!;
          assert.equal(messages.reduce((sum, { size }) => sum + size, 0), bytes);
          for (const message of [...messages, ...messagesOf(connection)]) {
            assert.ok(message.size > 0 && message.think >= 0 && message.lead >= 0);
            assert.ok(message.end >= message.time);
          }
          assert.ok(
            seedFeatures(connection).every((value) => Number.isFinite(value) && value >= 0),
          );
          assert.ok(connection.missingBytes.every((value) => value >= 0));
        }
        assert.ok(seen <= total);
      },
    ),
    { numRuns: 500 },
  );
});
