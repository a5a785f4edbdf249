import assert from "node:assert/strict";
import type { Connection } from "../../capture/connection.ts";
import type { Message } from "../../capture/message.ts";
import { learnModel, NothingToLearnError, plainName } from "../../models/learn/learn.ts";
import { Observer, type ObserverOptions } from "../../models/learn/observer.ts";
import { LEARNABLE_PROTOCOLS } from "../../models/learn/protocols.ts";
import { browsing, connectionOf, learn, messageOf, modelOf, observe, randomOf } from "./made.ts";

const [HTTPS, SMTP, SSH] = LEARNABLE_PROTOCOLS as [
  ObserverOptions["protocol"],
  ObserverOptions["protocol"],
  ObserverOptions["protocol"],
];
const TALK = [
  messageOf(0, 100, { time: 100, end: 100 }),
  messageOf(1, 500, { time: 150, end: 160 }),
];

function observerOf(options: Partial<ObserverOptions> = {}): Observer {
  return new Observer({ protocol: HTTPS, seed: new Uint8Array(32), ...options });
}

/** Why a connection is left out; undefined where it is used. */
function reason(
  changes: Partial<Connection>,
  messages: readonly Message[] = TALK,
  options: Partial<ObserverOptions> = {},
): string | undefined {
  const observer = observerOf(options);
  observer.add(connectionOf(changes), () => messages);
  return [...observer.leftOut.keys()][0];
}

Deno.test("what is left out is counted by reason", () => {
  const end = { how: "fin", by: 0, time: 900 } as const;
  const handshake = connectionOf().handshake;
  assert.equal(reason({ end }), undefined);
  assert.equal(reason({ handshake: { ...handshake, end: "estimated" } }), undefined);
  const cases: [string, Partial<Connection>, (readonly Message[])?][] = [
    ["another protocol", { handshake: { ...handshake, carrier: "ssh" } }],
    ["another protocol", { serverPort: 993 }],
    ["opening not captured", { start: "midstream" }],
    ["one direction only", { oneSided: true }],
    ["bytes missing from the capture", { missingBytes: [0, 1] }],
    ["longer than the reader keeps", { truncatedSegments: 5 }],
    ["end of the handshake unknown", { handshake: { ...handshake, end: "unknown" } }],
    ["end not captured", { end: { ...end, how: "cut" } }],
    ["end not captured", { end: { ...end, how: "timeout" } }],
    ["end not captured", { end: { ...end, by: undefined } }],
    ["no exchange after the handshake", {}, []],
    ["no exchange after the handshake", {}, [messageOf(1, 500)]],
    ["message too small for the protocol", {}, [messageOf(0, 22)]],
  ];
  for (const [expected, changes, messages] of cases) {
    assert.equal(reason(changes, messages), expected, JSON.stringify(changes));
  }
});

Deno.test("a protocol is told by its handshake, or by its port where that is asked for", () => {
  const handshake = connectionOf().handshake;
  const ssh = { handshake: { ...handshake, carrier: "ssh" as const }, serverPort: 4_422 };
  assert.equal(reason(ssh, TALK, { protocol: SSH }), undefined);
  assert.equal(reason(ssh, TALK, { protocol: SSH, byPort: true }), "another protocol");
  assert.equal(
    reason({ ...ssh, serverPort: 22 }, TALK, { protocol: SSH, byPort: true }),
    undefined,
  );
  const plain = { handshake: { ...handshake, carrier: "smtp" as const }, serverPort: 25 };
  assert.equal(reason(plain, TALK, { protocol: SMTP }), "another protocol");
  assert.equal(
    reason(plain, TALK, { protocol: SMTP, byPort: true }),
    "not encrypted, or the port of another protocol",
  );
});

Deno.test("a close is timed from the last message, without the round trip to the closer", () => {
  const close = (by: 0 | 1, how: "fin" | "rst", time: number) => {
    const observer = observerOf();
    const rtt = { client: 3, server: 40 };
    observer.add(connectionOf({ rtt, end: { how, by, time } }), () => TALK);
    return observer.observations()[0]!.close;
  };
  assert.deepEqual(close(0, "fin", 170), { by: "client", how: "fin", time: 7 });
  assert.deepEqual(close(1, "rst", 170), { by: "server", how: "rst", time: 10 });
  assert.deepEqual(close(0, "fin", 140), { by: "client", how: "fin", time: 0 });
});

Deno.test("a fin that was answered by a reset is not acknowledged a round trip later", () => {
  const answer = (by: 0 | 1, after: number) => {
    const observer = observerOf();
    const end = { how: "fin" as const, by, time: 170 };
    const one = connectionOf({ rtt: { client: 0.1, server: 40 }, end });
    observer.add({ ...one, endTime: one.startTime + end.time + after }, () => TALK);
    return observer.observations()[0]!.close.answer;
  };
  assert.equal(answer(1, 0.2), "rst");
  assert.equal(answer(1, 40.1), undefined);
  // On the recorder's own machine nothing tells.
  assert.equal(answer(0, 0.2), undefined);
});

