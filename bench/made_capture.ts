/**
 * Makes captures of any size for benchmarks: TCP and UDP over IPv4 and IPv6, flows that overlap.
 *
 * @module
 */
import { parseArgs } from "node:util";

/** What is made by {@linkcode makeCapture}. */
export interface MadeCapture {
  /** Packets in all. */
  readonly packets: number;
  /** Flows in all. */
  readonly flows: number;
  /** Payload of a data packet in bytes. */
  readonly payload: number;
  /** Bytes kept of each packet. */
  readonly snapLength: number;
  /** Flows that overlap. Default 4000. */
  readonly atOnce?: number;
  /** Packets a second of capture time. Default 20,000. */
  readonly rate?: number;
}

const CHUNK = 1 << 22;

/**
 * Writes a pcap file with frames of Ethernet: nine flows in ten are TCP over IPv4 (a SYN, a SYN-ACK, data
 * and acknowledgements, a FIN), the others UDP, half of these over IPv6. (66 bytes do not hold a TCP header
 * over IPv6.) Which flow sends next is drawn from those that are open. The same arguments make the same file.
 */
export async function makeCapture(path: string, made: MadeCapture): Promise<void> {
  const { packets, flows, payload, snapLength, atOnce = 4000, rate = 20_000 } = made;
  const each = Math.max(2, Math.floor(packets / flows));
  const file = await Deno.open(path, { write: true, create: true, truncate: true });
  const largest = 16 + 14 + 40 + 32 + payload;
  const buffer = new Uint8Array(CHUNK + largest);
  const view = new DataView(buffer.buffer);
  let at = 24;
  view.setUint32(0, 0xa1b2c3d4, true);
  view.setUint16(4, 2, true);
  view.setUint16(6, 4, true);
  view.setUint32(16, snapLength, true);
  view.setUint32(20, 1, true);
  let seed = 1;
  const draw = (n: number) => {
    seed = Math.imul(seed, 1664525) + 1013904223 | 0;
    return Math.floor((seed >>> 0) / 2 ** 32 * n);
  };
  // Open flows: number, packets sent, sequence numbers of both sides.
  const open = Math.min(atOnce, flows);
  const flow = Int32Array.from({ length: open }, (_, i) => i);
  const sent = new Int32Array(open);
  const sequence = [new Uint32Array(open).fill(1), new Uint32Array(open).fill(1)] as const;
  let next = open;
  let live = open;
  const started = 1_700_000_000;
  let written = 0;
  for (; written < packets && live > 0; written++) {
    const slot = draw(live);
    const number = flow[slot]!;
    const udp = number % 10 === 0;
    const six = number % 20 === 10;
    const nth = sent[slot]!++;
    // Two packets down for each acknowledgement up.
    const side = udp ? nth & 1 : nth === 0 || nth % 3 === 2 ? 0 : 1;
    const flags = nth === 0 ? 2 : nth === 1 ? 18 : nth === each - 1 ? 17 : 16;
    const data = udp || nth > 1 && side === 1 ? payload : 0;
    const transport = udp ? 8 : 32;
    const size = 14 + (six ? 40 : 20) + transport + data;
    const kept = Math.min(size, snapLength);
    const micros = written * 1e6 / rate;
    view.setUint32(at, started + Math.floor(micros / 1e6), true);
    view.setUint32(at + 4, Math.floor(micros % 1e6), true);
    view.setUint32(at + 8, kept, true);
    view.setUint32(at + 12, size, true);
    const frame = at + 16;
    buffer.fill(0, frame, frame + 14 + 40 + 32);
    buffer[frame] = 2;
    buffer[frame + 5] = 2 - side;
    buffer[frame + 6] = 2;
    buffer[frame + 11] = 1 + side;
    view.setUint16(frame + 12, six ? 0x86dd : 0x0800);
    const ip = frame + 14;
    if (six) {
      buffer[ip] = 0x60;
      view.setUint16(ip + 4, transport + data);
      buffer[ip + 6] = udp ? 17 : 6;
      buffer[ip + 7] = 64;
      for (const [end, last] of [[side, 8], [1 - side, 24]] as const) {
        view.setUint32(ip + last, 0x20010db8);
        view.setUint32(ip + last + 12, end === 0 ? number + 1 : 0xffff0000 | number % 97);
      }
    } else {
      buffer[ip] = 0x45;
      view.setUint16(ip + 2, 20 + transport + data);
      buffer[ip + 8] = 64;
      buffer[ip + 9] = udp ? 17 : 6;
      const client = 0x0a000000 | number >> 3;
      const server = 0xc6336400 | number % 97;
      view.setUint32(ip + 12, side === 0 ? client : server);
      view.setUint32(ip + 16, side === 0 ? server : client);
      let sum = 0;
      for (let i = 0; i < 20; i += 2) sum += view.getUint16(ip + i);
      sum = (sum & 0xffff) + (sum >>> 16);
      view.setUint16(ip + 10, ~((sum & 0xffff) + (sum >>> 16)) & 0xffff);
    }
    const ports = ip + (six ? 40 : 20);
    const client = 20_000 + (number & 7) * 5000 + number % 4999;
    view.setUint16(ports, side === 0 ? client : 443);
    view.setUint16(ports + 2, side === 0 ? 443 : client);
    if (udp) view.setUint16(ports + 4, 8 + data);
    else {
      view.setUint32(ports + 4, sequence[side as 0 | 1][slot]!);
      if (nth > 0) view.setUint32(ports + 8, sequence[1 - side as 0 | 1][slot]!);
      buffer[ports + 12] = 0x80;
      buffer[ports + 13] = flags;
      view.setUint16(ports + 14, 65535);
      buffer.set([1, 1, 8, 10], ports + 20);
      sequence[side as 0 | 1][slot]! += data + ((flags & 3) !== 0 ? 1 : 0);
    }
    at = frame + kept;
    if (nth === each - 1) {
      // The flow is over: another one opens, or the last of the list takes its place.
      const from = next < flows ? -1 : --live;
      flow[slot] = from < 0 ? next++ : flow[from]!;
      sent[slot] = from < 0 ? 0 : sent[from]!;
      for (const numbers of sequence) numbers[slot] = from < 0 ? 1 : numbers[from]!;
    }
    if (at > CHUNK) {
      for (let from = 0; from < at;) from += await file.write(buffer.subarray(from, at));
      at = 0;
    }
  }
  for (let from = 0; from < at;) from += await file.write(buffer.subarray(from, at));
  file.close();
  if (written !== packets) throw new Error(`made ${written} of ${packets} packets`);
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      packets: { type: "string", default: "5000000" },
      flows: { type: "string", default: "50000" },
      payload: { type: "string", default: "1400" },
      snap: { type: "string", default: "66" },
    },
  });
  await makeCapture(positionals[0] ?? "made.pcap", {
    packets: Number(values.packets),
    flows: Number(values.flows),
    payload: Number(values.payload),
    snapLength: Number(values.snap),
  });
}
