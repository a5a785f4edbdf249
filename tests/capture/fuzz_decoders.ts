import { CaptureError } from "../../capture/capture_error.ts";
import { CaptureParser } from "../../capture/capture_parser.ts";
import { PacketDecoder } from "../../capture/decode.ts";
import { encodeTcpPacket } from "../../capture/encode_tcp.ts";
import { FlowTable } from "../../capture/flow_table.ts";
import { LinkType } from "../../capture/link_type.ts";
import type { Packet } from "../../capture/packet.ts";
import { PROTOCOLS } from "../../capture/protocols.ts";
import { RecordColumns, SegmentColumns } from "../../capture/stream_columns.ts";
import { TcpAssembler } from "../../capture/tcp_assembler.ts";
import { data, sshPacket, text, tls12, tls13 } from "./handshake_bytes.ts";
import { BIG, join, LITTLE, SIX, tcp } from "./reader_support.ts";

/** A decoder that meets what others wrote; `run` throws only {@linkcode CaptureError}s. */
export interface FuzzedDecoder {
  /** What it reads. */
  readonly name: string;
  /** Inputs that it takes, to start from. */
  readonly seeds: readonly Uint8Array[];
  /** Reads an input; returns how many steps (packets) it took, which must be bounded by the input. */
  run(input: Uint8Array): number;
}

/** What holds of every packet that a decoder describes, whatever the bytes were. */
function check(packet: Packet): void {
  const { data, payloadStart, payloadCaptured, payloadLength } = packet;
  if (
    payloadStart < 0 || payloadCaptured < 0 || payloadCaptured > payloadLength ||
    payloadStart + payloadCaptured > data.length || packet.ipLength < 0 || packet.wireLength < 0 ||
    payloadLength > packet.ipLength || !Number.isFinite(packet.time) ||
    packet.version === 0 && packet.protocol !== 255 ||
    !(packet.sourcePort >= 0 && packet.sourcePort <= 65535) ||
    !(packet.destinationPort >= 0 && packet.destinationPort <= 65535)
  ) {
    const said = { ...packet, data: data.length, addresses: packet.addresses.join() };
    throw new Error(`not a packet: ${JSON.stringify(said)}`);
  }
}

/** A whole capture file, in two pieces, through flows and connections. */
function file(name: string, ...seeds: Uint8Array[]): FuzzedDecoder {
  let counted = 0;
  const table = new FlowTable(
    { onFlow: (flow) => counted += flow.packetsSent + flow.packetsReceived },
    { packets: true, maxFlows: 3, maxKeptPackets: 5, splitReused: true },
  );
  return {
    name,
    seeds,
    run(input) {
      let packets = 0;
      const assembler = new TcpAssembler(() => {}, { capture: "fuzz", maxConnections: 2 });
      const parser = new CaptureParser("fuzz", (packet) => {
        check(packet);
        packets++;
        table.push(packet);
        assembler.push(packet);
      });
      const cut = input.length * 7 % 61;
      let refusal: unknown;
      try {
        parser.push(input.subarray(0, cut));
        parser.push(input.subarray(cut));
        parser.finish();
      } catch (error) {
        refusal = error;
      }
      table.endBurst();
      assembler.finish();
      parser.summary();
      if (counted !== table.packets) throw new Error(`${counted} of ${table.packets} packets`);
      if (packets > input.length / 12) throw new Error(`${packets} packets`);
      if (refusal !== undefined) throw refusal;
      return packets;
    },
  };
}

const decoder = new PacketDecoder();

/** One frame of a link type, now whole, now cut by the snap length. */
function frame(linkType: number, ...seeds: Uint8Array[]): FuzzedDecoder {
  return {
    name: `frames of link type ${linkType}`,
    seeds,
    run(input) {
      const wire = input.length + input.length % 3 * 500;
      const start = input.length % 4;
      decoder.decode(
        linkType,
        input,
        Math.min(start, input.length),
        input.length,
        wire,
        wire % 2 > 0,
      );
      check(decoder.packet);
      return 1;
    },
  };
}

/** A handshake's recogniser: both sides' bytes and gaps, as the input says. */
function handshake(which: number, ...seeds: Uint8Array[]): FuzzedDecoder {
  const protocol = PROTOCOLS[which]!;
  const view = { segments: new SegmentColumns(), serverPort: 443, serverRtt: undefined };
  const records = new RecordColumns(64);
  return {
    name: `handshakes of ${protocol.carrier}`,
    seeds,
    run(input) {
      const recogniser = protocol.create(records);
      const middle = input.length * 5 % 97;
      recogniser.bytes(0, input, 0, Math.min(middle, input.length));
      if (middle % 5 === 0) recogniser.gap(0, middle * 1000);
      recogniser.bytes(1, input, 0, input.length);
      recogniser.bytes(0, input, Math.min(middle, input.length), input.length);
      recogniser.handshake(view);
      return 1;
    },
  };
}

