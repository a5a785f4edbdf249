import assert from "node:assert/strict";
import { TCP_ACK, TCP_SYN } from "../../capture/packet.ts";
import { TcpAssembler } from "../../capture/tcp_assembler.ts";
import { assemble, assembleOne, Talk, totals } from "./tcp_talk.ts";

Deno.test("a whole connection: sides, sizes, round trips and close", () => {
  const talk = new Talk().open(40, 3).wait(1).send(0, 100).wait(45).send(1, 1448).send(1, 52)
    .wait(10).close();
  const connection = assembleOne(talk.packets);
  assert.equal(connection.clientAddress, "10.0.0.1");
  assert.equal(connection.serverAddress, "10.0.0.200");
  assert.equal(connection.serverPort, 443);
  assert.equal(connection.start, "syn");
  assert.deepEqual(connection.rtt, { server: 40, client: 3 });
  assert.deepEqual(totals(connection), [100, 1500]);
  assert.deepEqual([...connection.segments.time.subarray(0, 3)], [44, 89, 89]);
  assert.deepEqual([...connection.segments.acked.subarray(0, 3)], [0, 100, 100]);
  assert.deepEqual(connection.end, { how: "fin", by: 0, time: 99 });
  assert.deepEqual(connection.missingBytes, [0, 0]);
  assert.equal(connection.oneSided, false);
});

Deno.test("every packet twice changes nothing", () => {
  const talk = new Talk().open(40).send(0, 100).wait(45).send(1, 1448).send(1, 52).close();
  const once = assembleOne(talk.packets);
  const twice = assembleOne(talk.packets.flatMap((packet) => [packet, packet]));
  assert.deepEqual(totals(twice), totals(once));
  assert.equal(twice.segments.length, once.segments.length);
  assert.deepEqual(twice.end, once.end);
});

Deno.test("a retransmission that brings new bytes adds only those", () => {
  const talk = new Talk().open().send(0, 100);
  talk.next[0] -= 60;
  talk.send(0, 100).close();
  const { segments } = assembleOne(talk.packets);
  assert.deepEqual([...segments.size.subarray(0, segments.length)], [100, 40]);
  assert.deepEqual([...segments.offset.subarray(0, segments.length)], [0, 100]);
});

Deno.test("keep-alives and zero-window probes are not data", () => {
  const talk = new Talk().open().send(0, 500);
  talk.ack(1).wait(30_000);
  talk.next[0] -= 1;
  talk.packet(0, TCP_ACK, new Uint8Array(1)); // keep-alive: the last byte again
  talk.next[0] += 1;
  talk.wait(10).ack(1);
  // A probe: one byte that the receiver does not take, sent again later with its successors.
  talk.packet(0, TCP_ACK, new Uint8Array(1));
  talk.packet(1, TCP_ACK).wait(1000).send(0, 200).close();
  const { segments } = assembleOne(talk.packets);
  assert.deepEqual([...segments.size.subarray(0, segments.length)], [500, 200]);
});

Deno.test("a lone byte that the peer acknowledged stays a segment", () => {
  const talk = new Talk().open().send(0, 1).ack(1).send(0, 1).ack(1).send(0, 20).close();
  const { segments } = assembleOne(talk.packets);
  assert.deepEqual([...segments.size.subarray(0, segments.length)], [1, 1, 20]);
});

Deno.test("the same four-tuple used again is another connection", () => {
  const first = new Talk().open().send(0, 10).send(1, 20).close();
  const second = new Talk({ isn: [777_777, 99], start: first.time + 5000 }).open().send(0, 30);
  second.send(1, 40).rst(0);
  const [a, b] = assemble([...first.packets, ...second.packets]);
  assert.deepEqual(totals(a!), [10, 20]);
  assert.deepEqual(totals(b!), [30, 40]);
  assert.deepEqual([a!.index, b!.index], [0, 1]);
  assert.equal(b!.end.how, "rst");
});

