import assert from "node:assert/strict";
import fc from "fast-check";
import {
  CaptureError,
  DamagedCaptureError,
  NotACaptureError,
  TruncatedCaptureError,
} from "../../capture/capture_error.ts";
import { CaptureParser, MAX_PACKET_BYTES } from "../../capture/capture_parser.ts";
import { LinkType } from "../../capture/link_type.ts";
import { BIG, ethernet, ip, join, LITTLE, type Order, parse } from "./reader_support.ts";

const ORDERS: readonly [string, Order][] = [["little", LITTLE], ["big", BIG]];
const first = ethernet({ sequence: 1 });
const second = ethernet({ sequence: 6, payload: new Uint8Array([9, 9]) });

/** Options of an interface description. */
function options(order: Order, ...list: readonly Uint8Array[]): Uint8Array {
  return join(...list, order.u16(0, 0));
}

/** A capture of each format with the two packets, 1.5 ms apart, in one byte order. */
function made(order: Order): Record<string, Uint8Array> {
  const pcap = (magic: number, unit: number, padding: number[] = []) =>
    join(
      order.pcap(1, magic),
      order.u32(1700000000, 2 * unit, first.length, first.length),
      padding,
      first,
      order.u32(1700000000, 3.5 * unit, second.length, second.length),
      padding,
      second,
    );
  const tsresol = options(order, order.option(9, [9]));
  const at = 1700000000_002000000n;
  return {
    "pcap": pcap(0xa1b2c3d4, 1000),
    "pcap of nanoseconds": pcap(0xa1b23c4d, 1000_000),
    "pcap modified by Kuznetzov": pcap(0xa1b2cd34, 1000, [0, 0, 0, 1, 8, 0, 4, 0]),
    "pcapng": join(
      order.section(),
      order.interface(1),
      order.packet(0, at / 1000n, first),
      order.packet(0, at / 1000n + 1500n, second),
    ),
    "pcapng of nanoseconds": join(
      order.section(),
      order.interface(1, 0, tsresol),
      order.packet(0, at, first),
      order.packet(0, at + 1500_000n, second),
    ),
    "pcapng with obsolete packet blocks": join(
      order.section(),
      order.interface(1),
      ...[first, second].map((data, i) => {
        const ticks = at / 1000n + BigInt(i) * 1500n;
        return order.block(
          2,
          join(
            order.u16(0, 3),
            order.u32(Number(ticks >> 32n), Number(ticks & 0xffffffffn), data.length, data.length),
            data,
            new Uint8Array(-data.length & 3),
          ),
        );
      }),
    ),
  };
}

for (const [name, order] of ORDERS) {
  for (const [format, bytes] of Object.entries(made(order))) {
    Deno.test(`${format}, ${name}-endian`, () => {
      const { packets, summary } = parse(bytes);
      assert.deepEqual(packets.map(({ sequence }) => sequence), [1, 6]);
      assert.deepEqual(packets.map(({ index }) => index), [0, 1]);
      assert.deepEqual(packets.map(({ time }) => time), [1700000000002, 1700000000003.5]);
      assert.equal(packets[1]!.payload, "9,9");
      assert.equal(summary.packets, 2);
      assert.equal(summary.tcp, 2);
      assert.equal(summary.bytes, bytes.length);
      assert.equal(summary.firstTime, 1700000000002);
      assert.equal(summary.lastTime, 1700000000003.5);
      assert.equal(summary.truncatedAt, undefined);
      assert.deepEqual(summary.interfaces.map(({ linkType, packets }) => [linkType, packets]), [
        [1, 2],
      ]);
    });

    Deno.test(`${format}, ${name}-endian: any chunking gives the same packets`, () => {
      const whole = parse(bytes);
      fc.assert(
        fc.property(fc.array(fc.nat(bytes.length), { maxLength: 12 }), (cuts) => {
          const sorted = [0, ...cuts.sort((a, b) => a - b), bytes.length];
          const pieces = sorted.slice(1).map((end, i) => bytes.slice(sorted[i], end));
          assert.deepEqual(parse(pieces), whole);
        }),
        { numRuns: 60 },
      );
      assert.deepEqual(parse([...bytes].map((byte) => new Uint8Array([byte]))), whole);
    });

    Deno.test(`${format}, ${name}-endian: cut anywhere`, () => {
      for (let length = 1; length < bytes.length; length++) {
        let packets = 0;
        const parser = new CaptureParser("cut.pcap", () => packets++);
        let error: unknown;
        try {
          parser.push(bytes.subarray(0, length));
          parser.finish();
        } catch (thrown) {
          error = thrown;
        }
        if (error === undefined) {
          assert.equal(parser.summary().truncatedAt, undefined);
          continue;
        }
        assert.ok(error instanceof (length < 4 ? NotACaptureError : TruncatedCaptureError));
        assert.match(error.message, /^cut\.pcap: /);
        assert.doesNotMatch(error.message, /\n/);
        if (length >= 4) assert.ok(error.offset! <= length);
        assert.equal(parser.summary().packets, packets);
      }
    });
  }
}

