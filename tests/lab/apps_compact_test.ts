import assert from "node:assert/strict";
import fc from "fast-check";
import { encodeCapture, type FlowRecord, LinkType, readFlows } from "../../capture/mod.ts";
import { compact, COMPACT_TICK, compactRecordings } from "../../lab/apps/compact.ts";

interface Drawn {
  readonly gap: number;
  readonly client: number;
  readonly up: boolean;
  readonly udp: boolean;
  readonly payload: number;
  readonly options: number;
}

/** An Ethernet frame, cut to 96 bytes as the recorder cuts it. */
function frame({ client, up, udp, payload, options }: Drawn): { data: Uint8Array; length: number } {
  const header = udp ? 8 : 20 + 4 * options;
  const length = 14 + 20 + header + payload;
  const data = new Uint8Array(length);
  const view = new DataView(data.buffer);
  view.setUint16(12, 0x0800);
  data[14] = 0x45;
  view.setUint16(16, length - 14);
  view.setUint16(18, 4711);
  data[23] = udp ? 17 : 6;
  data.set(up ? [192, 168, 12, 100, 198, 18, 0, 9] : [198, 18, 0, 9, 192, 168, 12, 100], 26);
  view.setUint16(34, up ? 40_000 + client : 443);
  view.setUint16(36, up ? 443 : 40_000 + client);
  if (udp) view.setUint16(38, 8 + payload);
  else {
    view.setUint32(38, 123_456);
    data[46] = (5 + options) << 4;
    data[47] = 0x18;
  }
  return { data: data.slice(0, 96), length };
}

async function flowsOf(path: string): Promise<FlowRecord[]> {
  const flows: FlowRecord[] = [];
  await readFlows(path, { onFlow: (flow) => flows.push(structuredClone(flow)) }, { packets: true });
  return flows;
}

Deno.test("apps: a compact capture has the same flows, packets and lengths, at rounded times", async () => {
  const folder = await Deno.makeTempDir();
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          gap: fc.oneof(fc.double({ min: 0, max: 900, noNaN: true }), fc.constant(1500)),
          client: fc.integer({ min: 0, max: 3 }),
          up: fc.boolean(),
          udp: fc.boolean(),
          payload: fc.integer({ min: 0, max: 1400 }),
          options: fc.integer({ min: 0, max: 10 }),
        }),
        { minLength: 1, maxLength: 60 },
      ),
      async (packets) => {
        let time = 1_700_000_000_000;
        const records = packets.map((packet) => {
          time += packet.gap;
          const { data, length } = frame(packet);
          return { time, data, wireLength: length };
        });
        const bytes = ReadableStream.from(records)
          .pipeThrough(encodeCapture({ format: "pcap", linkType: LinkType.ethernet }));
        await Deno.writeFile(`${folder}/a.pcap`, bytes);
        const report = await compact(`${folder}/a.pcap`, `${folder}/b.pcap.gz`);
        assert.deepEqual([report.packets, report.leftOut], [packets.length, 0]);
        const [before, after] = [
          await flowsOf(`${folder}/a.pcap`),
          await flowsOf(`${folder}/b.pcap.gz`),
        ];
        const shape = (flow: FlowRecord) => ({ ...flow, first: 0, last: 0, times: undefined });
        assert.deepEqual(after.map(shape), before.map(shape));
        for (const [index, { times }] of before.entries()) {
          const rounded = after[index]!.times!;
          for (const [at, time] of times!.entries()) {
            assert.ok(Math.abs(time - rounded[at]!) <= COMPACT_TICK + 0.001);
          }
        }
      },
    ),
    { numRuns: 60 },
  );
  await Deno.remove(folder, { recursive: true });
});

Deno.test("apps: a folder without recordings is one clear line", async () => {
  const folder = await Deno.makeTempDir();
  await assert.rejects(compactRecordings(folder, `${folder}/out`), /^NoRecordings: [^\n]+$/);
  await Deno.remove(folder, { recursive: true });
});
