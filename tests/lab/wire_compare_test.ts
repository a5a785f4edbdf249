import assert from "node:assert/strict";
import fc from "fast-check";
import type { PlannedMessage } from "../../bench/support/wire_plan.ts";
import { compare, readSsh } from "../../bench/support/wire_compare.ts";
import type { Connection } from "../../capture/mod.ts";
import type { End } from "../../models/mod.ts";

/** What the programs say before the plan: of the handshake, and of the session's opening. */
const HANDSHAKE = [2825, 2693] as const;
const OPENING = [760, 1116] as const;
const SEGMENT = 1448;
const DELAY = 20;

interface Sent {
  readonly end: End;
  readonly time: number;
  /** Bytes of packets that were sent at once. */
  readonly packets: readonly number[];
}

/** A connection as both ends of a link with a delay of 20 ms record it. */
function recorded(sent: readonly Sent[], seenBy: End): Connection {
  const rows: { time: number; side: 0 | 1; size: number; offset: number }[] = [];
  const next: [number, number] = [0, 0];
  const opening: Sent[] = [
    { end: "client", time: 0, packets: [HANDSHAKE[0]] },
    { end: "server", time: 20, packets: [HANDSHAKE[1]] },
    { end: "client", time: 40, packets: [OPENING[0]] },
    { end: "server", time: 60, packets: [OPENING[1]] },
  ];
  for (const { end, time, packets } of [...opening, ...sent]) {
    const side = end === "client" ? 0 : 1;
    const last = next[side] + packets.reduce((sum, size) => sum + size, 0);
    while (next[side] < last) {
      const size = Math.min(SEGMENT, last - next[side]);
      rows.push({ time: time + (end === seenBy ? 0 : DELAY), side, size, offset: next[side] });
      next[side] += size;
    }
  }
  rows.sort((a, b) => a.time - b.time);
  const end = rows.at(-1)!.time;
  const none = new Uint32Array(0);
  return {
    capture: "made",
    index: 0,
    clientAddress: "192.0.2.1",
    clientPort: 50_000,
    serverAddress: "192.0.2.2",
    serverPort: 22,
    startTime: 0,
    endTime: end + 5,
    start: "syn",
    end: { how: "fin", by: 0, time: end + 5 },
    oneSided: false,
    rtt: { client: 0, server: 40 },
    segments: {
      length: rows.length,
      time: Float64Array.from(rows, ({ time }) => time),
      side: Uint8Array.from(rows, ({ side }) => side),
      size: Uint32Array.from(rows, ({ size }) => size),
      offset: Float64Array.from(rows, ({ offset }) => offset),
      acked: new Float64Array(rows.length),
    },
    records: {
      length: 0,
      side: new Uint8Array(0),
      offset: new Float64Array(0),
      size: none,
      type: new Uint8Array(0),
    },
    handshake: { carrier: "ssh", end: "observed", bytes: HANDSHAKE, duration: 40, version: "2.0" },
    missingBytes: [0, 0],
    truncatedSegments: 0,
  };
}

function compared(sent: readonly Sent[], messages: readonly PlannedMessage[]) {
  const plan = {
    messages,
    command: undefined,
    close: { by: "client", how: "fin", time: 1 } as const,
  };
  return compare(...readSsh(recorded(sent, "client"), recorded(sent, "server"), plan), plan);
}

const FULL = 32_804;

/**
 * Talk as planned on that link, each message half a millisecond after what it waits for, and the window adjustments
 * that OpenSSH's rule adds to it.
 */
function talk(turns: readonly { end: End; packets: readonly number[] }[]) {
  const messages: PlannedMessage[] = [];
  const sent: Sent[] = [];
  const bytes = { client: 0, server: 0 };
  const adjusted = { client: 0, server: 0 };
  let time = 100;
  for (const [i, { end, packets }] of turns.entries()) {
    const peer = end === "client" ? "server" : "client";
    const own = end === turns[i - 1]?.end;
    const after = bytes[peer];
    messages.push({ end, records: packets, time: own ? 25 : 0.5, after });
    time += own ? 25 : DELAY + 0.5;
    sent.push({ end, time, packets });
    bytes[end] += packets.reduce((sum, size) => sum + size, 0);
    while (bytes[end] > 98_304 * (adjusted[peer] + 1)) {
      adjusted[peer]++;
      sent.push({ end: peer, time: time + DELAY + 0.1, packets: [36] });
    }
  }
  sent.sort((a, b) => a.time - b.time);
  return { messages, sent };
}