Deno.test("pcap: frame check sequence bits beside the link type", () => {
  const bytes = join(LITTLE.pcap(0x54000001), LITTLE.record(1, 0, first));
  assert.equal(parse(bytes).summary.tcp, 1);
});

Deno.test("pcap: old versions have the two lengths the other way round", () => {
  for (const minor of [2, 3]) {
    const bytes = join(
      LITTLE.pcap(1, 0xa1b2c3d4, 60, minor),
      LITTLE.u32(1, 0, 1500, first.length),
      first,
    );
    const { packets, summary } = parse(bytes);
    assert.equal(summary.packets, 1);
    assert.equal(packets[0]!.payloadLength, 5);
  }
  const straight = join(
    LITTLE.pcap(1, 0xa1b2c3d4, 60, 3),
    LITTLE.record(1, 0, first, 1500),
  );
  assert.equal(parse(straight).summary.tcp, 1);
});

Deno.test("pcap: odd but readable records", () => {
  const bytes = join(
    LITTLE.pcap(1, 0xa1b2c3d4, 20),
    LITTLE.record(1, 5_000_000, first), // longer than the snap length, microseconds out of range
    LITTLE.record(1, 0, new Uint8Array(0), 60), // nothing kept
    LITTLE.record(0, 0, second),
  );
  const { packets, summary } = parse(bytes);
  assert.deepEqual(packets.map(({ time }) => time), [6000, 1000, 0]);
  assert.equal(summary.packets, 3);
  assert.equal(summary.tcp, 2);
  assert.equal(summary.cut, 1);
  assert.equal(summary.backwards, 2);
  assert.equal(summary.firstTime, 0);
  assert.equal(summary.lastTime, 6000);
});

Deno.test("pcapng: several interfaces, resolutions and offsets", () => {
  for (const [, order] of ORDERS) {
    const offset = order.little ? order.u32(1000, 0) : order.u32(0, 1000);
    const negative = order.little
      ? order.u32(0xffffffff, 0xffffffff)
      : order.u32(0xffffffff, 0xffffffff);
    const bytes = join(
      order.section(),
      order.interface(1),
      order.interface(
        LinkType.raw,
        0,
        options(order, order.option(2, [101, 116, 104]), order.option(9, [0])),
      ),
      order.interface(LinkType.raw, 0, options(order, order.option(9, [0x8a]))), // 2^-10 s
      order.interface(LinkType.raw, 0, options(order, order.option(14, offset))),
      order.interface(
        LinkType.raw,
        0,
        options(order, order.option(9, [3]), order.option(14, negative)),
      ),
      order.packet(0, 1_000_001n, first),
      order.packet(1, 7n, ip()),
      order.packet(2, 1536n, ip()),
      order.packet(3, 5_000_000n, ip()),
      order.packet(4, 5_000n, ip()),
    );
    const { packets, summary } = parse(bytes);
    assert.deepEqual(packets.map(({ time }) => time), [1000.001, 7000, 1500, 1_005_000, 4000]);
    assert.equal(summary.tcp, 5);
    assert.deepEqual(summary.interfaces.map(({ packets }) => packets), [1, 1, 1, 1, 1]);
  }
});

