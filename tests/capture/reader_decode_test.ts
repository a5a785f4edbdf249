import assert from "node:assert/strict";
import fc from "fast-check";
import { formatAddress, parseAddress } from "../../capture/address.ts";
import { PacketDecoder } from "../../capture/decode.ts";
import { encodeTcpPacket } from "../../capture/encode_tcp.ts";
import { LinkType } from "../../capture/link_type.ts";
import { PROTOCOL_FRAGMENT, PROTOCOL_NONE, TCP_ACK, TCP_SYN } from "../../capture/packet.ts";
import { ethernet, ip, join, SIX, tcp } from "./reader_support.ts";

function decode(
  linkType: number,
  frame: Uint8Array,
  { wire = frame.length, atSnapLength = false } = {},
) {
  const decoder = new PacketDecoder();
  // In the middle of a larger buffer, as in a file: a read past the end would be seen.
  const data = join(new Uint8Array(7).fill(0x45), frame, new Uint8Array(64).fill(0x45));
  decoder.decode(linkType, data, 7, 7 + frame.length, wire, atSnapLength);
  return decoder;
}

function assertIsTheSegment(decoder: PacketDecoder, version: 4 | 6 = 4): void {
  const { packet } = decoder;
  assert.equal(packet.protocol, 6);
  assert.equal(packet.version, version);
  assert.equal(packet.sourcePort, 40000);
  assert.equal(packet.destinationPort, 443);
  assert.equal(packet.sequence, 1000);
  assert.equal(packet.acknowledgement, 2000);
  assert.equal(packet.flags, TCP_ACK);
  assert.equal(packet.payloadLength, 5);
  assert.equal(packet.payloadCaptured, 5);
  const payload = packet.data.subarray(packet.payloadStart, packet.payloadStart + 5);
  assert.deepEqual([...payload], [1, 2, 3, 4, 5]);
  assert.equal(
    formatAddress(packet.addresses, 0, version),
    version === 4 ? "10.0.0.1" : "2001:db8::1",
  );
  assert.equal(
    formatAddress(packet.addresses, 16, version),
    version === 4 ? "10.0.0.2" : "2001:db8::2",
  );
  assert.equal(decoder.counts.tcp, 1);
  assert.equal(decoder.counts.malformed, 0);
}

const MACS = new Array<number>(12).fill(2);
const SNAP = [0xaa, 0xaa, 3, 0, 0, 0];
const four = ip();
const six = ip(SIX);

/** An MPLS label; the last of a stack is marked. */
const label = (bottom: boolean) => [0, 1, bottom ? 0x41 : 0x40, 64];
const PPPOE = [0x11, 0, 0, 1, 0, 47];

