import assert from "node:assert/strict";
import { FlowTable } from "../../capture/flow_table.ts";
import { InvalidNetworkError, parseNetwork } from "../../capture/network.ts";
import { TCP_ACK, TCP_SYN } from "../../capture/packet.ts";
import { brief, flowsOf, type MadePacket, packetOf } from "./flow_support.ts";

const A = "10.0.0.1|40000";
const B = "10.0.0.2|443";
const A6 = "2001:db8::1|40000";
const B6 = "2001:db8::2|443";

Deno.test("half flows become full ones, of TCP and UDP, of IPv4 and IPv6", () => {
  const { flows } = flowsOf([
    { time: 0, from: A, to: B, bytes: 100 },
    { time: 1, from: A6, to: B6, bytes: 200 },
    { time: 2, from: B, to: A, bytes: 1000 },
    { time: 3, from: B6, to: A6, bytes: 2000 },
    { time: 4, from: A, to: B, bytes: 10, udp: true },
    { time: 5, from: B6, to: A6, bytes: 20, udp: true },
  ]);
  assert.deepEqual(flows.map(brief), [
    "10.0.0.1|40000 10.0.0.2|443 1/1 100/1000",
    "2001:db8::1|40000 2001:db8::2|443 1/1 200/2000",
    "10.0.0.1|40000 10.0.0.2|443 1/0 10/0",
    "2001:db8::2|443 2001:db8::1|40000 1/0 20/0",
  ]);
  assert.deepEqual(flows.map(({ protocol, version }) => [protocol, version]), [
    [6, 4],
    [6, 6],
    [17, 4],
    [17, 6],
  ]);
});

Deno.test("a burst ends after more than a second of silence, not after exactly one", () => {
  const at = (time: number): MadePacket => ({ time, from: A, to: B });
  assert.equal(flowsOf([at(0), at(1000), at(2000)]).bursts.length, 1);
  const { flows, bursts } = flowsOf([at(0), at(1000), at(2000.001), at(2500)]);
  assert.deepEqual(bursts, [
    { burst: 0, first: 0, last: 1000, flows: 1, packets: 2 },
    { burst: 1, first: 2000.001, last: 2500, flows: 1, packets: 2 },
  ]);
  assert.deepEqual(flows.map(({ burst, first, last }) => [burst, first, last]), [
    [0, 0, 1000],
    [1, 2000.001, 2500],
  ]);
});

Deno.test("silence is that of all flows together", () => {
  const { flows } = flowsOf([
    { time: 0, from: A, to: B },
    { time: 900, from: A6, to: B6 },
    { time: 1800, from: A, to: B },
  ]);
  assert.deepEqual(flows.map(({ burst, packetsSent }) => [burst, packetsSent]), [[0, 2], [0, 1]]);
});

Deno.test("a clock that steps back far ends the burst, a little disorder does not", () => {
  const at = (time: number): MadePacket => ({ time, from: A, to: B });
  const { bursts } = flowsOf([at(5000), at(4999), at(5001), at(100), at(200)]);
  assert.deepEqual(bursts.map(({ first, last }) => [first, last]), [[4999, 5001], [100, 200]]);
});

Deno.test("a burst may be bounded in time", () => {
  const packets = Array.from({ length: 10 }, (_, i) => ({ time: i * 500, from: A, to: B }));
  const { bursts } = flowsOf(packets, { maxBurst: 2000 });
  assert.deepEqual(bursts.map(({ packets }) => packets), [5, 5]);
});

Deno.test("the source sent the SYN, or the first packet", () => {
  const first = (flows: ReturnType<typeof flowsOf>) => flows.flows.map(brief);
  assert.deepEqual(first(flowsOf([{ time: 0, from: B, to: A }])), [
    "10.0.0.2|443 10.0.0.1|40000 1/0 60/0",
  ]);
  assert.deepEqual(
    first(flowsOf([
      { time: 0, from: B, to: A },
      { time: 1, from: A, to: B, flags: TCP_SYN },
      { time: 2, from: B, to: A, flags: TCP_SYN | TCP_ACK },
    ])),
    ["10.0.0.1|40000 10.0.0.2|443 1/2 60/120"],
  );
  // The SYN is missing: its answer tells as much.
  assert.deepEqual(first(flowsOf([{ time: 0, from: B, to: A, flags: TCP_SYN | TCP_ACK }])), [
    "10.0.0.1|40000 10.0.0.2|443 0/1 0/60",
  ]);
});

Deno.test("the end in a local network is the source, whoever spoke first", () => {
  const packets = [{ time: 0, from: B, to: A }, { time: 1, from: B6, to: A6 }];
  const local = ["10.0.0.1", "2001:db8::/127"];
  assert.deepEqual(flowsOf(packets, { local }).flows.map(brief), [
    "10.0.0.1|40000 10.0.0.2|443 0/1 0/60",
    "2001:db8::1|40000 2001:db8::2|443 0/1 0/60",
  ]);
  assert.deepEqual(
    flowsOf(packets, { local: ["10.0.0.0/24"] }).flows.map(brief)[0],
    [
      "10.0.0.2|443 10.0.0.1|40000 1/0 60/0",
    ][0],
  );
  for (const text of ["", "10.0.0.0/33", "10.0.0.0/", "::/129", "host", "10.0.0.0/8/8", "/8"]) {
    assert.throws(() => parseNetwork(text), InvalidNetworkError, text);
  }
  assert.ok(parseNetwork("0.0.0.0/0").contains(new Uint8Array(4), 0));
});

