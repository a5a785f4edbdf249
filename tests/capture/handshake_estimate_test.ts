import assert from "node:assert/strict";
import type { Packet } from "../../capture/packet.ts";
import {
  changeCipherSpec,
  data,
  join,
  record,
  serverHello,
  sshPacket,
  text,
  tls12,
  tls13,
} from "./handshake_bytes.ts";
import { assembleOne, Talk } from "./tcp_talk.ts";

/** As a tracer that keeps headers only writes them. */
function headersOnly(packets: readonly Packet[]): Packet[] {
  return packets.map((packet) => ({ ...packet, payloadCaptured: 0 }));
}

/** As an anonymiser writes them. */
function blanked(packets: readonly Packet[], filler: readonly number[]): Packet[] {
  return packets.map((packet) => {
    const payload = Uint8Array.from(
      { length: packet.payloadLength },
      (_, i) => filler[i % filler.length]!,
    );
    return { ...packet, data: payload };
  });
}

const modern = new Talk().open(40).send(0, tls13.hello).wait(40).send(1, tls13.flight).wait(1);
modern.send(0, tls13.finished);
const heard = modern.next[0];
modern.send(0, data(120)).wait(40).send(1, tls13.tickets, heard).send(1, data(1400)).close();

Deno.test("TLS 1.3 without payload: estimated, and the same as observed", () => {
  const observed = assembleOne(modern.packets).handshake;
  for (const packets of [headersOnly(modern.packets), blanked(modern.packets, [0])]) {
    assert.deepEqual(assembleOne(packets).handshake, { ...observed, end: "estimated" });
  }
});

Deno.test("a repeating filler is no payload either", () => {
  const { handshake } = assembleOne(blanked(modern.packets, [0xde, 0xad, 0xbe, 0xef]));
  assert.equal(handshake.end, "estimated");
});

Deno.test("cut by the snap length inside the ClientHello: recognised, then estimated", () => {
  const cut = modern.packets.map((packet) => ({
    ...packet,
    payloadCaptured: Math.min(packet.payloadLength, 26),
  }));
  const { handshake } = assembleOne(cut);
  assert.deepEqual([handshake.carrier, handshake.end], ["tls", "estimated"]);
});

Deno.test("TLS 1.2 without payload, full and abbreviated", () => {
  const full = new Talk().open(40).send(0, tls12.hello).wait(40).send(1, tls12.flight);
  full.send(0, tls12.finished).wait(40).send(1, tls12.answer).send(0, data(100)).send(1, data(70));
  const short = new Talk().open(40).send(0, tls12.hello).wait(40);
  short.send(1, join(serverHello("1.2", 0xc02f), changeCipherSpec(), record(22, 45)));
  short.send(0, changeCipherSpec()).send(0, record(22, 45)).send(0, data(99)).send(1, data(70));
  for (const talk of [full, short]) {
    const observed = assembleOne(talk.packets).handshake;
    const estimated = assembleOne(headersOnly(talk.packets)).handshake;
    assert.equal(estimated.end, "estimated");
    assert.deepEqual(estimated.bytes, observed.bytes);
  }
});

Deno.test("SSH without payload: NEWKEYS alone, and joined with the next packet", () => {
  for (const joined of [false, true]) {
    const talk = new Talk({ serverPort: 22 }).open(40).send(1, text("SSH-2.0-OpenSSH_9.2p1\r\n"));
    talk.send(0, text("SSH-2.0-OpenSSH_9.2p1\r\n")).send(0, sshPacket(20, 1536));
    talk.send(1, sshPacket(20, 1080)).send(0, sshPacket(30, 1208)).wait(40);
    talk.send(1, join(sshPacket(31, 1500), sshPacket(21, 16)));
    const first = new Uint8Array(44);
    if (joined) talk.send(0, join(sshPacket(21, 16), first));
    else talk.send(0, sshPacket(21, 16)).send(0, first);
    talk.wait(40).send(1, 44).close();
    const observed = assembleOne(talk.packets).handshake;
    assert.deepEqual(assembleOne(headersOnly(talk.packets)).handshake, {
      ...observed,
      end: "estimated",
    });
  }
});

Deno.test("without payload and without a known port or shape, nothing is claimed", () => {
  const shapeless = new Talk().open().send(0, 20).send(1, 30).send(0, 40);
  const odd = new Talk({ serverPort: 4711 }).open();
  for (const [i, packet] of modern.packets.entries()) {
    odd.packets[i] = {
      ...packet,
      sourcePort: packet.sourcePort === 443 ? 4711 : packet.sourcePort,
      destinationPort: packet.destinationPort === 443 ? 4711 : packet.destinationPort,
    };
  }
  for (const talk of [shapeless, odd]) {
    const { handshake } = assembleOne(headersOnly(talk.packets));
    assert.deepEqual([handshake.carrier, handshake.end], ["unknown", "unknown"]);
  }
});

Deno.test("payload that is there and is another protocol is not estimated as TLS", () => {
  const talk = new Talk().open(40).send(0, text("GET / HTTP/1.1\r\n\r\n")).send(
    1,
    text("HTTP/1.1 200 ok"),
  );
  assert.equal(assembleOne(talk.packets).handshake.end, "unknown");
});
