import assert from "node:assert/strict";
import fc from "fast-check";
import { CaptureParser } from "../../capture/capture_parser.ts";
import { encodeTcpPacket } from "../../capture/encode_tcp.ts";
import { flowLine, type FlowOptions, type FlowRecord } from "../../capture/flow.ts";
import { FlowTable } from "../../capture/flow_table.ts";
import { LinkType } from "../../capture/link_type.ts";
import { brief, flowsOf, type MadePacket } from "./flow_support.ts";
import { join, LITTLE } from "./reader_support.ts";

const ENDS = [
  ["10.0.0.1|1000", "10.0.0.2|443"],
  ["10.0.0.1|443", "10.0.0.2|1000"],
  ["10.0.0.2|1000", "10.0.0.1|1000"],
  ["10.0.0.1|1000", "10.0.0.1|1000"],
  ["2001:db8::1|1000", "2001:db8::2|443"],
  ["2001:db8::1:0:0:1|1000", "2001:db8::2|443"],
  ["10.0.0.1|0", "0.0.0.0|65535"],
] as const;

const packet: fc.Arbitrary<Omit<MadePacket, "time"> & { after: number; flow: number }> = fc.record({
  flow: fc.nat(ENDS.length - 1),
  turned: fc.boolean(),
  udp: fc.boolean(),
  flags: fc.constantFrom(2, 16, 16, 16, 17, 18),
  sequence: fc.nat(3),
  bytes: fc.integer({ min: 20, max: 70_000 }),
  after: fc.constantFrom(0, 0, 1, 5.25, 400, 999, 1000, 1000.5, 3000, -1, -1500),
}).map(({ flow, turned, ...rest }) => ({
  ...rest,
  flow: 2 * flow + +rest.udp,
  from: ENDS[flow]![turned ? 1 : 0],
  to: ENDS[flow]![turned ? 0 : 1],
}));

const packets = fc.array(packet, { maxLength: 60 }).map((steps) => {
  let time = 10_000;
  return steps.map(({ after, ...rest }) => ({ ...rest, time: time += after }));
});

/** The same by plain objects, as the definition reads. */
function reference(made: readonly MadePacket[], gap: number): string[] {
  const lines: string[] = [];
  let flows = new Map<string, { a: string; b: string; udp: boolean; kept: MadePacket[] }>();
  let last = NaN;
  const end = () => {
    for (const { a, b, udp, kept } of flows.values()) {
      const syn = kept.find(({ flags }) => !udp && (flags! & 2) !== 0);
      const source = syn === undefined
        ? kept[0]!.from
        : (syn.flags! & 16) === 0
        ? syn.from
        : syn.to;
      const peer = source === a ? b : a;
      const sent = kept.filter(({ from, to }) => from === source && (to === peer || a === b));
      const received = a === b ? [] : kept.filter(({ from }) => from !== source);
      const bytes = (some: MadePacket[]) => some.reduce((sum, { bytes }) => sum + bytes!, 0);
      lines.push(
        `${Math.min(...kept.map(({ time }) => time))} ${source} ${peer} ` +
          `${sent.length}/${received.length} ${bytes(sent)}/${bytes(received)}`,
      );
    }
    flows = new Map();
  };
  for (const one of made) {
    if (one.time - last > gap || last - one.time > gap) {
      end();
      last = NaN;
    }
    last = one.time > last || Number.isNaN(last) ? one.time : last;
    const [a, b] = one.from < one.to ? [one.from, one.to] : [one.to, one.from];
    const key = `${one.udp} ${a} ${b}`;
    if (!flows.has(key)) flows.set(key, { a, b, udp: one.udp!, kept: [] });
    flows.get(key)!.kept.push(one);
  }
  end();
  return lines;
}

Deno.test("flows are what the definition says", () => {
  fc.assert(
    fc.property(packets, fc.constantFrom(1000, 300, Infinity), (made, burstGap) => {
      const { flows } = flowsOf(made, { burstGap });
      assert.deepEqual(
        flows.map((flow) => `${flow.first} ${brief(flow)}`),
        reference(made, burstGap),
      );
    }),
    { numRuns: 500 },
  );
});

/** Everything of a record that can be told apart. */
function whole(flow: FlowRecord): string {
  return JSON.stringify({ ...flow, lengths: flow.lengths?.join(), times: flow.times?.join() });
}