const four = encodeTcpPacket(LinkType.raw, tcp({ timestamps: [1, 2], mss: 1460 }));
const six = encodeTcpPacket(LinkType.raw, tcp(SIX));
const bytes = (...values: number[]) => Uint8Array.from(values);
const zeros = (count: number) => new Uint8Array(count);

/** An IPv4 or IPv6 packet around another one or other bytes. */
function around(protocol: number, inner: Uint8Array, version: 4 | 6): Uint8Array {
  const header = version === 4 ? four.slice(0, 20) : six.slice(0, 40);
  const view = new DataView(header.buffer);
  if (version === 4) view.setUint16(2, 20 + inner.length);
  else view.setUint16(4, inner.length);
  header[version === 4 ? 9 : 6] = protocol;
  return join(header, inner);
}

const udp = around(17, bytes(1, 0, 0, 53, 0, 12, 0, 0, 1, 2, 3, 4), 4);
const extended = around(
  0,
  join(
    bytes(43, 0, 1, 4, 0, 0, 0, 0),
    bytes(60, 0, 5, 2, 0, 0, 0, 0),
    bytes(44, 0, 0, 0, 0, 0, 0, 0),
    bytes(6, 0, 0, 0, 0, 0, 0, 1),
    six.subarray(40),
  ),
  6,
);
const gre = around(47, join(bytes(0xb0, 0x81, 8, 0), zeros(16), four), 4);
const nested = around(4, around(41, around(51, join(bytes(6, 4), zeros(22)), 6), 4), 4);
const fragment = around(44, bytes(6, 0, 0, 9, 0, 0, 0, 1, 0, 80, 1, 187), 6);
const IPS = [four, six, udp, extended, gre, nested, fragment];

const typed = (head: Uint8Array) =>
  IPS.map((ip) => {
    const out = join(head, ip);
    // The EtherType, or the family, of the version.
    if (ip[0]! >> 4 === 6) out.set([0x86, 0xdd], head.length - 2);
    return out;
  });
const ethernet = (...tags: number[]) => typed(join(zeros(12), bytes(...tags, 8, 0)));
const FRAMES = [
  ...ethernet(),
  ...ethernet(0x81, 0, 0, 1, 0x88, 0xa8, 0, 2),
  join(zeros(12), bytes(0x88, 0x47, 0, 1, 1, 64), four),
  join(zeros(12), bytes(0x88, 0x64, 0x11, 0, 0, 1, 0, 30, 0, 0x21), four),
  join(zeros(12), bytes(0, 60, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0), four),
];

const pcap = (order: typeof LITTLE, magic?: number) =>
  join(
    order.pcap(1, magic),
    ...FRAMES.slice(0, 4).map((one, i) =>
      magic === 0xa1b2cd34
        ? join(order.u32(i, 5, one.length, one.length, 1, 2), one)
        : order.record(i, i * 1000, one)
    ),
  );
const pcapng = (order: typeof LITTLE) =>
  join(
    order.section(),
    order.interface(1, 0, join(order.option(9, bytes(9)), order.option(14, zeros(8)))),
    order.interface(101, 96),
    order.packet(0, 5_000_000_000n, FRAMES[0]!, { wire: 1500 }),
    order.block(5, zeros(20)),
    order.packet(1, 6_000_000n, six),
    order.block(3, join(order.u32(four.length), four, zeros(-four.length & 3))),
    order.block(0xbad, zeros(8)),
  );
const snoop = join(
  text("snoop\0\0\0"),
  BIG.u32(2, 4),
  BIG.u32(FRAMES[0]!.length, FRAMES[0]!.length, 24 + FRAMES[0]!.length, 0, 1, 2),
  FRAMES[0]!,
);

