import assert from "node:assert/strict";
import fc from "fast-check";
import { encodeEngine, encodeNumbers, encodeOpen, FRAME, MAX_PIECE } from "../../playback/frame.ts";
import { type FrameHandler, FrameParser } from "../../playback/frame_parser.ts";
import { TunnelProtocolError } from "../../playback/tunnel_error.ts";
import { varintLength, writeVarint } from "../../playback/varint.ts";

type Seen = (string | number | boolean | undefined)[];

/** Writes down what a parser finds; the parts of a data frame are put together again. */
function recorder(seen: Seen[]): FrameHandler {
  return {
    onOpen: (...args) => seen.push(["open", ...args]),
    onOpened: (...args) => seen.push(["opened", ...args]),
    onRefused: (...args) => seen.push(["refused", ...args]),
    onDataStart: (stream, offset, length) => seen.push(["data", stream, offset, length, ""]),
    onData: (_stream, _offset, bytes) => {
      const last = seen.at(-1)!;
      last[4] += bytes.toHex();
    },
    onFin: (...args) => seen.push(["fin", ...args]),
    onReset: (...args) => seen.push(["reset", ...args]),
    onAck: (...args) => seen.push(["ack", ...args]),
    onCredit: (...args) => seen.push(["credit", ...args]),
    onEngine: (type, body, sequence) => seen.push(["engine", type, body.toHex(), sequence]),
    onGoodbye: (...args) => seen.push(["goodbye", ...args]),
  };
}

const number = fc.oneof(
  fc.integer({ min: 0, max: 300 }),
  fc.integer({ min: 0, max: 2 ** 31 - 1 }),
  fc.maxSafeNat(),
);
const body = fc.uint8Array({ maxLength: 300 });

function pair(name: string, type: number) {
  return fc.tuple(number, number).map(([a, b]) => ({
    bytes: encodeNumbers(type, a, b),
    seen: [name, a, b] as Seen,
  }));
}

const frame: fc.Arbitrary<{ bytes: Uint8Array; seen: Seen | undefined }> = fc.oneof(
  fc.nat(40).map((length) => ({ bytes: new Uint8Array(length), seen: undefined })),
  fc.tuple(number, fc.stringMatching(/^[a-z0-9.:-]{1,60}$/), fc.integer({ min: 1, max: 65535 }))
    .map(([stream, host, port]) => ({
      bytes: encodeOpen(stream, { host, port }),
      seen: ["open", stream, host, port],
    })),
  number.map((stream) => ({
    bytes: encodeNumbers(FRAME.opened, stream),
    seen: ["opened", stream],
  })),
  pair("refused", FRAME.refused),
  pair("fin", FRAME.fin),
  pair("reset", FRAME.reset),
  pair("credit", FRAME.credit),
  fc.tuple(number, number, fc.boolean()).map(([connection, bytes, final]) => ({
    bytes: encodeNumbers(final ? FRAME.ackFinal : FRAME.ack, connection, bytes),
    seen: ["ack", connection, bytes, final],
  })),
  number.map((bytes) => ({
    bytes: encodeNumbers(FRAME.ackHere, bytes),
    seen: ["ack", undefined, bytes, false],
  })),
  number.map((code) => ({ bytes: encodeNumbers(FRAME.goodbye, code), seen: ["goodbye", code] })),
  fc.tuple(number, body).map(([type, body]) => ({
    bytes: encodeEngine(type, body),
    seen: ["engine", type, body.toHex(), undefined],
  })),
  fc.tuple(number, body, number).map(([type, body, sequence]) => ({
    bytes: encodeEngine(type, body, sequence),
    seen: ["engine", type, body.toHex(), sequence],
  })),
  fc.tuple(number, fc.nat(2 ** 40), fc.uint8Array({ minLength: 1, maxLength: 300 }))
    .map(([stream, offset, data]) => ({
      bytes: Uint8Array.from([
        ...encodeNumbers(FRAME.data, stream, offset, data.length),
        ...data,
        // A second frame that follows on the first.
        ...encodeNumbers(FRAME.dataNext, 1),
        7,
      ]),
      seen: ["data", stream, offset, data.length, data.toHex()],
    })),
);

/** Cuts `bytes` into chunks of the sizes given, over and over. */
function* chunks(bytes: Uint8Array, sizes: readonly number[]): Generator<Uint8Array> {
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length]!;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

Deno.test("varints: length as written, least significant seven bits first", () => {
  fc.assert(fc.property(number, (value) => {
    const buffer = new Uint8Array(8);
    const length = writeVarint(buffer, 0, value);
    assert.equal(length, varintLength(value));
    let read = 0n;
    for (let at = length - 1; at >= 0; at--) read = read << 7n | BigInt(buffer[at]! & 0x7f);
    assert.equal(read, BigInt(value));
  }));
});

