import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type Connection,
  LinkType,
  messagesOf,
  type Packet,
  readCapture,
  readConnections,
  seedFeatures,
  writeCaptureFile,
} from "../../capture/mod.ts";
import { redactionOf } from "../../lab/redaction.ts";
import { CannotScrub, scrub, SCRUBBED_EPOCH } from "../../lab/scrub.ts";
import {
  changeCipherSpec,
  join,
  record,
  serverHello,
  sshPacket,
  text,
  tls12,
  tls13,
} from "../capture/handshake_bytes.ts";
import { frameOf, Talk } from "../capture/tcp_talk.ts";
import { inFolder } from "../support/folder.ts";

const SECRET = "SECRET";

/** Application data whose body is made of the word that must not be shipped. */
function secret(size: number): Uint8Array {
  return record(23, size, [...text(SECRET.repeat(size).slice(0, size - 5))]);
}

function words(size: number): Uint8Array {
  return text(SECRET.repeat(size).slice(0, size));
}

async function write(path: string, packets: readonly Packet[], keep = Infinity): Promise<void> {
  const records = packets.map((packet) => {
    const data = frameOf(packet, LinkType.ethernet);
    return { time: packet.time, data: data.subarray(0, keep), wireLength: data.length };
  });
  await writeCaptureFile(path, records, { format: "pcap", linkType: LinkType.ethernet });
}

async function connectionsOf(path: string): Promise<Connection[]> {
  const connections: Connection[] = [];
  await readConnections(path, { onConnection: (connection) => connections.push(connection) });
  return connections.sort((a, b) => a.index - b.index);
}

/** What a learner or an attack reads of a connection; times in whole microseconds. */
function readable(connection: Connection) {
  const { records, segments, handshake, end, start, clientPort, missingBytes, rtt } = connection;
  const round = (time: number | undefined) => time === undefined ? time : Math.round(time * 1000);
  return {
    ...{ start, clientPort, missingBytes },
    end: { ...end, time: round(end.time) },
    rtt: [round(rtt.client), round(rtt.server)],
    handshake: { ...handshake, duration: round(handshake.duration) },
    features: [...seedFeatures(connection)].map(round),
    segments: Array.from({ length: segments.length }, (_, row) => [
      ...[round(segments.time[row]), segments.side[row], segments.size[row], segments.offset[row]],
      segments.acked[row],
    ]),
    records: Array.from({ length: records.length }, (_, row) => [
      ...[records.side[row], records.offset[row], records.size[row], records.type[row]],
    ]),
    messages: messagesOf(connection).map((message) => ({
      ...message,
      time: round(message.time),
      end: round(message.end),
      think: round(message.think),
    })),
  };
}

/** Scrubs packets and returns what was read before and after, and the bytes shipped. */
async function beforeAndAfter(packets: readonly Packet[]) {
  const result = { before: [] as Connection[], after: [] as Connection[], shipped: "", kept: 0 };
  await inFolder(async (folder) => {
    await write(`${folder}/a.pcap`, packets);
    const report = await scrub(`${folder}/a.pcap`, `${folder}/b.pcap.gz`);
    assert.equal(report.packets, packets.length);
    result.kept = report.kept;
    result.before = await connectionsOf(`${folder}/a.pcap`);
    result.after = await connectionsOf(`${folder}/b.pcap.gz`);
    const file = await Deno.open(`${folder}/b.pcap.gz`);
    const plain = file.readable.pipeThrough(new DecompressionStream("gzip"));
    result.shipped = new TextDecoder("latin1").decode(await new Response(plain).arrayBuffer());
  });
  return result;
}

async function assertSame(packets: readonly Packet[], carrier: string): Promise<string> {
  const { before, after, shipped } = await beforeAndAfter(packets);
  assert.deepEqual(after.map(readable), before.map(readable));
  assert.ok(before.every(({ handshake }) => handshake.carrier === carrier));
  assert.ok(before.every(({ handshake }) => handshake.end === "observed"));
  assert.ok(before.some((connection) => messagesOf(connection).length > 0));
  assert.ok(!shipped.includes(SECRET.slice(0, 4)), "payload was shipped");
  return shipped;
}

