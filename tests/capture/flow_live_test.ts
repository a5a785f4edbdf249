import assert from "node:assert/strict";
import { encodeTcpPacket } from "../../capture/encode_tcp.ts";
import type { FlowRecord } from "../../capture/flow.ts";
import { type BurstRecord, FlowTable } from "../../capture/flow_table.ts";
import { LinkType } from "../../capture/link_type.ts";
import { captureLive, LiveCaptureError } from "../../capture/live.ts";
import {
  flowsLive,
  flowsOfStream,
  type FlowTimer,
  watchSilence,
} from "../../capture/live_flows.ts";
import { recordToFile } from "../../capture/record.ts";
import { readCapture } from "../../capture/read_capture.ts";
import { packetOf } from "./flow_support.ts";
import { join, LITTLE } from "./reader_support.ts";

/** Virtual time: callbacks come when `pass` says so. */
class Clock implements FlowTimer {
  time = 0;
  #timers: { every: number; due: number; callback: () => void }[] = [];
  now() {
    return this.time;
  }
  every(milliseconds: number, callback: () => void) {
    const timer = { every: milliseconds, due: this.time + milliseconds, callback };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((one) => one !== timer);
    };
  }
  pass(milliseconds: number) {
    const end = this.time + milliseconds;
    for (;;) {
      const next = this.#timers.toSorted((a, b) => a.due - b.due)[0];
      if (next === undefined || next.due > end) break;
      this.time = Math.max(this.time, next.due);
      next.due = this.time + next.every;
      next.callback();
    }
    this.time = end;
  }
  get timers() {
    return this.#timers.length;
  }
}

const PACKET = { from: "10.0.0.1|40000", to: "10.0.0.2|443" };

Deno.test("silence ends a burst within a fifth of a second, and never earlier", () => {
  for (let offset = 0; offset < 100; offset += 7) {
    const clock = new Clock();
    let ended: number | undefined;
    const table = new FlowTable({ onFlow() {}, onBurst: () => ended = clock.time });
    const stop = watchSilence(table, 1000, clock);
    clock.pass(3000 + offset);
    table.push(packetOf({ ...PACKET, time: 0 }));
    clock.pass(999);
    table.push(packetOf({ ...PACKET, time: 999 }));
    const last = clock.time;
    clock.pass(5000);
    assert.ok(ended! > last + 1000 && ended! <= last + 1200, `${ended! - last}`);
    assert.equal(table.bursts, 1);
    stop();
    assert.equal(clock.timers, 0);
  }
});

Deno.test("packets that waited while the process was busy are not cut off", () => {
  const clock = new Clock();
  const table = new FlowTable({ onFlow() {} });
  watchSilence(table, 1000, clock);
  table.push(packetOf({ ...PACKET, time: 0 }));
  clock.pass(60);
  // Nothing runs for three seconds; then one look, and then the packets come.
  clock.time += 3000;
  clock.pass(1);
  table.push(packetOf({ ...PACKET, time: 900 }));
  clock.pass(500);
  assert.equal(table.bursts, 0);
  clock.pass(2000);
  assert.equal(table.bursts, 1);
});

Deno.test("a stream that is still being written: the burst is reported while it lasts", async () => {
  const frame = encodeTcpPacket(LinkType.raw, {
    source: { address: "10.0.0.1", port: 40000 },
    destination: { address: "10.0.0.2", port: 443 },
    sequence: 1,
    flags: 2,
  });
  const clock = new Clock();
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  const bursts: BurstRecord[] = [];
  const stop = new AbortController();
  const summary = flowsOfStream(
    { name: "pipe", stream: readable },
    { onFlow() {}, onBurst: (burst) => bursts.push(burst) },
    { timer: clock, signal: stop.signal },
  );
  await writer.write(join(LITTLE.pcap(LinkType.raw), LITTLE.record(1, 0, frame)));
  await new Promise((done) => setTimeout(done));
  clock.pass(1200);
  assert.equal(bursts.length, 1);
  await writer.write(LITTLE.record(3, 0, frame));
  await new Promise((done) => setTimeout(done));
  stop.abort();
  const { packets, records, capture } = await summary;
  assert.deepEqual([packets, records, bursts.length, capture.packets], [2, 2, 2, 2]);
  assert.equal(clock.timers, 0);
});

