import assert from "node:assert/strict";
import { TruncatedCaptureError, UnreadableCaptureError } from "../../capture/capture_error.ts";
import type { Connection } from "../../capture/connection.ts";
import { LinkType } from "../../capture/link_type.ts";
import { messagesOf } from "../../capture/messages.ts";
import type { Packet } from "../../capture/packet.ts";
import {
  captureNames,
  readConnections,
  readMergedConnections,
} from "../../capture/read_connections.ts";
import { mergeCaptures } from "../../capture/stream_merge.ts";
import { encodeCapture } from "../../capture/write_capture.ts";
import { frameOf, Talk, totals } from "./tcp_talk.ts";

/** The packets as a pcap file. */
function file(packets: readonly Packet[]): ReadableStream<Uint8Array> {
  const records = packets.map((packet) => ({
    time: packet.time,
    data: frameOf(packet, LinkType.raw),
  }));
  return ReadableStream.from(records).pipeThrough(
    encodeCapture({ linkType: LinkType.raw, format: "pcap" }),
  );
}

function dialogue(clientPort: number, start: number): Talk {
  const talk = new Talk({ clientPort, start }).open(40);
  for (let i = 0; i < 30; i++) talk.wait(5).send(0, 100 + i).wait(50).send(1, 1000).send(1, 300);
  return talk.close();
}

const one = dialogue(50_001, 1_000_000).packets;
const two = dialogue(50_002, 1_000_700).packets;
const both = [...one, ...two].sort((a, b) => a.time - b.time);

function shapes(connections: readonly Connection[]): unknown[] {
  return connections
    .toSorted((a, b) => a.clientPort - b.clientPort)
    .map((c) => messagesOf(c, { handshake: "included" }).map(({ side, size }) => [side, size]));
}

Deno.test("connections of several captures, each a group of its own", async () => {
  const connections: Connection[] = [];
  const results = await readConnections([
    { name: "runs/a/trace.pcap", stream: file(one) },
    { name: "runs/b/trace.pcap", stream: file(two) },
  ], { onConnection: (connection) => connections.push(connection) });
  assert.deepEqual(connections.map(({ capture }) => capture), ["a/trace", "b/trace"]);
  assert.deepEqual(results.map((result) => result.connections.connections), [1, 1]);
  assert.equal(results[0]!.packets.packets, one.length);
  assert.deepEqual(totals(connections[0]!), [30 * 100 + 435, 30 * 1300]);
});

Deno.test("traces with one direction a file are read as one", async () => {
  const whole: Connection[] = [];
  await readConnections({ name: "whole.pcap", stream: file(both) }, {
    onConnection: (connection) => whole.push(connection),
  });
  const merged: Connection[] = [];
  const result = await readMergedConnections([
    { name: "out.pcap", stream: file(both.filter((packet) => packet.destinationPort === 443)) },
    { name: "in.pcap", stream: file(both.filter((packet) => packet.sourcePort === 443)) },
  ], { onConnection: (connection) => merged.push(connection), capture: "both ways" });
  assert.equal(result.connections.oneSided, 0);
  assert.deepEqual(merged.map(({ capture }) => capture), ["both ways", "both ways"]);
  assert.deepEqual(shapes(merged), shapes(whole));
});

Deno.test("a merge keeps the order of time and reads no file far ahead", async () => {
  const many: Packet[] = [];
  for (let i = 0; i < 40; i++) many.push(...dialogue(40_000 + i, 1_000_000 + 2000 * i).packets);
  let pulled = 0;
  const chunks = await Array.fromAsync(file(many));
  const bytes = new Uint8Array(await new Blob(chunks as Uint8Array<ArrayBuffer>[]).arrayBuffer());
  const slow = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (pulled === bytes.length) return controller.close();
      const chunk = bytes.subarray(pulled, pulled += Math.min(4096, bytes.length - pulled));
      controller.enqueue(chunk);
    },
  }, { highWaterMark: 0 });
  let last = -Infinity;
  let count = 0;
  let pulledEarly = -1;
  const summaries = await mergeCaptures([
    { name: "early", stream: file(one) },
    { name: "long", stream: slow },
  ], (packet) => {
    assert.ok(packet.time >= last);
    assert.equal(packet.index, count++);
    last = packet.time;
    if (count === 10) pulledEarly = pulled;
  });
  assert.equal(count, one.length + many.length);
  assert.ok(pulledEarly <= 8192, `${pulledEarly} bytes read for ten packets`);
  assert.deepEqual(summaries.map(({ name }) => name), ["early", "long"]);
});

Deno.test("a merge fails as reading does, and lets the other files go", async () => {
  const bytes = new Uint8Array(
    await new Blob(await Array.fromAsync(file(two)) as Uint8Array<ArrayBuffer>[]).arrayBuffer(),
  );
  const cut = bytes.subarray(0, bytes.length - 7);
  const sources = () => [
    { name: "whole.pcap", stream: file(one) },
    { name: "cut.pcap", stream: new Blob([cut]).stream() },
  ];
  await assert.rejects(mergeCaptures(sources(), () => {}), TruncatedCaptureError);
  const [, second] = await mergeCaptures(sources(), () => {}, { allowTruncated: true });
  assert.ok(second!.truncatedAt !== undefined);
  const folder = await Deno.makeTempDir();
  try {
    const missing = [`${folder}/none.pcap`, { name: "whole.pcap", stream: file(one) }];
    await assert.rejects(
      mergeCaptures(missing, () => {}),
      (error) => error instanceof UnreadableCaptureError && /no such file/.test(error.message),
    );
    const path = `${folder}/one.pcap`;
    await Deno.writeFile(path, file(one));
    let count = 0;
    await mergeCaptures([path, path], () => count++);
    assert.equal(count, 2 * one.length);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("group names: no longer than needed, and never equal", () => {
  assert.deepEqual(captureNames(["x/run-1.pcap.gz", "y/run-1.pcapng", "run-2.cap"]), [
    "x/run-1",
    "y/run-1",
    "run-2",
  ]);
  assert.deepEqual(captureNames(["a/x/r.pcap", "b/x/r.pcap"]), ["a/x/r", "b/x/r"]);
  assert.deepEqual(captureNames(["r.pcap", "r.pcap", "-"]), ["r", "r#2", "-"]);
  assert.deepEqual(captureNames(["r.pcap", "s/r.pcap"]), ["r", "s/r"]);
});
