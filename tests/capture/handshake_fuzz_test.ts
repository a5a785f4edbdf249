import assert from "node:assert/strict";
import fc from "fast-check";
import type { RecogniserState, StreamRecogniser } from "../../capture/handshake_recogniser.ts";
import { PROTOCOLS } from "../../capture/protocols.ts";
import type { Side } from "../../capture/side.ts";
import { RecordColumns, SegmentColumns } from "../../capture/stream_columns.ts";
import { data, join, sshPacket, text, tls12, tls13 } from "./handshake_bytes.ts";

const VIEW = { segments: new SegmentColumns(), serverPort: 443, serverRtt: undefined };
const STATES: readonly RecogniserState[] = ["open", "recognised", "done", "rejected"];

type Turn = readonly [Side, Uint8Array];

const DIALOGUES: readonly (readonly Turn[])[] = [
  [[0, tls13.hello], [1, tls13.flight], [0, tls13.finished], [0, data(99)], [1, tls13.tickets]],
  [[0, tls12.hello], [1, tls12.flight], [0, tls12.finished], [1, tls12.answer], [0, data(44)]],
  [
    [1, text("SSH-2.0-a\r\n")],
    [0, text("SSH-2.0-b\r\n")],
    [0, sshPacket(20, 900)],
    [1, join(sshPacket(20, 900), sshPacket(31, 700), sshPacket(21, 16))],
    [0, sshPacket(21, 16)],
  ],
  [
    [1, text("220 hello\r\n")],
    [0, text("EHLO me\r\n")],
    [1, text("250-me\r\n250 STARTTLS\r\n")],
    [0, text("STARTTLS\r\n")],
    [1, text("220 go\r\n")],
    [0, tls13.hello],
    [1, tls13.flight],
    [0, tls13.finished],
  ],
];

function recognisers(): [StreamRecogniser, RecordColumns][] {
  return PROTOCOLS.map((protocol) => {
    const records = new RecordColumns(64);
    return [protocol.create(records), records];
  });
}

function check(
  recogniser: StreamRecogniser,
  records: RecordColumns,
  sent: readonly number[],
): void {
  assert.ok(STATES.includes(recogniser.state));
  assert.ok(records.length <= 64);
  const end = recogniser.handshake(VIEW);
  if (end === undefined) return;
  for (const side of [0, 1] as const) {
    assert.ok(Number.isSafeInteger(end.bytes[side]) && end.bytes[side] >= 0);
    // A record's end may lie behind what was seen of it, by at most the longest record.
    assert.ok(end.bytes[side] <= sent[side]! + (1 << 18) + 8);
  }
}

Deno.test("recognisers survive any bytes and gaps", () => {
  const step = fc.tuple(
    fc.constantFrom<Side>(0, 1),
    fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.integer({ min: 1, max: 1 << 20 })),
  );
  fc.assert(fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
    for (const [recogniser, records] of recognisers()) {
      const sent = [0, 0];
      for (const [side, what] of steps) {
        if (typeof what === "number") recogniser.gap(side, what);
        else recogniser.bytes(side, what, 0, what.length);
        sent[side]! += typeof what === "number" ? what : what.length;
      }
      check(recogniser, records, sent);
    }
  }));
});

Deno.test("recognisers survive damaged handshakes", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...DIALOGUES),
      fc.array(fc.tuple(fc.nat(), fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 6 }),
      fc.option(fc.tuple(fc.nat(), fc.nat(50))),
      (dialogue, damage, gap) => {
        const turns = dialogue.map(([side, bytes]) => [side, bytes.slice()] as const);
        for (const [turn, at, value] of damage) {
          const bytes = turns[turn % turns.length]![1];
          bytes[at % Math.min(bytes.length, 120)] = value;
        }
        for (const [recogniser, records] of recognisers()) {
          const sent = [0, 0];
          for (const [i, [side, bytes]] of turns.entries()) {
            const lost = gap !== null && gap[0] % turns.length === i ? gap[1] : 0;
            if (lost > 0) recogniser.gap(side, lost);
            recogniser.bytes(side, bytes, 0, bytes.length);
            sent[side]! += bytes.length + lost;
          }
          check(recogniser, records, sent);
        }
      },
    ),
    { numRuns: 400 },
  );
});

Deno.test("how the bytes are cut does not matter", () => {
  fc.assert(fc.property(
    fc.constantFrom(...DIALOGUES),
    fc.infiniteStream(fc.integer({ min: 1, max: 700 })),
    (dialogue, cuts) => {
      for (const [i, [whole, wholeRecords]] of recognisers().entries()) {
        const [pieces, pieceRecords] = recognisers()[i]!;
        for (const [side, bytes] of dialogue) {
          whole.bytes(side, bytes, 0, bytes.length);
          for (let at = 0; at < bytes.length;) {
            const end = Math.min(bytes.length, at + (cuts.next().value as number));
            pieces.bytes(side, bytes, at, end);
            at = end;
          }
        }
        assert.equal(pieces.state, whole.state);
        assert.equal(pieces.carrier, whole.carrier);
        assert.equal(pieceRecords.length, wholeRecords.length);
        if (whole.state === "rejected") continue;
        assert.deepEqual(pieces.handshake(VIEW), whole.handshake(VIEW));
      }
    },
  ));
});