const LINKS: readonly [string, number, Uint8Array, (4 | 6)?][] = [
  ["Ethernet", LinkType.ethernet, ethernet()],
  ["Ethernet, IPv6", LinkType.ethernet, ethernet(SIX), 6],
  ["Ethernet padded to 60 bytes", LinkType.ethernet, join(ethernet(), new Uint8Array(20))],
  ["VLAN", LinkType.ethernet, join(MACS, [0x81, 0, 0, 5, 8, 0], four)],
  ["QinQ", LinkType.ethernet, join(MACS, [0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 8, 0], four)],
  [
    "twenty VLAN tags",
    LinkType.ethernet,
    join(MACS, ...new Array<number[]>(20).fill([0x81, 0, 0, 5]), [8, 0], four),
  ],
  ["802.3 with SNAP", LinkType.ethernet, join(MACS, [0, 53], SNAP, [8, 0], four)],
  ["802.3 with SAP 6", LinkType.ethernet, join(MACS, [0, 48, 6, 6, 3], four)],
  [
    "MPLS, two labels",
    LinkType.ethernet,
    join(MACS, [0x88, 0x47], label(false), label(true), four),
  ],
  ["PPPoE", LinkType.ethernet, join(MACS, [0x88, 0x64], PPPOE, [0, 0x21], four)],
  ["PPPoE, IPv6", LinkType.ethernet, join(MACS, [0x88, 0x64], PPPOE, [0, 0x57], six), 6],
  ["raw", LinkType.raw, four],
  ["raw, IPv6", LinkType.raw, six, 6],
  ["raw (12)", 12, four],
  ["raw (14)", 14, four],
  ["raw IPv4", LinkType.ipv4, four],
  ["raw IPv6", LinkType.ipv6, six, 6],
  ["null, little-endian", LinkType.null, join([2, 0, 0, 0], four)],
  ["null, big-endian", LinkType.null, join([0, 0, 0, 2], four)],
  ...[10, 23, 24, 28, 30].flatMap((family): [string, number, Uint8Array, 6][] => [
    [`null, IPv6 as ${family}`, LinkType.null, join([family, 0, 0, 0], six), 6],
    [`loop, IPv6 as ${family}`, LinkType.loop, join([0, 0, 0, family], six), 6],
  ]),
  ["Linux cooked", LinkType.linuxCooked, join(new Uint8Array(14), [8, 0], four)],
  [
    "Linux cooked with VLAN",
    LinkType.linuxCooked,
    join(new Uint8Array(14), [0x81, 0, 0, 5, 8, 0], four),
  ],
  ["Linux cooked 2", LinkType.linuxCooked2, join([8, 0], new Uint8Array(18), four)],
  ["Linux cooked 2, IPv6", LinkType.linuxCooked2, join([0x86, 0xdd], new Uint8Array(18), six), 6],
  [
    "Linux cooked 2 with VLAN",
    LinkType.linuxCooked2,
    join([0x81, 0], new Uint8Array(18), [0, 5, 8, 0], four),
  ],
  ["PPP", LinkType.ppp, join([0xff, 3, 0, 0x21], four)],
  ["PPP, short", LinkType.ppp, join([0, 0x21], four)],
  ["PPP, compressed protocol", LinkType.pppHdlc, join([0xff, 3, 0x21], four)],
  ["PPP with MPLS", LinkType.pppd, join([0xff, 3, 2, 0x81], label(true), four)],
  ["PPP with direction", LinkType.pppWithDirection, join([0, 0xff, 3, 0, 0x21], four)],
  ["PPPoE from its header on", LinkType.pppoe, join(PPPOE, [0, 0x21], four)],
  ["Cisco HDLC", LinkType.ciscoHdlc, join([0x0f, 0, 8, 0], four)],
];

for (const [name, linkType, frame, version] of LINKS) {
  Deno.test(`link layer: ${name}`, () => {
    assertIsTheSegment(decode(linkType, frame), version);
  });

  Deno.test(`link layer, cut anywhere: ${name}`, () => {
    for (let length = 0; length < frame.length; length++) {
      const decoder = decode(linkType, frame.subarray(0, length), { wire: frame.length });
      const { ip, cut, notIp, malformed, tcp } = decoder.counts;
      assert.equal(malformed + notIp, 0);
      assert.ok(ip + cut >= 1 && cut + tcp <= 1);
      if (decoder.packet.protocol !== 6) assert.equal(decoder.packet.protocol, PROTOCOL_NONE);
      assert.ok(decoder.packet.payloadCaptured <= 5);
    }
  });
}

Deno.test("not IP, an unknown family and an unknown link type are counted", () => {
  assert.equal(
    decode(LinkType.ethernet, join(MACS, [8, 6], new Uint8Array(28))).counts.notIp,
    1,
  );
  assert.equal(decode(LinkType.null, join([0, 0, 0, 7], four)).counts.notIp, 1);
  const unknown = decode(105, four);
  assert.equal(unknown.counts.unknownLink, 1);
  assert.equal(unknown.packet.protocol, PROTOCOL_NONE);
  assert.equal(unknown.packet.version, 0);
});

/** Inserts IPv6 extension headers behind the fixed header. */
function extended(first: number, headers: readonly number[]): Uint8Array {
  const packet = join(six.subarray(0, 40), headers, six.subarray(40));
  packet[6] = first;
  new DataView(packet.buffer).setUint16(4, packet.length - 40);
  return packet;
}