function tls13Talk(talk: Talk): Talk {
  talk.open(40, 0.1).send(0, tls13.hello).wait(40).send(1, tls13.flight).wait(1);
  talk.send(0, tls13.finished).wait(40).send(1, join(secret(255), secret(255))).wait(5.125);
  talk.send(0, secret(700)).wait(43.017);
  const answer = secret(5000);
  talk.send(1, answer.subarray(0, 1448)).send(1, answer.subarray(1448, 2896));
  // A segment that is seen twice, and one that comes late.
  const lost = talk.next[1];
  talk.next[1] += 1448;
  talk.wait(0.6).send(1, answer.subarray(4344)).ack(0).wait(41);
  const end = talk.next[1];
  talk.next[1] = lost;
  talk.send(1, answer.subarray(2896, 4344)).wait(0.3);
  talk.next[1] = lost;
  talk.send(1, answer.subarray(2896, 4344));
  talk.next[1] = end;
  return talk.wait(1).ack(0).wait(300).close();
}

Deno.test("TLS 1.3: the same connections, records, messages and features, no payload", async () => {
  await assertSame(tls13Talk(new Talk()).packets, "tls");
});

Deno.test("TLS 1.2: the same, and the end of the handshake is still found", async () => {
  const talk = new Talk().open(40).send(0, tls12.hello).wait(40).send(1, tls12.flight);
  talk.send(0, tls12.finished).wait(40).send(1, tls12.answer).wait(2);
  talk.send(0, secret(300)).wait(50).send(1, secret(900)).wait(1).ack(0).close();
  await assertSame(talk.packets, "tls");
});

Deno.test("a port used twice is two connections, each scrubbed by its own numbers", async () => {
  const first = tls13Talk(new Talk({ isn: [1000, 5000] }));
  const second = tls13Talk(new Talk({ isn: [4_294_967_000, 77], start: first.time + 5000 }));
  await assertSame([...first.packets, ...second.packets], "tls");
});

Deno.test("SSH: all after NEWKEYS is gone, the rest the same", async () => {
  const talk = new Talk({ serverPort: 22 }).open(40);
  talk.send(0, text("SSH-2.0-OpenSSH_9.2\r\n")).wait(40).send(1, text("SSH-2.0-OpenSSH_9.2\r\n"));
  talk.send(0, sshPacket(20, 1500)).send(1, sshPacket(20, 1100)).wait(40);
  talk.send(0, sshPacket(30, 48)).wait(40).send(1, join(sshPacket(31, 500), sshPacket(21, 16)));
  talk.send(0, join(sshPacket(21, 16), words(44))).wait(40).send(1, words(44)).wait(1);
  talk.send(0, words(500)).wait(45).send(1, words(2000)).ack(0).close();
  const shipped = await assertSame(talk.packets, "ssh");
  assert.ok(shipped.includes("SSH-2.0-OpenSSH_9.2"));
});

function mailTalk(): Talk {
  const talk = new Talk({ serverPort: 25 }).open(40).wait(40);
  talk.send(1, text("220 mail.example.net ESMTP\r\n")).wait(1);
  talk.send(0, text("EHLO client.example.com\r\n")).wait(40);
  return talk.send(1, text("250-mail.example.net\r\n250 STARTTLS\r\n")).wait(1);
}

Deno.test("SMTP with STARTTLS: the dialogue before stays", async () => {
  const talk = mailTalk().send(0, text("STARTTLS\r\n")).wait(40);
  talk.send(1, text("220 2.0.0 Ready to start TLS\r\n")).wait(1);
  talk.send(0, tls13.hello).wait(40).send(1, tls13.flight).wait(1);
  talk.send(0, tls13.finished).wait(40).send(1, join(secret(255), secret(255))).wait(1);
  talk.send(0, secret(50)).wait(41).send(1, secret(200)).wait(1).send(0, secret(1400)).wait(40);
  talk.send(1, secret(60)).ack(0).close();
  const shipped = await assertSame(talk.packets, "smtp-starttls");
  assert.ok(shipped.includes("EHLO client.example.com"));
});

Deno.test("SMTP in the clear: addresses, credentials and mails go", async () => {
  const talk = mailTalk();
  const exchange = (line: string, answer: string) => {
    talk.send(0, text(line)).wait(40).send(1, text(answer)).wait(1);
  };
  exchange(`AUTH LOGIN\r\n`, "334 VXNlcm5hbWU6\r\n");
  exchange(`${SECRET}\r\n`, "334 UGFzc3dvcmQ6\r\n");
  exchange(`${SECRET}\r\n`, "235 2.7.0 ok\r\n");
  exchange(`MAIL FROM:<${SECRET}@example.com>\r\n`, "250 ok\r\n");
  exchange(`RCPT TO:<${SECRET}@example.net>\r\n`, "250 ok\r\n");
  exchange("DATA\r\n", "354 go on\r\n");
  exchange(`Subject: ${SECRET}\r\n\r\n..${SECRET}\r\n.\r\n`, "250 ok\r\n");
  exchange("QUIT\r\n", "221 bye\r\n");
  const { before, after, shipped } = await beforeAndAfter(talk.close().packets);
  assert.deepEqual(
    after.map((connection) => [...seedFeatures(connection)].map(Math.round)),
    before.map((connection) => [...seedFeatures(connection)].map(Math.round)),
  );
  assert.ok(!shipped.includes(SECRET.slice(0, 4)));
  for (const word of ["AUTH", "MAIL", "DATA", "QUIT", "354 go on"]) {
    assert.ok(shipped.includes(word));
  }
});

