import assert from "node:assert/strict";
import type { Connection } from "../../capture/connection.ts";
import { messagesOf } from "../../capture/messages.ts";
import { PROTOCOLS } from "../../capture/protocols.ts";
import type { ProtocolRecogniser } from "../../capture/handshake_recogniser.ts";
import {
  changeCipherSpec,
  clientHello,
  data,
  join,
  record,
  serverHello,
  sshPacket,
  text,
  tls12,
  tls13,
} from "./handshake_bytes.ts";
import { assembleOne, Talk, type TalkOptions } from "./tcp_talk.ts";

function shape(connection: Connection): unknown[] {
  return messagesOf(connection).map(({ side, records }) => [side, ...records]);
}

function tls13Talk(options: TalkOptions = {}): Talk {
  return new Talk(options).open(40).send(0, tls13.hello).wait(40).send(1, tls13.flight).wait(1);
}

Deno.test("TLS 1.3: Finished, tickets and close_notify are not messages", () => {
  const talk = tls13Talk().send(0, join(tls13.finished, data(120))).wait(40);
  talk.send(1, join(tls13.tickets, data(1400))).send(1, data(600)).wait(5).send(0, data(80));
  talk.wait(40).send(1, data(300)).wait(1).send(0, data(24)).fin(0).send(1, data(24)).fin(1);
  const connection = assembleOne(talk.packets);
  assert.deepEqual(connection.handshake, {
    carrier: "tls",
    end: "observed",
    bytes: [517 + 80, tls13.flight.length + 510],
    duration: 81,
    version: "1.3",
  });
  assert.deepEqual(shape(connection), [[0, 120], [1, 1400, 600], [0, 80], [1, 300]]);
  assert.equal(connection.records.length, 18);
});

Deno.test("TLS 1.3: a client certificate belongs to the handshake", () => {
  const flight = join(changeCipherSpec(), data(900), data(286), data(74), data(99));
  const talk = tls13Talk().send(0, flight).wait(40).send(1, data(5000));
  const connection = assembleOne(talk.packets);
  assert.equal(connection.handshake.bytes[0], 517 + flight.length - 99);
  assert.deepEqual(shape(connection), [[0, 99], [1, 5000]]);
});

Deno.test("TLS 1.3: a padded Finished is the client's first encrypted record", () => {
  const talk = tls13Talk().send(0, join(changeCipherSpec(), data(90), data(200))).wait(40);
  talk.send(1, data(5000));
  assert.deepEqual(shape(assembleOne(talk.packets)), [[0, 200], [1, 5000]]);
});

Deno.test("TLS 1.3: early data belongs to the handshake", () => {
  const talk = new Talk().open(40).send(0, join(tls13.hello, changeCipherSpec(), data(300)));
  talk.wait(40).send(1, tls13.flight).send(0, join(data(26), data(74), data(150))).wait(40);
  talk.send(1, data(5000));
  const connection = assembleOne(talk.packets);
  assert.deepEqual(shape(connection), [[0, 150], [1, 5000]]);
});

Deno.test("TLS 1.3: hello retry", () => {
  const retry = new Talk().open(40).send(0, tls13.hello).wait(40);
  retry.send(1, join(serverHello("1.3"), changeCipherSpec())).send(
    0,
    join(changeCipherSpec(), clientHello(600)),
  ).wait(40);
  retry.send(1, join(serverHello("1.3"), data(2000))).send(0, join(data(74), data(150))).wait(40);
  retry.send(1, data(700));
  assert.deepEqual(shape(assembleOne(retry.packets)), [[0, 150], [1, 700]]);
});

Deno.test("TLS 1.3 tickets: by acknowledgement, and as rustls and HTTP/2 servers send them", () => {
  const unasked = tls13Talk().send(0, tls13.finished);
  const heard = unasked.next[0];
  unasked.send(0, data(150)).wait(40).send(1, data(700), heard).ack(1).wait(5).send(1, data(900));
  assert.deepEqual(shape(assembleOne(unasked.packets)), [[0, 150], [1, 900]]);

  const rustls = new Talk().open(40).send(0, tls13.hello).wait(40);
  rustls.send(1, join(serverHello("1.3"), changeCipherSpec(), data(556)));
  rustls.send(0, join(tls13.finished, data(222))).wait(40).send(1, join(data(408), data(322)));
  assert.deepEqual(shape(assembleOne(rustls.packets)), [[0, 222], [1, 322]]);

  const http2 = tls13Talk().send(0, join(tls13.finished, data(92), data(500))).wait(40);
  http2.send(1, join(data(482), data(62))).wait(30).send(1, data(1300));
  assert.deepEqual(shape(assembleOne(http2.packets)), [[0, 92, 500], [1, 62, 1300]]);
});