Deno.test("IPv6 extension headers are skipped", () => {
  const headers = [
    ...[43, 0, 1, 4, 0, 0, 0, 0], // hop-by-hop, then routing
    ...[60, 0, 0, 0, 0, 0, 0, 0], // routing, then destination options
    ...[51, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], // destination options, then AH
    ...[44, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], // AH, then an atomic fragment
    ...[6, 0, 0, 0, 0, 0, 0, 9],
  ];
  assertIsTheSegment(decode(LinkType.raw, extended(0, headers)), 6);
  const endless = decode(LinkType.raw, extended(0, [0, 255, 0, 0, 0, 0, 0, 0]));
  assert.equal(endless.packet.protocol, PROTOCOL_NONE);
  assert.equal(endless.counts.malformed, 1);
});

Deno.test("IPv4 options are skipped", () => {
  const packet = join([0x46], four.subarray(1, 20), [1, 1, 1, 0], four.subarray(20));
  packet[3] = packet.length;
  assertIsTheSegment(decode(LinkType.raw, packet));
});

Deno.test("fragments are counted and never taken for TCP", () => {
  for (const [high, low] of [[0x20, 0], [0, 1], [0x20, 185], [0x1f, 255]] as const) {
    const packet = four.slice();
    packet[6] = high;
    packet[7] = low;
    const decoder = decode(LinkType.raw, packet);
    assert.equal(decoder.packet.protocol, PROTOCOL_FRAGMENT);
    assert.equal(decoder.counts.fragments, 1);
    assert.equal(decoder.counts.tcp, 0);
  }
  for (const offset of [[0, 1], [1, 0], [0, 8]] as const) {
    const decoder = decode(LinkType.raw, extended(44, [6, 0, ...offset, 0, 0, 0, 9]));
    assert.equal(decoder.packet.protocol, PROTOCOL_FRAGMENT);
  }
});

/** Wraps an IP packet in an outer IPv4 header. */
function outer(protocol: number, ...inner: readonly (Uint8Array | readonly number[])[]) {
  const header = four.slice(0, 20);
  header.set([172, 16, 0, 1, 172, 16, 0, 2], 12);
  header[9] = protocol;
  const packet = join(header, ...inner);
  new DataView(packet.buffer).setUint16(2, packet.length);
  return packet;
}

Deno.test("tunnels: the innermost packet is described", () => {
  assertIsTheSegment(decode(LinkType.raw, outer(4, four)));
  assertIsTheSegment(decode(LinkType.raw, outer(4, outer(4, outer(4, four)))));
  assertIsTheSegment(decode(LinkType.raw, outer(41, six)), 6);
  assertIsTheSegment(decode(LinkType.raw, outer(47, [0, 0, 8, 0], four)));
  assertIsTheSegment(decode(LinkType.raw, outer(47, [0, 0, 0x86, 0xdd], six)), 6);
  const keyed = [0xb0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1];
  assertIsTheSegment(decode(LinkType.raw, outer(47, keyed, four)));
  assertIsTheSegment(decode(LinkType.raw, outer(47, [0, 0, 0x65, 0x58], ethernet())));
  assertIsTheSegment(decode(LinkType.raw, outer(47, [0, 0, 0x88, 0x47], label(true), four)));
  const pptp = [0x30, 0x81, 0x88, 0x0b, 0, 45, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1];
  assertIsTheSegment(decode(LinkType.raw, outer(47, pptp, [0, 0x21], four)));
  const arp = decode(LinkType.raw, outer(47, [0, 0, 8, 6], new Uint8Array(28)));
  assert.equal(arp.packet.protocol, 47);
  assert.equal(formatAddress(arp.packet.addresses, 0, 4), "172.16.0.1");
});

Deno.test("the packet's addresses hold nothing of an IPv6 packet before", () => {
  const decoder = new PacketDecoder();
  decoder.decode(LinkType.raw, six, 0, six.length, six.length, false);
  decoder.decode(LinkType.raw, four, 0, four.length, four.length, false);
  assert.deepEqual([...decoder.packet.addresses.subarray(4, 16)], new Array(12).fill(0));
});