Deno.test("bytes are those of IP packets or of frames", () => {
  const packets = [{ time: 0, from: A, to: B, bytes: 100 }];
  assert.equal(flowsOf(packets).flows[0]!.bytesSent, 100);
  assert.equal(flowsOf(packets, { bytes: "frame" }).flows[0]!.bytesSent, 114);
});

Deno.test("reused ports: one flow, or one for each SYN with a new sequence number", () => {
  const packets: MadePacket[] = [
    { time: 0, from: A, to: B, flags: TCP_SYN, sequence: 7 },
    { time: 1, from: A, to: B, flags: TCP_SYN, sequence: 7 },
    { time: 2, from: B, to: A },
    { time: 3, from: A, to: B, flags: TCP_SYN, sequence: 2 ** 32 - 1 },
    { time: 4, from: B, to: A },
    { time: 5, from: A, to: B, flags: TCP_SYN, sequence: 2 ** 32 - 1 },
  ];
  assert.deepEqual(flowsOf(packets).flows.map(brief), ["10.0.0.1|40000 10.0.0.2|443 4/2 240/120"]);
  const { flows } = flowsOf(packets, { splitReused: true, packets: true });
  assert.deepEqual(flows.map((flow) => [brief(flow), flow.end, [...flow.lengths!]]), [
    ["10.0.0.1|40000 10.0.0.2|443 2/1 120/60", "reused", [60, 60, -60]],
    ["10.0.0.1|40000 10.0.0.2|443 2/1 120/60", "burst", [60, -60, 60]],
  ]);
});

Deno.test("packets are kept with sign and time, up to the limit of a flow", () => {
  const packets: MadePacket[] = [
    { time: 100, from: B, to: A, bytes: 1 },
    { time: 101, from: A, to: B, bytes: 2, flags: TCP_SYN },
    { time: 102, from: A, to: B, bytes: 3, udp: true },
    { time: 99, from: B, to: A, bytes: 4 },
    { time: 105, from: B, to: A, bytes: 5 },
  ];
  const { flows } = flowsOf(packets, { packets: true, maxPackets: 3 });
  assert.deepEqual(flows.map(({ lengths, times }) => [[...lengths!], [...times!]]), [
    [[-1, 2, -4], [1, 2, 0]],
    [[3], [0]],
  ]);
  assert.equal(flows[0]!.packetsReceived, 3);
  assert.equal(flowsOf(packets).flows[0]!.lengths, undefined);
});

Deno.test("ten times more flows than the limit: never more live, the idle ones first, nothing lost", () => {
  const maxFlows = 500;
  const counts = new Map<string, number>();
  let sum = 0;
  const packets = (function* (): Generator<MadePacket> {
    for (let i = 0; i < 10 * maxFlows; i++) {
      yield { time: i / 10, from: `10.1.${i >> 8}.${i & 255}|${1000 + i}`, to: B, bytes: 100 };
      // One flow that never rests is not evicted.
      yield { time: i / 10, from: A, to: B, bytes: 7 };
    }
  })();
  const { flows, table, bursts } = flowsOf(packets, { maxFlows });
  assert.equal(bursts.length, 1);
  assert.equal(bursts[0]!.flows, flows.length);
  for (const flow of flows) {
    sum += flow.bytesSent;
    counts.set(flow.end, (counts.get(flow.end) ?? 0) + 1);
  }
  assert.equal(sum, 10 * maxFlows * 107);
  assert.equal(flows.length, 10 * maxFlows + 1);
  assert.equal(counts.get("evicted"), table.evicted);
  assert.ok(counts.get("burst")! <= maxFlows);
  const busy = flows.filter(({ sourceAddress }) => sourceAddress === "10.0.0.1");
  assert.deepEqual(busy.map(({ packetsSent, end }) => [packetsSent, end]), [[5000, "burst"]]);
});

Deno.test("no more flows are live than the limit allows, at any time", () => {
  const maxFlows = 64;
  const table = new FlowTable({ onFlow() {} }, { maxFlows });
  for (let i = 0; i < 1000; i++) {
    table.push(packetOf({ time: i, from: `10.0.${i >> 8}.${i & 255}|5`, to: B }));
    assert.ok(table.live <= maxFlows);
  }
  assert.ok(table.evicted >= 1000 - maxFlows);
});

Deno.test("kept packets are bounded over all flows together", () => {
  const packets = Array.from({ length: 3000 }, (_, i) => ({
    time: i,
    from: `10.0.0.${i % 50}|${1000 + i % 50}`,
    to: B,
    bytes: i,
  }));
  const { flows, table } = flowsOf(packets, { packets: true, maxKeptPackets: 200 });
  assert.ok(table.evicted > 0);
  let lengths = 0;
  for (const flow of flows) {
    assert.equal(flow.lengths!.length, flow.packetsSent);
    lengths += flow.lengths!.reduce((total, bytes) => total + bytes, 0);
  }
  assert.equal(lengths, 2999 * 3000 / 2);
});

Deno.test("many small bursts do not pay for a large one before", () => {
  const packets: MadePacket[] = [];
  for (let i = 0; i < 20_000; i++) {
    packets.push({ time: 0, from: `10.${i >> 16}.${i >> 8 & 255}.${i & 255}|9`, to: B });
  }
  for (let i = 1; i <= 20_000; i++) packets.push({ time: 2000 * i, from: A, to: B });
  const { bursts, flows } = flowsOf(packets);
  assert.equal(bursts.length, 20_001);
  assert.equal(flows.length, 40_000);
});