Deno.test("the same four-tuple with the same sequence numbers, long after the close", () => {
  const first = new Talk().open().send(0, 10).send(1, 20).close();
  const second = new Talk({ start: first.time + 5000 }).open().send(0, 30).close();
  assert.deepEqual(
    assemble([...first.packets, ...second.packets]).map(totals),
    [[10, 20], [30, 0]],
  );
});

Deno.test("a SYN that the capture shows late opens no second connection", () => {
  const { packets } = new Talk().open().send(0, 10).send(1, 20).close();
  const [syn, ...rest] = packets;
  const connection = assembleOne([...rest, { ...syn!, time: rest.at(-1)!.time + 1 }]);
  assert.deepEqual(totals(connection), [10, 20]);
  assert.equal(connection.start, "syn");
});

Deno.test("late packets of a closed connection make no new one", () => {
  const talk = new Talk().open().send(0, 10).close().wait(3000).ack(1);
  assert.equal(assemble(talk.packets).length, 1);
});

Deno.test("without a SYN the well-known port is the server's, else the lower one", () => {
  const sides = (clientPort: number, serverPort: number) => {
    const talk = new Talk({ clientPort, serverPort }).send(1, 10).send(0, 20);
    const connection = assembleOne(talk.packets);
    assert.equal(connection.start, "midstream");
    return [connection.clientPort, connection.serverPort];
  };
  assert.deepEqual(sides(50000, 443), [50000, 443]);
  assert.deepEqual(sides(21000, 22000), [22000, 21000]);
  assert.deepEqual(sides(1024, 8443), [1024, 8443]);
});

Deno.test("bytes in flight when the capture began are not missing", () => {
  const talk = new Talk();
  talk.packet(0, TCP_ACK); // acknowledges 5000, while 5000..6000 is on its way unseen
  talk.next[1] += 1000;
  talk.send(1, 100);
  const connection = assembleOne(talk.packets);
  assert.deepEqual(connection.missingBytes, [0, 0]);
  assert.deepEqual(totals(connection), [0, 100]);
});

Deno.test("what the capture lost is counted as missing, also at the end", () => {
  const talk = new Talk().open().send(0, 100);
  talk.next[0] += 300; // never captured
  talk.send(0, 50);
  talk.next[0] += 70; // never captured, but acknowledged
  talk.ack(1);
  const connection = assembleOne(talk.packets);
  assert.deepEqual(connection.missingBytes, [370, 0]);
  assert.deepEqual(totals(connection), [150, 0]);
});

Deno.test("one direction only: the other side's bytes come from acknowledgements", () => {
  const talk = new Talk().open(40).send(0, 100).wait(50).send(1, 1400).send(1, 600).wait(1).ack(0);
  talk.wait(20).send(0, 50).wait(50).send(1, 300).ack(0).close();
  const half = talk.packets.filter((packet) => packet.sourcePort === 50000);
  const connection = assembleOne(half);
  assert.equal(connection.oneSided, true);
  assert.equal(connection.start, "syn");
  assert.deepEqual(totals(connection), [150, 2300]);
  const { segments } = connection;
  assert.deepEqual([...segments.side.subarray(0, segments.length)], [0, 1, 0, 1]);
  assert.deepEqual([...segments.size.subarray(0, segments.length)], [100, 2000, 50, 300]);
});

Deno.test("the server's direction only", () => {
  const talk = new Talk().open(40).send(0, 100).wait(50).send(1, 1400).close();
  const half = talk.packets.filter((packet) => packet.sourcePort === 443);
  const connection = assembleOne(half);
  assert.equal(connection.oneSided, true);
  assert.equal(connection.start, "syn");
  assert.equal(connection.clientPort, 50000);
  assert.deepEqual(totals(connection), [100, 1400]);
});

Deno.test("silence ends a connection, and later packets are another, midstream", () => {
  const talk = new Talk().open().send(0, 10).wait(5000).send(0, 10).send(1, 5);
  const [a, b] = assemble(talk.packets, { idleTimeout: 1000 });
  assert.equal(a!.end.how, "timeout");
  assert.deepEqual(totals(a!), [10, 0]);
  assert.equal(b!.start, "midstream");
  assert.equal(b!.end.how, "cut");
});