Deno.test("lengths come from the IP header where the snap length cut the packet", () => {
  const frame = encodeTcpPacket(LinkType.ethernet, tcp({ payload: 1448, timestamps: [1, 2] }));
  const cut = decode(LinkType.ethernet, frame.subarray(0, 66), { wire: frame.length });
  assert.equal(cut.packet.payloadLength, 1448);
  assert.equal(cut.packet.payloadCaptured, 0);
  // Only 54 bytes: the options are cut, the header's length is known all the same.
  const shorter = decode(LinkType.ethernet, frame.subarray(0, 54), { wire: frame.length });
  assert.equal(shorter.packet.payloadLength, 1448);
  // Header-only traces that give the cut length as the wire's.
  assert.equal(decode(LinkType.ethernet, frame.subarray(0, 54)).packet.payloadLength, 1448);
  const atSnap = decode(LinkType.ethernet, frame.subarray(0, 200), { atSnapLength: true });
  assert.equal(atSnap.packet.payloadLength, 1448);
  assert.equal(atSnap.packet.payloadCaptured, 200 - 66);
});

Deno.test("an IP length of 0 or beyond the frame gives way to the frame's", () => {
  for (const [length, malformed] of [[0, 0], [65535, 1]] as const) {
    const packet = ip();
    new DataView(packet.buffer).setUint16(2, length);
    const decoder = decode(LinkType.raw, packet);
    assert.equal(decoder.packet.payloadLength, 5);
    assert.equal(decoder.counts.malformed, malformed);
    const overstated = decode(LinkType.raw, packet.subarray(0, 42), { wire: packet.length });
    assert.equal(overstated.packet.payloadLength, 5);
    assert.equal(overstated.packet.payloadCaptured, 2);
  }
});

Deno.test("headers that contradict themselves are malformed", () => {
  const change = (at: number, value: number) => {
    const packet = ip();
    packet[at] = value;
    return decode(LinkType.raw, packet);
  };
  for (const [at, value] of [[0, 0x44], [0, 0x75], [3, 19], [3, 39], [32, 0x00], [32, 0xf0]]) {
    const decoder = change(at!, value!);
    assert.equal(decoder.counts.malformed, 1, `byte ${at}`);
    assert.equal(decoder.packet.protocol, PROTOCOL_NONE);
  }
});

Deno.test("UDP and other protocols", () => {
  const datagram = outer(17, [0, 53, 4, 0, 0, 12, 0, 0], [9, 8, 7, 6]);
  const udp = decode(LinkType.raw, datagram);
  assert.equal(udp.packet.protocol, 17);
  assert.equal(udp.packet.sourcePort, 53);
  assert.equal(udp.packet.payloadLength, 4);
  assert.equal(udp.counts.udp, 1);
  const icmp = decode(LinkType.raw, outer(1, new Uint8Array(8)));
  assert.equal(icmp.packet.protocol, 1);
  assert.equal(icmp.packet.payloadLength, 8);
  assert.equal(icmp.packet.sourcePort, 0);
});

Deno.test("property: random frames of any link type never throw, and lengths are sound", () => {
  const types = [...Object.values(LinkType), 105, 70000];
  fc.assert(
    fc.property(
      fc.constantFrom(...types),
      fc.uint8Array({ maxLength: 120 }),
      fc.nat(200),
      fc.boolean(),
      (linkType, frame, wire, atSnapLength) => {
        const { packet, counts } = decode(linkType, frame, { wire, atSnapLength });
        assert.ok(packet.payloadLength >= 0 && packet.payloadCaptured >= 0);
        assert.ok(packet.payloadCaptured <= packet.payloadLength);
        assert.ok(packet.payloadStart >= 7);
        assert.ok(packet.payloadStart + packet.payloadCaptured <= 7 + frame.length);
        assert.ok(packet.ipLength <= 65575);
        assert.ok(
          counts.ip + counts.notIp + counts.unknownLink + counts.cut + counts.malformed >= 1,
        );
      },
    ),
    { numRuns: 3000 },
  );
});

Deno.test("property: mutated tunnels never throw", () => {
  const seeds = [
    ...LINKS.map(([, type, frame]) => [type, frame] as const),
    [
      LinkType.raw,
      outer(4, outer(47, [0, 0, 0x65, 0x58], ethernet())),
    ] as const,
  ];
  fc.assert(
    fc.property(
      fc.constantFrom(...seeds),
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 6 }),
      ([linkType, seed], changes) => {
        const frame = seed.slice();
        for (const [at, value] of changes) frame[at % frame.length] = value;
        const { packet } = decode(linkType, frame);
        assert.ok(packet.payloadStart + packet.payloadCaptured <= 7 + frame.length);
      },
    ),
    { numRuns: 3000 },
  );
});