Deno.test("pcapng: sections of different byte order, each with its own interfaces", () => {
  const bytes = join(
    LITTLE.section(),
    LITTLE.interface(1),
    LITTLE.interface(LinkType.raw),
    LITTLE.packet(1, 1000n, ip()),
    BIG.section(),
    BIG.interface(LinkType.ethernet),
    BIG.packet(0, 2000n, first),
  );
  const { packets, summary } = parse(bytes);
  assert.deepEqual(packets.map(({ time }) => time), [1, 2]);
  assert.equal(summary.tcp, 2);
  assert.equal(summary.interfaces.length, 3);
  const unknown = join(bytes, BIG.packet(1, 3000n, first));
  assert.throws(() => parse(unknown), /packet of interface 1, which is not described/);
});

Deno.test("pcapng: simple packets have no time of their own", () => {
  const simple = (data: Uint8Array, wire: number) =>
    LITTLE.block(3, join(LITTLE.u32(wire), data, new Uint8Array(-data.length & 3)));
  const bytes = join(
    LITTLE.section(),
    LITTLE.interface(1, 58),
    simple(first, first.length),
    LITTLE.packet(0, 5000n, first),
    simple(first.subarray(0, 58), 1500),
  );
  const { packets, summary } = parse(bytes);
  assert.deepEqual(packets.map(({ time }) => time), [0, 5, 5]);
  assert.equal(summary.untimed, 2);
  assert.equal(summary.tcp, 3);
  assert.equal(summary.firstTime, 5);
});

Deno.test("pcapng: unknown, custom and secrets blocks are skipped, of any size", () => {
  const large = 3 << 20;
  const bytes = join(
    LITTLE.section(),
    LITTLE.block(10, join(LITTLE.u32(0x544c534b, 4), [1, 2, 3, 4])),
    LITTLE.interface(1),
    LITTLE.block(0xbad, LITTLE.u32(32473)),
    LITTLE.packet(0, 1n, first),
    LITTLE.block(0x7777, new Uint8Array(large)),
    LITTLE.block(5, LITTLE.u32(0, 0, 0)),
    LITTLE.packet(0, 2n, second),
  );
  assert.equal(parse(bytes).summary.tcp, 2);
  const pieces = [];
  for (let at = 0; at < bytes.length; at += 1001) pieces.push(bytes.subarray(at, at + 1001));
  assert.equal(parse(pieces).summary.tcp, 2);
  const cut = bytes.subarray(0, bytes.length - large);
  assert.throws(() => parse(cut), TruncatedCaptureError);
});

Deno.test("pcapng: comments on request", () => {
  const comment = new TextEncoder().encode("data=812 padding=574 ✓");
  const bytes = join(
    LITTLE.section(),
    LITTLE.interface(1),
    LITTLE.packet(0, 1n, first, {
      options: options(LITTLE, LITTLE.option(2, LITTLE.u32(1)), LITTLE.option(1, comment)),
    }),
    LITTLE.packet(0, 2n, second),
    LITTLE.packet(0, 3n, second, { options: LITTLE.u16(1, 999) }),
  );
  const read = parse(bytes, { comments: true }).packets.map(({ comment }) => comment);
  assert.deepEqual(read, ["data=812 padding=574 ✓", "", ""]);
  assert.deepEqual(parse(bytes).packets.map(({ comment }) => comment), ["", "", ""]);
});