Deno.test("neither the hash seed nor the order of interleaved connections matters", () => {
  fc.assert(
    fc.property(packets, fc.integer(), fc.infiniteStream(fc.nat()), (made, hashSeed, picks) => {
      // All in one burst, each connection's packets in their order, the connections in any.
      const options: FlowOptions = { burstGap: Infinity, packets: true, splitReused: true };
      const queues = new Map<number, MadePacket[]>();
      for (const one of made) queues.set(one.flow, [...queues.get(one.flow) ?? [], one]);
      const shuffled: MadePacket[] = [];
      while (queues.size > 0) {
        const keys = [...queues.keys()];
        const key = keys[picks.next().value % keys.length]!;
        const queue = queues.get(key)!;
        shuffled.push(queue.shift()!);
        if (queue.length === 0) queues.delete(key);
      }
      assert.deepEqual(
        flowsOf(shuffled, { ...options, hashSeed }).flows.map(whole).toSorted(),
        flowsOf(made, options).flows.map(whole).toSorted(),
      );
    }),
  );
});

Deno.test("records sum to the whole, over bursts, evictions and limits", () => {
  fc.assert(
    fc.property(
      packets,
      fc.record({
        burstGap: fc.constantFrom(1, 1000, Infinity),
        maxBurst: fc.constantFrom(50, Infinity),
        maxFlows: fc.integer({ min: 1, max: 5 }),
        maxKeptPackets: fc.integer({ min: 1, max: 20 }),
        packets: fc.boolean(),
        splitReused: fc.boolean(),
      }),
      (made, options) => {
        const { flows, bursts, table } = flowsOf(made, options);
        const half = (from: string, to: string, udp: boolean) => `${udp} ${from} ${to}`;
        const expected = new Map<string, [number, number]>();
        const found = new Map<string, [number, number]>();
        const add = (sums: typeof found, key: string, packets: number, bytes: number) => {
          if (packets === 0) return;
          const sum = sums.get(key) ?? [0, 0];
          sums.set(key, [sum[0] + packets, sum[1] + bytes]);
        };
        for (const { from, to, udp, bytes } of made) {
          add(expected, half(from, to, udp!), 1, bytes!);
        }
        for (const flow of flows) {
          const source = `${flow.sourceAddress}|${flow.sourcePort}`;
          const destination = `${flow.destinationAddress}|${flow.destinationPort}`;
          const udp = flow.protocol === 17;
          add(found, half(source, destination, udp), flow.packetsSent, flow.bytesSent);
          add(found, half(destination, source, udp), flow.packetsReceived, flow.bytesReceived);
          if (options.packets) {
            assert.equal(flow.lengths!.length, flow.packetsSent + flow.packetsReceived);
            const sent = flow.lengths!.filter((bytes) => bytes > 0);
            assert.equal(sent.reduce((sum, bytes) => sum + bytes, 0), flow.bytesSent);
          }
        }
        assert.deepEqual([...found].toSorted(), [...expected].toSorted());
        assert.equal(table.packets, made.length);
        assert.equal(table.records, flows.length);
        assert.equal(bursts.reduce((sum, { packets }) => sum + packets, 0), made.length);
        assert.equal(bursts.reduce((sum, { flows }) => sum + flows, 0), flows.length);
        assert.equal(table.live, 0);
      },
    ),
    { numRuns: 400 },
  );
});

/** A capture of some connections, as bytes. */
function captureOf(count: number): Uint8Array {
  const records = Array.from({ length: count }, (_, i) => {
    const [a, b] = ENDS[i * 5 % ENDS.length]!;
    const [from, to] = i % 3 === 0 ? [b, a] : [a, b];
    const end = (text: string) => {
      const [address, port] = text.split("|");
      return { address: address!, port: Number(port) };
    };
    const frame = encodeTcpPacket(LinkType.raw, {
      source: end(from),
      destination: end(to),
      sequence: i,
      flags: i % 7 === 0 ? 2 : 16,
      payload: i * 37 % 200,
    });
    return LITTLE.record(1000 + (i >> 2), i % 4 * 200_000, frame);
  });
  return join(LITTLE.pcap(LinkType.raw), ...records);
}

Deno.test("flows do not depend on how the bytes of a capture are cut", () => {
  const bytes = captureOf(60);
  const run = (pieces: Iterable<Uint8Array>) => {
    const lines: string[] = [];
    const table = new FlowTable({ onFlow: (flow) => lines.push(flowLine(flow) + whole(flow)) }, {
      packets: true,
      burstGap: 250,
    });
    const parser = new CaptureParser("made", (packet) => table.push(packet));
    for (const piece of pieces) parser.push(piece);
    parser.finish();
    table.endBurst();
    return lines;
  };
  const expected = run([bytes]);
  assert.ok(expected.length > 30);
  fc.assert(
    fc.property(fc.array(fc.nat(bytes.length), { maxLength: 40 }), (cuts) => {
      const places = [0, ...cuts.toSorted((a, b) => a - b), bytes.length];
      const pieces = places.slice(1).map((to, i) => bytes.slice(places[i]!, to));
      assert.deepEqual(run(pieces), expected);
    }),
  );
});