Deno.test("property: what was encoded is decoded, with right checksums", () => {
  const u32 = fc.nat(0xffffffff);
  const port = fc.nat(65535);
  fc.assert(fc.property(
    fc.record({
      version: fc.constantFrom(4 as const, 6 as const),
      ports: fc.tuple(port, port),
      numbers: fc.tuple(u32, u32),
      flags: fc.nat(255),
      payload: fc.uint8Array({ maxLength: 60 }),
      mss: fc.option(port, { nil: undefined }),
      timestamps: fc.option(fc.tuple(u32, u32), { nil: undefined }),
      linkType: fc.constantFrom(LinkType.ethernet, LinkType.raw),
    }),
    ({ version, ports, numbers, flags, payload, mss, timestamps, linkType }) => {
      const ends = version === 4 ? tcp() : SIX;
      const frame = encodeTcpPacket(linkType, {
        source: { ...ends.source, port: ports[0] },
        destination: { ...ends.destination, port: ports[1] },
        sequence: numbers[0],
        acknowledgement: numbers[1],
        flags,
        payload,
        ...(mss === undefined ? {} : { mss }),
        ...(timestamps === undefined ? {} : { timestamps }),
      });
      const decoder = new PacketDecoder();
      decoder.decode(linkType, frame, 0, frame.length, frame.length, false);
      const { packet } = decoder;
      assert.deepEqual(
        [packet.sourcePort, packet.destinationPort, packet.sequence, packet.acknowledgement],
        [...ports, ...numbers],
      );
      assert.equal(packet.flags, flags);
      assert.equal(packet.payloadLength, payload.length);
      assert.deepEqual(
        [...frame.subarray(packet.payloadStart, packet.payloadStart + payload.length)],
        [...payload],
      );
      // The checksum over the pseudo header and the segment, its own field included, folds to all ones.
      const start = linkType === LinkType.ethernet ? 14 : 0;
      const segment = frame.subarray(start + (version === 4 ? 20 : 40));
      const addresses = version === 4
        ? frame.subarray(start + 12, start + 20)
        : frame.subarray(start + 8, start + 40);
      assert.equal(
        onesSum(join(addresses, [0, 6], [segment.length >> 8, segment.length & 255], segment)),
        0xffff,
      );
      if (version === 4) assert.equal(onesSum(frame.subarray(start, start + 20)), 0xffff);
    },
  ));
});

function onesSum(bytes: Uint8Array): number {
  let total = 0;
  for (let i = 0; i < bytes.length; i += 2) total += bytes[i]! << 8 | (bytes[i + 1] ?? 0);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return total;
}

Deno.test("addresses of different versions are not encoded", () => {
  const mixed = tcp({ source: { address: "::1", port: 1 }, flags: TCP_SYN });
  assert.throws(() => encodeTcpPacket(LinkType.raw, mixed), TypeError);
});

Deno.test("addresses as text", () => {
  const cases: readonly [string, string | undefined][] = [
    ["1.2.3.4", "1.2.3.4"],
    ["::", "::"],
    ["::1", "::1"],
    ["1::", "1::"],
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["1:0:2:0:3:0:4:0", "1:0:2:0:3:0:4:0"],
    ["FE80::A", "fe80::a"],
    ["::ffff:1.2.3.4", "::ffff:102:304"],
    ["1.2.3", undefined],
    ["1.2.3.256", undefined],
    ["1:2:3:4:5:6:7", undefined],
    ["1:2:3:4:5:6:7:8:9", undefined],
    ["1::2::3", undefined],
    ["::12345", undefined],
    ["example.org", undefined],
    ["", undefined],
  ];
  for (const [text, expected] of cases) {
    const parsed = parseAddress(text);
    assert.equal(parsed && formatAddress(parsed.bytes, 0, parsed.version), expected, text);
  }
  fc.assert(fc.property(fc.ipV6(), (text) => {
    const { bytes, version } = parseAddress(text)!;
    assert.deepEqual(parseAddress(formatAddress(bytes, 0, version))!.bytes, bytes);
  }));
});