Deno.test("where the server speaks first, its greeting follows the first request", () => {
  const observer = observerOf();
  const greeting = messageOf(1, 60, { time: 85, end: 85 });
  observer.add(connectionOf(), () => [greeting, ...TALK]);
  const [first] = observer.observations()[0]!.exchanges;
  assert.deepEqual(first!.responses.map(({ size, think, lead }) => [size, think, lead]), [
    [60, 0, 0],
    [500, 0, 0],
  ]);
  assert.equal(first!.request.think, 20, "100 ms after the start, 80 of them handshake");
  observer.endCapture();
  assert.equal(observer.captures[0]!.greeted, 1);
});

Deno.test("beyond its limits an observer keeps an even sample and says how many it dropped", () => {
  const observer = observe(500, browsing, { mostConnections: 50 });
  assert.equal(observer.observations().length, 50);
  assert.equal(observer.leftOut.get("left to chance: enough others"), 450);
  assert.equal(observer.captures[0]!.used, 500);
  const few = observe(500, browsing, { mostExchanges: 200 }).observations();
  const exchanges = few.reduce((sum, connection) => sum + connection.exchanges.length, 0);
  assert(exchanges <= 200 && exchanges > 150, `${exchanges}`);
  // The first half of the capture is no likelier to stay than the second.
  const marked = observe(2_000, (_, index) => [
    { request: messageOf(0, 100 + index), responses: [] },
  ], { mostConnections: 400 }).observations();
  const early = marked.filter(({ exchanges }) => exchanges[0]!.request.size < 1_100).length;
  assert(early > 150 && early < 250, `${early} of 400`);
});

Deno.test("a capture with nothing usable is one clear line that says why", () => {
  const observer = observerOf();
  for (let i = 0; i < 3; i++) observer.add(connectionOf({ oneSided: true }), () => TALK);
  observer.add(connectionOf({ serverPort: 993 }), () => TALK);
  observer.endCapture();
  assert.throws(
    () => learn(observer, "conditional"),
    new NothingToLearnError("https", observer.leftOut, 1),
  );
  assert.throws(() => learn(observer, "conditional"), {
    message: "no usable https connection in 1 capture (left out: 3 one direction only, " +
      "1 another protocol): give captures with whole connections of this protocol",
  });
});

Deno.test("a model of many connections is cut to its size limit by chance, and says so", () => {
  const random = randomOf(3);
  const observer = observe(900, () =>
    Array.from({ length: 12 }, () => ({
      request: messageOf(0, 100 + random.integer(1_000), { think: 1_000 * random.float() }),
      responses: [messageOf(1, 10_000 + random.integer(90_000), { think: 10 * random.float() })],
    })));
  const learned = learn(observer, "conditional");
  assert(learned.text.length < 1_000_000, `${learned.text.length}`);
  assert(learned.dropped > 0);
  assert.equal(learned.connections + learned.dropped, observer.observations().length);
  assert.equal(
    learned.file.provenance?.leftOut["left to chance: small file"],
    learned.dropped,
  );
  assert(modelOf(learned).connection(randomOf(1)).exchanges.length >= 1);
});

Deno.test("capture names in models hold no folder and no address", () => {
  assert.equal(plainName("/home/someone/run-1.pcap.gz"), "run-1.pcap.gz");
  assert.equal(plainName("C:\\traces\\a b.pcap"), "a b.pcap");
  assert.equal(plainName("192.0.2.77.pcap"), "address.pcap");
  assert.equal(plainName("dump-192-0-2-77.pcap"), "dump-address.pcap");
  assert.equal(plainName("2001:db8::1.pcap"), "address.pcap");
  assert.equal(plainName("-"), "-");
});

Deno.test("another seed number gives another file only where chance decides", () => {
  const options = {
    protocol: HTTPS,
    kind: "structural",
    captures: [{ name: "a.pcap", sha256: "0".repeat(64) }],
    seed: new Uint8Array(32),
  };
  const one = learnModel(observe(40, browsing), { ...options, seedNumber: 1 });
  const two = learnModel(observe(40, browsing), { ...options, seedNumber: 2 });
  assert.deepEqual(one.file.content, two.file.content);
  assert.notEqual(one.digest, two.digest);
});

Deno.test("a connection that its client never used does not count for when connections start", () => {
  const observer = observerOf();
  // Bytes that are missing from an outline were said all the same.
  const said = { unused: 0, used: 400 };
  for (let i = 0; i < 12; i++) {
    const bytes = i % 2 === 0 ? said.used : said.unused;
    const startTime = 1_700_000_000_000 + i * 100;
    observer.add(connectionOf({ startTime, missingBytes: [600 + bytes, 0] }), () => TALK);
  }
  observer.endCapture();
  assert.deepEqual(observer.timeline.observed().connectionGaps, Array(5).fill(200));
});