Deno.test("frames: any sequence, in any chunks, reads as it was written", () => {
  fc.assert(
    fc.property(
      fc.array(frame, { maxLength: 30 }),
      fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 8 }),
      (frames, sizes) => {
        const stream = Uint8Array.from(frames.flatMap(({ bytes }) => [...bytes]));
        const seen: Seen[] = [];
        const parser = new FrameParser(recorder(seen));
        for (const chunk of chunks(stream, sizes)) parser.push(chunk);
        const expected = frames.flatMap(({ seen }) => {
          if (seen === undefined) return [];
          if (seen[0] !== "data") return [seen];
          const next = (seen[2] as number) + (seen[3] as number);
          return [seen, ["data", seen[1], next, 1, "07"]];
        });
        assert.deepEqual(seen, expected);
        assert.equal(parser.processed, stream.length);
        assert.equal(parser.midFrame, false);
      },
    ),
    { numRuns: 300 },
  );
});

Deno.test("frames: a frame in pieces, other frames between them, reads as if it were whole", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 400 }),
      fc.array(fc.integer({ min: 1, max: MAX_PIECE }), { minLength: 1, maxLength: 6 }),
      fc.integer({ min: 1, max: 40 }),
      (body, sizes, chunk) => {
        const parts: number[] = [];
        for (const piece of chunks(encodeEngine(3, body, 9), sizes)) {
          parts.push(FRAME.piece + piece.length - 1, ...piece, FRAME.padding);
          parts.push(...encodeNumbers(FRAME.opened, 2));
        }
        const seen: Seen[] = [];
        const parser = new FrameParser(recorder(seen));
        for (const part of chunks(Uint8Array.from(parts), [chunk])) parser.push(part);
        assert.deepEqual(seen.filter(([what]) => what !== "opened"), [[
          "engine",
          3,
          body.toHex(),
          9,
        ]]);
        assert.equal(parser.midFrame, false);
        assert.equal(parser.processed, parts.length);
      },
    ),
  );
});

Deno.test("frames: a frame cut short is not counted as processed", () => {
  const whole = encodeOpen(2, { host: "example.com", port: 443 });
  for (let cut = 1; cut < whole.length; cut++) {
    const seen: Seen[] = [];
    const parser = new FrameParser(recorder(seen));
    parser.push(new Uint8Array(3));
    parser.push(whole.subarray(0, cut));
    assert.equal(parser.processed, 3);
    assert.equal(parser.midFrame, true);
    assert.equal(seen.length, 0);
    parser.push(whole.subarray(cut));
    assert.equal(parser.processed, 3 + whole.length);
    assert.deepEqual(seen, [["open", 2, "example.com", 443]]);
  }
});

Deno.test("frames: what makes no sense is a protocol error", () => {
  const bad: Record<string, readonly number[]> = {
    "an unknown type": [0x3f],
    "an overlong number": [FRAME.opened, 0x80, 0x00],
    "a number of nine bytes": [FRAME.opened, ...new Array(8).fill(0xff), 1],
    "a number above 2^53": [FRAME.opened, ...new Array(7).fill(0xff), 0x7f],
    "an empty data frame": [FRAME.data, 2, 0, 0],
    "a continuation of nothing": [FRAME.dataNext, 1, 1],
    "data past 2^53": [FRAME.data, 2, ...new Array(7).fill(0xff), 0x0f, 2],
    "an empty host": [FRAME.open, 0, 80, 0],
    "port 0": [FRAME.open, 0, 0, 1, 97],
    "port 65536": [FRAME.open, 0, 0x80, 0x80, 4, 1, 97],
    "a host with a space": [FRAME.open, 0, 80, 1, 32],
    "a host of 256 bytes": [FRAME.open, 0, 80, 0x80, 2],
    "a control body of 16385 bytes": [FRAME.engine, 1, 0x81, 0x80, 1],
    "pieces in pieces": [FRAME.piece + 1, FRAME.piece, FRAME.padding],
    "data in pieces": [FRAME.piece, FRAME.data],
  };
  for (const [what, bytes] of Object.entries(bad)) {
    for (const size of [1, 100]) {
      const parser = new FrameParser(recorder([]));
      assert.throws(
        () => {
          for (const chunk of chunks(Uint8Array.from(bytes), [size])) parser.push(chunk);
        },
        TunnelProtocolError,
        what,
      );
    }
  }
});

Deno.test("frames: random bytes give frames or the protocol error, nothing else", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      // Low values make more of them pass for frames.
      const low = bytes.map((byte, at) => at % 2 === 0 ? byte % 18 : byte);
      for (const input of [bytes, low]) {
        try {
          new FrameParser(recorder([])).push(input);
        } catch (error) {
          assert.ok(error instanceof TunnelProtocolError);
        }
      }
    }),
    { numRuns: 2000 },
  );
});

Deno.test("frames: destinations that cannot be asked for are refused here", () => {
  for (const host of ["", "a b", "ä.example", "x".repeat(256), "a\nb"]) {
    assert.throws(() => encodeOpen(0, { host, port: 80 }), RangeError);
  }
  for (const port of [0, 65536, 1.5, NaN]) {
    assert.throws(() => encodeOpen(0, { host: "a", port }), RangeError);
  }
  assert.throws(() => encodeEngine(1, new Uint8Array(16385)), RangeError);
});