/** Whether this process may record on the loopback interface. */
const privileged = await captureLive("lo", () => {}, { signal: AbortSignal.timeout(300) })
  .then(() => true, (error) => {
    if (error instanceof LiveCaptureError) return false;
    throw error;
  });
const hasDumpcap = await new Deno.Command("dumpcap", { args: ["--version"] }).output()
  .then(({ success }) => success, () => false);

/** Talks over loopback again and again until `done`, for a recorder needs a moment to listen. */
async function talk(port: number, done: () => boolean, pause: number): Promise<void> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port });
  for (let i = 0; i < 100 && !done(); i++) {
    const [client, server] = await Promise.all([
      Deno.connect({ hostname: "127.0.0.1", port }),
      listener.accept(),
    ]);
    await client.write(new Uint8Array(100));
    await server.read(new Uint8Array(100));
    client.close();
    server.close();
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
  listener.close();
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return (listener.addr as Deno.NetAddr).port;
}

for (const program of ["tcpdump", "dumpcap"]) {
  Deno.test({
    name: `privileged: flows of the loopback interface by ${program}, with its count of drops`,
    ignore: !privileged || program === "dumpcap" && !hasDumpcap,
    fn: async () => {
      const port = freePort();
      const stop = new AbortController();
      const flows: FlowRecord[] = [];
      const bursts: BurstRecord[] = [];
      const live = flowsLive("lo", {
        onFlow: (flow) => flows.push(flow),
        onBurst: (burst) => {
          bursts.push(burst);
          stop.abort();
        },
      }, { filter: `tcp port ${port}`, program, signal: stop.signal, burstGap: 200 });
      // No packet comes after the first burst until it has been noticed: only the timer can end it.
      await talk(port, () => bursts.length > 0, 900);
      const summary = await live;
      assert.equal(bursts.length, 1);
      assert.ok(flows.length >= 1);
      assert.equal(flows[0]!.destinationPort, port);
      assert.ok(flows[0]!.packetsSent >= 3 && flows[0]!.bytesSent > 100);
      assert.equal(summary.dropped, 0);
      assert.ok(summary.received! >= summary.packets);
    },
  });
}

Deno.test({
  name: "privileged: a recording rotates, and its files hold every packet",
  ignore: !privileged,
  fn: async () => {
    const folder = await Deno.makeTempDir();
    try {
      const port = freePort();
      const stop = new AbortController();
      let packets = 0;
      const recording = recordToFile("lo", `${folder}/r.pcap`, {
        filter: `tcp port ${port}`,
        rotate: 1000,
        signal: stop.signal,
        onProgress: (count) => packets = count,
      });
      await talk(port, () => packets > 40, 10);
      stop.abort();
      const { files, dropped, bytes, ...rest } = await recording;
      assert.equal(dropped, 0);
      assert.ok(files.length >= 3);
      let read = 0;
      let size = 0;
      for (const file of files) {
        read += (await readCapture(file, () => {})).packets;
        size += (await Deno.stat(file)).size;
        assert.ok((await Deno.stat(file)).size <= 1000);
      }
      assert.deepEqual([read, size], [rest.packets, bytes]);
      assert.deepEqual([...Deno.readDirSync(folder)].length, files.length);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test({
  name: "privileged: a filter is no option, and what cannot be recorded is one clear line",
  ignore: !privileged,
  fn: async () => {
    const folder = await Deno.makeTempDir();
    const refused = (program: string) =>
      assert.rejects(
        flowsLive("lo", { onFlow() {} }, {
          filter: `-w${folder}/x`,
          program,
          signal: AbortSignal.timeout(5000),
        }),
        (error) => error instanceof LiveCaptureError && !error.message.includes("\n"),
      );
    await refused("tcpdump");
    if (hasDumpcap) await refused("dumpcap");
    await assert.rejects(recordToFile("nosuchdevice0", `${folder}/r.pcap`), LiveCaptureError);
    assert.deepEqual([...Deno.readDirSync(folder)], []);
    await Deno.remove(folder);
  },
});