/** Every decoder of the room that meets bytes of others. */
export const DECODERS: readonly FuzzedDecoder[] = [
  file("pcap files", pcap(LITTLE), pcap(BIG), pcap(LITTLE, 0xa1b23c4d), pcap(BIG, 0xa1b2cd34)),
  file("pcapng files", pcapng(LITTLE), pcapng(BIG), join(pcapng(BIG), pcapng(LITTLE))),
  file("snoop files", snoop),
  frame(LinkType.ethernet, ...FRAMES),
  frame(LinkType.raw, ...IPS),
  frame(LinkType.linuxCooked, ...typed(join(zeros(14), bytes(8, 0)))),
  frame(LinkType.linuxCooked2, ...IPS.map((ip) => join(bytes(8, 0), zeros(18), ip))),
  frame(LinkType.null, ...IPS.map((ip) => join(bytes(ip[0]! >> 4 === 4 ? 2 : 30, 0, 0, 0), ip))),
  frame(LinkType.loop, ...IPS.map((ip) => join(bytes(0, 0, 0, 2), ip))),
  frame(LinkType.ppp, ...IPS.map((ip) => join(bytes(0xff, 3, 0, 0x21), ip))),
  frame(LinkType.pppWithDirection, ...IPS.map((ip) => join(bytes(0, 0x21), ip))),
  frame(LinkType.pppoe, ...IPS.map((ip) => join(bytes(0x11, 0, 0, 1, 0, 30, 0, 0x21), ip))),
  frame(LinkType.ciscoHdlc, ...typed(bytes(0x0f, 0, 8, 0))),
  handshake(0, tls13.hello, tls13.flight, tls13.finished, tls12.flight, tls12.answer, data(99)),
  handshake(
    1,
    text("SSH-2.0-a\r\n"),
    join(text("SSH-2.0-b\r\n"), sshPacket(20, 900), sshPacket(21, 16)),
  ),
  handshake(
    2,
    text("220 hello\r\n250-me\r\n250 STARTTLS\r\n220 go\r\n"),
    text("EHLO me\r\nSTARTTLS\r\n"),
  ),
];

/** A small generator of numbers, so that a run can be repeated (xorshift32). */
function numbers(seed: number): (below: number) => number {
  let state = (seed * 2654435761 >>> 0) || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const INTERESTING = bytes(0, 1, 2, 4, 6, 17, 41, 47, 63, 64, 69, 96, 127, 128, 254, 255);
const room = new Uint8Array(8192);

/** Damages an input: bytes changed, left out, doubled, the end cut off. A view that the next call reuses. */
function mutate(input: Uint8Array, below: (limit: number) => number): Uint8Array {
  let size = Math.min(input.length, room.length >> 1);
  room.set(input.subarray(0, size));
  for (let changes = 1 + below(5); changes > 0; changes--) {
    const at = below(size + 1);
    switch (below(8)) {
      case 0:
        room[at] = below(256);
        break;
      case 1:
      case 2:
        room[at] = INTERESTING[below(INTERESTING.length)]!;
        break;
      case 3:
        room[at]! ^= 1 << below(8);
        break;
      case 4: { // left out
        const length = Math.min(size - at, 1 + below(8));
        room.copyWithin(at, at + length, size);
        size -= length;
        break;
      }
      case 5: { // doubled
        const length = Math.min(size - at, below(64), room.length - size);
        room.copyWithin(at + length, at, size);
        size += length;
        break;
      }
      case 6: // four bytes of a number, such as a length
        room.fill(below(2) * 255, at, Math.min(at + 4, size));
        break;
      default:
        if (below(3) === 0) size = at;
    }
  }
  return room.subarray(0, size);
}

/** What became of the inputs of one decoder. */
export interface FuzzResult {
  /** How many it took. */
  taken: number;
  /** How many it refused with a {@linkcode CaptureError}. */
  refused: number;
  /** Milliseconds of the slowest input, the better of two runs. */
  slowest: number;
}

/**
 * Gives a decoder `count` damaged inputs. Throws, with the input, if it throws anything but a CaptureError of one
 * line, describes a packet that cannot be, or takes more steps than the input has bytes.
 */
export function fuzz(decoder: FuzzedDecoder, count: number, seed = 1): FuzzResult {
  const below = numbers(seed);
  const result = { taken: 0, refused: 0, slowest: 0 };
  const run = (input: Uint8Array, round: number): boolean => {
    try {
      const steps = decoder.run(input);
      if (steps > 1 + input.length / 12) throw new Error(`${steps} packets`);
      return true;
    } catch (error) {
      if (error instanceof CaptureError && !error.message.includes("\n")) return false;
      throw new Error(`${decoder.name}, input ${round}: ${input.toHex()}`, { cause: error });
    }
  };
  for (let round = 0; round < count; round++) {
    const input = mutate(decoder.seeds[below(decoder.seeds.length)]!, below);
    const start = performance.now();
    if (run(input, round)) result.taken++;
    else result.refused++;
    const first = performance.now() - start;
    if (first <= result.slowest) continue;
    // Slow again, or was the machine busy?
    const again = performance.now();
    run(input, round);
    result.slowest = Math.max(result.slowest, Math.min(first, performance.now() - again));
  }
  return result;
}