Deno.test("snoop", () => {
  const record = (data: Uint8Array, milliseconds: number) =>
    join(
      BIG.u32(data.length, data.length, 24 + data.length + 2, 0, 5, milliseconds * 1000),
      data,
      [0, 0],
    );
  const head = (linkType: number, version = 2) =>
    join([0x73, 0x6e, 0x6f, 0x6f, 0x70, 0, 0, 0], BIG.u32(version, linkType));
  const bytes = join(head(4), record(first, 1), record(second, 2));
  const { packets, summary } = parse(bytes);
  assert.equal(summary.format, "snoop");
  assert.deepEqual(packets.map(({ time, sequence }) => [time, sequence]), [[5001, 1], [5002, 6]]);
  assert.deepEqual(parse([...bytes].map((byte) => new Uint8Array([byte]))).packets, packets);
  assert.equal(parse(join(head(8), record(first, 1))).summary.unknownLink, 1);
  assert.throws(() => parse(head(4, 3)), NotACaptureError);
  assert.throws(
    () => parse(join(head(4), BIG.u32(10, 10, 20, 0, 0, 0))),
    DamagedCaptureError,
  );
});

const section = LITTLE.section();
const described = join(section, LITTLE.interface(1));
const REFUSED: readonly [string, Uint8Array, new (...args: never[]) => CaptureError, RegExp][] = [
  ["an empty file", new Uint8Array(0), NotACaptureError, /made\.pcap: the file is empty/],
  ["a text", new TextEncoder().encode("Hello, world\n".repeat(9)), NotACaptureError, /text file/],
  ["a short text", new TextEncoder().encode("a\n"), NotACaptureError, /text file/],
  ["random bytes", new Uint8Array(99).fill(0xe7), NotACaptureError, /not a capture/],
  ["zstd", new Uint8Array([0x28, 0xb5, 0x2f, 0xfd, 0]), NotACaptureError, /with zstd: decompress/],
  [
    "pcap version 9",
    join(LITTLE.u32(0xa1b2c3d4), LITTLE.u16(9, 0), new Uint8Array(16)),
    NotACaptureError,
    /version 9\.0/,
  ],
  [
    "a magic number only",
    LITTLE.u32(0xa1b2c3d4),
    TruncatedCaptureError,
    /file header \(at byte 4\)/,
  ],
  [
    "a packet of 4 GB",
    join(LITTLE.pcap(1), LITTLE.u32(1, 1, 0xffffffff, 60)),
    DamagedCaptureError,
    /4294967295 bytes, after 0 packets \(at byte 24\)/,
  ],
  [
    "a packet above the limit",
    join(LITTLE.pcap(1), LITTLE.u32(1, 1, MAX_PACKET_BYTES + 1, 60)),
    DamagedCaptureError,
    /262145/,
  ],
  [
    "a bad byte order",
    join(LITTLE.u32(0x0a0d0d0a, 28, 0x1a2b3c4e), new Uint8Array(16)),
    DamagedCaptureError,
    /byte order/,
  ],
  [
    "pcapng version 2",
    LITTLE.block(0x0a0d0d0a, join(LITTLE.u32(0x1a2b3c4d), LITTLE.u16(2, 0), new Uint8Array(8))),
    DamagedCaptureError,
    /version 2/,
  ],
  [
    "a short section",
    LITTLE.block(0x0a0d0d0a, LITTLE.u32(0x1a2b3c4d)),
    DamagedCaptureError,
    /16 bytes/,
  ],
  [
    "a block of 0 bytes",
    join(described, LITTLE.u32(6, 0, 0)),
    DamagedCaptureError,
    /block of 0 bytes, after 0 packets \(at byte 48\)/,
  ],
  ["a block of 13 bytes", join(described, LITTLE.u32(6, 13, 0)), DamagedCaptureError, /13 bytes/],
  [
    "a packet block of 4 GB",
    join(described, LITTLE.u32(6, 0xfffffffc, 0)),
    DamagedCaptureError,
    /4294967292/,
  ],
  [
    "lengths that differ",
    join(section, LITTLE.block(1, new Uint8Array(8), 24)),
    DamagedCaptureError,
    /lengths differ/,
  ],
  [
    "a packet without an interface",
    join(section, LITTLE.packet(0, 1n, first)),
    DamagedCaptureError,
    /interface 0/,
  ],
  [
    "a simple packet without an interface",
    join(section, LITTLE.block(3, LITTLE.u32(0))),
    DamagedCaptureError,
    /no interface/,
  ],
  [
    "an empty simple packet block",
    join(described, LITTLE.block(3, LITTLE.u32())),
    DamagedCaptureError,
    /12 bytes/,
  ],
  [
    "a packet longer than its block",
    join(described, LITTLE.block(6, LITTLE.u32(0, 0, 0, 99, 99))),
    DamagedCaptureError,
    /99 bytes in a block of 32/,
  ],
  [
    "a short packet block",
    join(described, LITTLE.block(6, LITTLE.u32(0, 0, 0, 0))),
    DamagedCaptureError,
    /28 bytes/,
  ],
  [
    "a short interface",
    join(section, LITTLE.block(1, LITTLE.u32(0))),
    DamagedCaptureError,
    /16 bytes/,
  ],
  [
    "an option over its block",
    join(section, LITTLE.interface(1, 0, LITTLE.u16(9, 60000))),
    DamagedCaptureError,
    /option/,
  ],
];