Deno.test("lab:wire: what is as planned compares so, wherever ssh tells the other end to go on", () => {
  const size = fc.oneof(fc.constantFrom(36, 44, 52, FULL), fc.integer({ min: 9, max: 4000 }))
    .map((size) => size >= 36 ? size : 8 * size + 4);
  const turn = fc.record({
    end: fc.constantFrom<End>("client", "server"),
    packets: fc.array(size, { minLength: 1, maxLength: 8 }),
  });
  const first = fc.record({ end: fc.constant<End>("client"), packets: fc.constant([68]) });
  fc.assert(fc.property(first, fc.array(turn, { maxLength: 12 }), (first, turns) => {
    const { messages, sent } = talk([first, ...turns]);
    const { deviation, early, exact, planned, surplus } = compared(sent, messages);
    assert.deepEqual({ deviation, early, exact, surplus }, {
      deviation: undefined,
      early: 0,
      exact: planned,
      surplus: 0,
    });
  }));
});

Deno.test("lab:wire: a go-on after a planned message is not taken for the end of that message", () => {
  const messages: PlannedMessage[] = [
    { end: "client", records: [68], time: 0, after: 0 },
    { end: "server", records: [FULL, FULL, FULL, FULL, 15_000], time: 0.5, after: 68 },
    { end: "client", records: [44, 36], time: 1.2, after: 3 * FULL },
    { end: "server", records: [68], time: 0.5, after: 148 },
  ];
  const { deviation, early, own } = compared([
    { end: "client", time: 100, packets: [68] },
    { end: "server", time: 120.5, packets: [FULL, FULL, FULL] },
    { end: "client", time: 141.7, packets: [44, 36] },
    { end: "server", time: 150, packets: [FULL, 15_000] },
    { end: "server", time: 162.2, packets: [68] },
    { end: "client", time: 190, packets: [36] },
  ], messages);
  assert.deepEqual({ deviation, early, own }, { deviation: undefined, early: 0, own: [1, 0] });
});

Deno.test("lab:wire: of a planned packet and a go-on of its size, the planned one is that which is in time", () => {
  const messages: PlannedMessage[] = [
    { end: "client", records: [68], time: 0, after: 0 },
    { end: "server", records: [52], time: 0.5, after: 68 },
    { end: "client", records: [FULL, FULL, FULL, FULL], time: 0.5, after: 52 },
    { end: "server", records: [36], time: 6.5, after: 68 + 3 * FULL },
    { end: "client", records: [36], time: 0.5, after: 88 },
  ];
  const { deviation, early } = compared([
    { end: "client", time: 100, packets: [68] },
    { end: "server", time: 120.5, packets: [52] },
    { end: "client", time: 141, packets: [FULL, FULL, FULL, FULL] },
    { end: "server", time: 167.5, packets: [36] },
    { end: "server", time: 174, packets: [36] },
    { end: "client", time: 188, packets: [36] },
  ], messages);
  assert.deepEqual({ deviation, early }, { deviation: undefined, early: 0 });
});

Deno.test("lab:wire: messages in one stream of full segments are told by where it ends", () => {
  const stream = [[FULL, FULL, 6236], [6244, 36], [5892, 36], [52], [FULL, 10_860]];
  const messages: PlannedMessage[] = [
    { end: "client", records: [68], time: 0, after: 0 },
    { end: "server", records: [52], time: 0.5, after: 68 },
    ...stream.map((records) => ({ end: "client" as const, records, time: 0.5, after: 52 })),
    { end: "server", records: [68], time: 0.5, after: 68 + stream.flat().reduce((a, b) => a + b) },
  ];
  const sent = (packets: readonly number[]): Sent[] => [
    { end: "client", time: 100, packets: [68] },
    { end: "server", time: 120.5, packets: [52] },
    { end: "client", time: 141, packets },
    { end: "server", time: 161.5, packets: [68] },
  ];
  const { deviation, exact, planned } = compared(sent(stream.flat()), messages);
  assert.deepEqual({ deviation, exact }, { deviation: undefined, exact: planned });
  const lost = compared(sent([FULL, FULL, 6236, 6252, ...stream.flat().slice(5)]), messages);
  assert.deepEqual(lost.exact, [planned[0] - 2, planned[1]]);
});

Deno.test("lab:wire: packets that were joined are not exact, and those after them are", () => {
  const { messages, sent } = talk([
    { end: "client", packets: [68] },
    { end: "server", packets: [76] },
    { end: "client", packets: [FULL, FULL, FULL, FULL, 13_708, 2508, 36] },
    { end: "server", packets: [68] },
    { end: "client", packets: [52, 100] },
    { end: "server", packets: [124, FULL, 5004] },
    { end: "client", packets: [36, 60] },
  ]);
  const lost = sent.map((one) =>
    one.packets.length === 7 ? { ...one, packets: [...one.packets.slice(0, 4), 16_188] } : one
  );
  const { deviation, early, exact, planned, surplus } = compared(lost, messages);
  assert.deepEqual({ early, exact, planned, surplus }, {
    early: 0,
    exact: [9, 5],
    planned: [12, 5],
    surplus: 0,
  });
  assert.equal(deviation, "client: record 5 of 12 has 16188 bytes, not 13708");
});