Deno.test("TLS 1.3 tickets: OpenSSL's single one beside an answer, told by its size", () => {
  const single = tls13Talk().send(0, join(tls13.finished, data(47))).wait(40);
  single.send(1, join(data(255), data(175)));
  assert.deepEqual(shape(assembleOne(single.packets)), [[0, 47], [1, 175]]);
  const none = tls13Talk().send(0, join(tls13.finished, data(47))).wait(40);
  none.send(1, join(data(260), data(175)));
  assert.deepEqual(shape(assembleOne(none.packets)), [[0, 47], [1, 260, 175]]);
});

Deno.test("TLS 1.2: full, with the server's ticket and Finished last", () => {
  const talk = new Talk().open(40).send(0, tls12.hello).wait(40).send(1, tls12.flight).wait(1);
  talk.send(0, tls12.finished).wait(40).send(1, tls12.answer).wait(1).send(0, data(100)).wait(40);
  talk.send(1, data(999)).wait(1).send(0, record(21, 31)).fin(0).send(1, record(21, 31)).fin(1);
  const connection = assembleOne(talk.packets);
  assert.equal(connection.handshake.version, "1.2");
  assert.deepEqual(connection.handshake.bytes, [
    tls12.hello.length + tls12.finished.length,
    tls12.flight.length + tls12.answer.length,
  ]);
  assert.deepEqual(shape(connection), [[0, 100], [1, 999]]);
});

Deno.test("TLS 1.2: abbreviated, and with false start", () => {
  const short = new Talk().open(40).send(0, tls12.hello).wait(40);
  short.send(1, join(serverHello("1.2", 0xc02f), changeCipherSpec(), record(22, 45)));
  short.send(0, join(changeCipherSpec(), record(22, 45), data(100))).wait(40).send(1, data(50));
  assert.deepEqual(shape(assembleOne(short.packets)), [[0, 100], [1, 50]]);

  const early = new Talk().open(40).send(0, tls12.hello).wait(40).send(1, tls12.flight);
  early.send(0, join(tls12.finished, data(100))).wait(40).send(1, join(tls12.answer, data(70)));
  assert.deepEqual(shape(assembleOne(early.packets)), [[0, 100], [1, 70]]);
});

Deno.test("an SSLv2-compatible ClientHello opens TLS as well", () => {
  const hello = new Uint8Array(66);
  hello.set([0x80, 64, 1, 3, 1]);
  const talk = new Talk().open(40).send(0, hello).wait(40).send(1, tls12.flight);
  talk.send(0, tls12.finished).send(1, tls12.answer).send(0, data(44));
  const connection = assembleOne(talk.packets);
  assert.equal(connection.handshake.end, "observed");
  assert.deepEqual(shape(connection), [[0, 44]]);
});

Deno.test("a TLS handshake that never ends is recognised, its end unknown", () => {
  const talk = new Talk().open(40).send(0, tls12.hello).wait(40).send(1, record(21, 7, [2, 40]));
  const { handshake } = assembleOne(talk.fin(1).fin(0).packets);
  assert.deepEqual([handshake.carrier, handshake.end], ["tls", "unknown"]);
  assert.deepEqual(handshake.bytes, [220, 7]);
});

function sshTalk(): Talk {
  const talk = new Talk({ serverPort: 22 }).open(40);
  talk.send(1, text("SSH-2.0-OpenSSH_9.2p1\r\n")).send(0, text("SSH-2.0-OpenSSH_9.2p1\r\n"));
  talk.send(0, sshPacket(20, 1536)).send(1, sshPacket(20, 1080)).send(0, sshPacket(30, 1208));
  return talk.wait(40).send(1, join(sshPacket(31, 1500), sshPacket(21, 16)));
}

Deno.test("SSH: the handshake ends with the NEWKEYS of both sides", () => {
  const talk = sshTalk().send(0, sshPacket(21, 16)).send(0, 44).wait(40).send(1, 44);
  const { handshake } = assembleOne(talk.packets);
  assert.deepEqual([handshake.carrier, handshake.end, handshake.version], [
    "ssh",
    "observed",
    "2.0",
  ]);
  assert.deepEqual(handshake.bytes, [23 + 1536 + 1208 + 16, 23 + 1080 + 1516]);
});