for (const [what, bytes, kind, message] of REFUSED) {
  Deno.test(`refused with one line: ${what}`, () => {
    for (const pieces of [[bytes], [...bytes].map((byte) => new Uint8Array([byte]))]) {
      assert.throws(() => parse(pieces), (error) => {
        assert.ok(error instanceof kind, String(error));
        assert.match(error.message, message);
        assert.doesNotMatch(error.message, /\n/);
        assert.equal(error.exitCode, 1);
        return true;
      });
    }
  });
}

Deno.test("interfaces are bounded", () => {
  const many = new Array<Uint8Array>(1000).fill(LITTLE.interface(1));
  const parser = new CaptureParser("many.pcapng", () => {});
  parser.push(section);
  const thousand = join(...many);
  assert.throws(() => {
    for (let i = 0; i < 70; i++) parser.push(thousand);
  }, /more than 65536 interfaces/);
});

Deno.test("property: mutated captures give packets or this room's error, whatever the chunks", () => {
  const seeds = ORDERS.flatMap(([, order]) => Object.values(made(order)));
  const run = (bytes: Uint8Array, chunk: number) => {
    const packets: number[] = [];
    const parser = new CaptureParser("fuzz.pcap", ({ payloadLength }) => {
      packets.push(payloadLength);
    });
    try {
      for (let at = 0; at < bytes.length; at += chunk) parser.push(bytes.slice(at, at + chunk));
      parser.finish();
    } catch (error) {
      if (!(error instanceof CaptureError)) throw error;
      return { packets, error: error.message };
    }
    return { packets, error: "" };
  };
  fc.assert(
    fc.property(
      fc.constantFrom(...seeds),
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 5 }),
      fc.nat(60),
      fc.integer({ min: 1, max: 70 }),
      (seed, changes, dropped, chunk) => {
        const bytes = seed.slice(0, seed.length - dropped);
        for (const [at, value] of changes) bytes[at % bytes.length] = value;
        assert.deepEqual(run(bytes, chunk), run(bytes, bytes.length));
      },
    ),
    { numRuns: 2000 },
  );
  fc.assert(
    fc.property(fc.constantFrom(...seeds), fc.uint8Array({ maxLength: 300 }), (seed, tail) => {
      run(join(seed.subarray(0, 48), tail), 64);
      run(tail, 64);
    }),
    { numRuns: 1000 },
  );
});