Deno.test("a closed connection is handed on after the linger, not before", () => {
  let count = 0;
  const assembler = new TcpAssembler(() => count++, { capture: "test", linger: 100 });
  const first = new Talk().open().send(0, 10).close();
  for (const packet of first.packets) assembler.push(packet);
  assert.equal(count, 0);
  const second = new Talk({ clientPort: 50001, start: first.time + 101 }).open();
  for (const packet of second.packets) assembler.push(packet);
  assert.equal(count, 1);
  assert.equal(assembler.finish().connections, 2);
});

Deno.test("limits: connections at once, segments of one connection and of all", () => {
  const talks = Array.from(
    { length: 20 },
    (_, i) => new Talk({ clientPort: 40000 + i }).open().send(0, 10).send(0, 10).send(0, 10),
  );
  const packets = talks.flatMap((talk) => talk.packets);
  const few = assemble(packets, { maxConnections: 5 });
  assert.equal(few.length, 20);
  const [short] = assemble(packets, { maxSegments: 2 });
  assert.equal(short!.segments.length, 2);
  assert.equal(short!.truncatedSegments, 1);
  assert.equal(assemble(packets, { maxTotalSegments: 6 }).length, 20);
});

Deno.test("a reset that did not end the connection is forgotten", () => {
  const talk = new Talk().open().send(0, 10).rst(1).send(1, 500).send(0, 20).close();
  const connection = assembleOne(talk.packets);
  assert.deepEqual(totals(connection), [30, 500]);
  assert.equal(connection.end.how, "fin");
});

Deno.test("an injected SYN-ACK does not shift the server's stream", () => {
  const talk = new Talk();
  talk.packet(0, TCP_SYN);
  talk.next[0]++;
  talk.heard[0]++;
  talk.packet(1, TCP_SYN | TCP_ACK, undefined, { sequence: 3_000_000_000 });
  talk.packet(1, TCP_SYN | TCP_ACK);
  talk.next[1]++;
  talk.heard[1]++;
  talk.packet(0, TCP_ACK).send(0, 10).send(1, 700).close();
  const connection = assembleOne(talk.packets);
  assert.deepEqual(totals(connection), [10, 700]);
  assert.deepEqual(connection.missingBytes, [0, 0]);
});

Deno.test("one segment from nowhere is ignored, two in a row are a jump", () => {
  const talk = new Talk().open().send(0, 10);
  talk.packet(0, TCP_ACK, new Uint8Array(50), { sequence: (talk.next[0] + 900_000_000) >>> 0 });
  talk.send(0, 20).close();
  assert.deepEqual(totals(assembleOne(talk.packets)), [30, 0]);
  const jump = new Talk().open().send(0, 10);
  jump.next[0] = (jump.next[0] + 100_000_000) >>> 0;
  jump.send(0, 20).send(0, 30);
  const connection = assembleOne(jump.packets);
  assert.deepEqual(totals(connection), [40, 0]);
  assert.deepEqual(connection.missingBytes, [100_000_020, 0]);
});

Deno.test("times that run backwards are flattened", () => {
  const talk = new Talk().open().wait(100).send(0, 10).wait(-80).send(1, 10).wait(200).send(0, 10);
  const { segments } = assembleOne(talk.packets);
  assert.deepEqual([...segments.time.subarray(0, 3)], [100, 100, 220]);
});

Deno.test("stray packets without payload are counted, not handed on", () => {
  const assembler = new TcpAssembler(() => assert.fail("handed on"), { capture: "test" });
  for (const packet of new Talk().ack(0).ack(1).packets) assembler.push(packet);
  assert.deepEqual(assembler.finish(), {
    packets: 2,
    connections: 0,
    midstream: 0,
    oneSided: 0,
    evicted: 0,
    stray: 1,
    truncatedSegments: 0,
  });
});