Deno.test("of a protocol that is not known nothing is kept", async () => {
  const talk = new Talk({ serverPort: 9 }).open(1).send(0, words(100)).wait(1).send(1, words(900));
  const { shipped, kept } = await beforeAndAfter(talk.close().packets);
  assert.equal(kept, 0);
  assert.ok(!shipped.includes(SECRET));
});

Deno.test("key material in hellos goes, their shape stays", () => {
  const key = new Array<number>(32).fill(0xaa);
  const extensions = [
    ...[0, 43, 0, 3, 2, 3, 4],
    ...[0, 51, 0, 38, 0, 36, 0, 29, 0, 32, ...key],
    ...[0, 35, 0, 4, 0xaa, 0xaa, 0xaa, 0xaa],
    ...[0, 41, 0, 15, 0, 8, 0, 2, 0xaa, 0xaa, 1, 2, 3, 4, 0, 3, 2, 0xaa, 0xaa],
  ];
  const body = [3, 3, ...new Array<number>(32).fill(1), 0, 0, 2, 0x13, 1, 1, 0];
  const hello = [...body, extensions.length >> 8, extensions.length & 255, ...extensions];
  const stream = record(22, 9 + hello.length, [
    1,
    0,
    hello.length >> 8,
    hello.length & 255,
    ...hello,
  ]);
  const ranges = redactionOf(stream);
  for (const [from, to] of ranges) {
    assert.ok(stream.subarray(from, to).every((byte) => byte === 0xaa));
    stream.fill(0, from, to);
  }
  assert.equal(ranges.reduce((sum, [from, to]) => sum + to - from, 0), 32 + 4 + 2 + 2);
  assert.ok(!stream.includes(0xaa));
  assert.deepEqual(redactionOf(serverHello("1.2")), []);
});

Deno.test("whatever the bytes: ranges are in order and inside, and nothing throws", () => {
  const starts = [
    tls13.hello,
    serverHello("1.3"),
    changeCipherSpec(),
    text("SSH-2.0-x\r\n"),
    text("220 x\r\n"),
    text("EHLO x\r\nDATA\r\n"),
    new Uint8Array(0),
  ];
  fc.assert(
    fc.property(fc.constantFrom(...starts), fc.uint8Array({ maxLength: 300 }), (start, rest) => {
      const stream = join(start, rest);
      let last = 0;
      for (const [from, to] of redactionOf(stream)) {
        assert.ok(from >= last && to >= from && to <= stream.length, `${from} to ${to}`);
        last = to;
      }
    }),
    { numRuns: 500 },
  );
});

Deno.test("time begins at a fixed moment, link layers go, checksums are right", async () => {
  await inFolder(async (folder) => {
    await write(`${folder}/a.pcap`, tls13Talk(new Talk()).packets);
    await scrub(`${folder}/a.pcap`, `${folder}/b.pcap.gz`);
    let first: number | undefined;
    await readCapture(`${folder}/b.pcap.gz`, (packet) => {
      first ??= packet.time;
      const start = packet.payloadStart - (packet.ipLength - packet.payloadLength);
      const bytes = packet.data.subarray(start, start + packet.ipLength);
      const words = (from: number, to: number, sum: number) => {
        for (let at = from; at < to; at++) sum += at % 2 === 0 ? bytes[at]! << 8 : bytes[at]!;
        while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
        return sum;
      };
      assert.equal(words(0, 20, 0), 0xffff);
      assert.equal(words(12, bytes.length, 6 + bytes.length - 20), 0xffff);
    });
    assert.equal(first, SCRUBBED_EPOCH);
  });
});

Deno.test("a capture of cut packets is refused", async () => {
  await inFolder(async (folder) => {
    await write(`${folder}/a.pcap`, tls13Talk(new Talk()).packets, 100);
    await assert.rejects(scrub(`${folder}/a.pcap`, `${folder}/b.pcap.gz`), CannotScrub);
    await assert.rejects(Deno.stat(`${folder}/b.pcap.gz`), Deno.errors.NotFound);
  });
});