Deno.test("SSH: NEWKEYS joined with encrypted bytes, banner lines, version 1", () => {
  const joined = sshTalk().send(0, join(sshPacket(21, 16), new Uint8Array(44)));
  assert.equal(assembleOne(joined.packets).handshake.bytes[0], 23 + 1536 + 1208 + 16);

  const banner = new Talk({ serverPort: 22 }).open();
  banner.send(1, text("Keep out\r\nSSH-1.99-Cisco\r\n")).send(0, text("SSH-2.0-x\n"));
  for (const side of [0, 1] as const) {
    banner.send(side, sshPacket(20, 800)).send(side, sshPacket(21, 16));
  }
  const { handshake } = assembleOne(banner.packets);
  assert.deepEqual([handshake.end, handshake.version], ["observed", "2.0"]);

  const old = new Talk({ serverPort: 22 }).open().send(1, text("SSH-1.5-old\n"));
  old.send(0, text("SSH-1.5-old\n")).send(1, 300);
  const first = assembleOne(old.packets).handshake;
  assert.deepEqual([first.carrier, first.end, first.version], ["ssh", "unknown", "1.5"]);
});

Deno.test("SSH: the server's EXT_INFO belongs to the handshake, its answers do not", () => {
  const talk = sshTalk().send(0, sshPacket(21, 16)).wait(40).send(1, 316).wait(1).send(0, 44);
  talk.wait(40).send(1, 60).wait(1).send(0, 80);
  const connection = assembleOne(talk.packets);
  assert.equal(connection.handshake.bytes[1], 23 + 1080 + 1516 + 316);
  assert.equal(connection.handshake.duration, 80);
  assert.deepEqual(messagesOf(connection).map(({ size }) => size), [44, 60, 80]);
});

function smtpTalk(): Talk {
  const talk = new Talk({ serverPort: 587 }).open(40).wait(45);
  talk.send(1, text("220-mail.example ESMTP\r\n220 ready\r\n")).send(0, text("EHLO me\r\n"));
  return talk.wait(40).send(1, text("250-mail.example\r\n250 STARTTLS\r\n"));
}

Deno.test("SMTP with STARTTLS: dialogue and TLS handshake are the handshake", () => {
  const talk = smtpTalk().send(0, text("STARTTLS\r\n")).wait(40);
  talk.send(1, text("220 2.0.0 Ready\r\n"));
  const plain = [9 + 10, 35 + 32 + 17];
  talk.send(0, tls13.hello).wait(40).send(1, tls13.flight).send(0, tls13.finished);
  const heard = talk.next[0];
  talk.send(0, data(40)).wait(40).send(1, tls13.tickets, heard).send(1, data(200)).wait(2);
  const connection = assembleOne(talk.send(0, data(90)).packets);
  assert.equal(connection.handshake.carrier, "smtp-starttls");
  assert.deepEqual(connection.handshake.bytes, [
    plain[0]! + 517 + 80,
    plain[1]! + tls13.flight.length + 510,
  ]);
  assert.deepEqual(shape(connection), [[0, 40], [1, 200], [0, 90]]);
});

Deno.test("SMTP without STARTTLS, or with one refused, is plain and has no handshake", () => {
  const mail = smtpTalk().send(0, text("MAIL FROM:<a@b>\r\n")).send(1, text("250 ok\r\n"));
  mail.send(0, text("DATA\r\n")).send(1, text("354 go\r\n")).send(0, text("STARTTLS\r\n220 x\r\n"));
  const { handshake } = assembleOne(mail.packets);
  assert.deepEqual(handshake, { carrier: "smtp", end: "observed", bytes: [0, 0], duration: 0 });

  const refused = smtpTalk().send(0, text("STARTTLS\r\n")).send(1, text("454 not now\r\n"));
  refused.send(0, text("QUIT\r\n")).send(1, text("221 bye\r\n"));
  assert.equal(assembleOne(refused.packets).handshake.carrier, "smtp");
});

Deno.test("FTP greets like SMTP and is not taken for it", () => {
  const talk = new Talk({ serverPort: 21 }).open().send(1, text("220 ftp ready\r\n"));
  talk.send(0, text("USER me\r\n")).send(1, text("331 password\r\n"));
  assert.equal(assembleOne(talk.packets).handshake.carrier, "unknown");
});

Deno.test("another protocol is added by a list, without touching the assembler", () => {
  const mine: ProtocolRecogniser = {
    carrier: "mine",
    ports: [],
    create: () => ({
      state: "recognised",
      carrier: "mine",
      version: undefined,
      bytes: () => {},
      gap: () => {},
      handshake: () => ({ bytes: [4, 0] }),
    }),
  };
  const talk = new Talk().open().send(0, text("MINE and data"));
  const { handshake } = assembleOne(talk.packets, { protocols: [mine, ...PROTOCOLS] });
  assert.deepEqual([handshake.carrier, handshake.bytes], ["mine", [4, 0]]);
});
