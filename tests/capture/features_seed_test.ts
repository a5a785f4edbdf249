import assert from "node:assert/strict";
import {
  FeatureTable,
  messageSequence,
  SEED_FEATURES,
  seedFeatures,
  seedFeatureTable,
  segmentSequence,
} from "../../capture/features.ts";
import { labelByPort } from "../../capture/label_by_port.ts";
import { data, join, tls13 } from "./handshake_bytes.ts";
import { assembleOne, Talk } from "./tcp_talk.ts";

const talk = new Talk().open(40).send(0, tls13.hello).wait(40).send(1, tls13.flight).wait(1);
talk.send(0, join(tls13.finished, data(120))).wait(40).send(1, join(tls13.tickets, data(1400)));
talk.send(1, data(600)).wait(5).send(0, data(80)).wait(40).send(1, data(300)).wait(9);
talk.send(0, data(24)).fin(0).send(1, data(24)).fin(1).ack(0);
const connection = assembleOne(talk.packets);

Deno.test("the seed's features, after the handshake", () => {
  assert.deepEqual([...seedFeatures(connection)], [
    200,
    2300,
    100,
    2300 / 3,
    40 + 5 + 40 + 9,
  ]);
});

Deno.test("the seed's features, handshake included", () => {
  const sent = 517 + 80 + 120 + 80 + 24;
  const received = tls13.flight.length + 510 + 1400 + 600 + 300 + 24;
  assert.deepEqual([...seedFeatures(connection, { handshake: "included" })], [
    sent,
    received,
    sent / 4,
    received / 5,
    175,
  ]);
});

Deno.test("a connection without payload has features of 0", () => {
  assert.deepEqual([...seedFeatures(assembleOne(new Talk().open(3).packets))], [0, 0, 0, 0, 3]);
});

Deno.test("a feature table grows and keeps its rows", () => {
  const table = new FeatureTable(["a", "b"]);
  for (let i = 0; i < 100; i++) {
    table.addRow((into, at) => {
      into[at] = i;
      into[at + 1] = -i;
    });
  }
  assert.equal(table.length, 100);
  assert.equal(table.values.length, 200);
  assert.deepEqual([...table.values.slice(198)], [99, -99]);
  const seed = seedFeatureTable([connection, connection]);
  assert.deepEqual([...seed.values.slice(5)], [...seedFeatures(connection)]);
  assert.equal(seed.names, SEED_FEATURES);
});

Deno.test("sequences are signed by direction", () => {
  const messages = messageSequence(connection);
  assert.deepEqual([...messages.sizes], [120, -2000, 80, -300]);
  assert.deepEqual([...messages.times], [81, 121, 126, 166]);
  assert.deepEqual([...segmentSequence(connection).sizes], [120, -1400, -600, 80, -300]);
  assert.equal(segmentSequence(connection, { handshake: "included" }).sizes.length, 9);
});

Deno.test("labels by well-known port", () => {
  const labels = [443, 25, 465, 587, 22, 993, 12345].map((serverPort) =>
    labelByPort({ serverPort })
  );
  assert.deepEqual(labels, ["https", "smtp", "smtp", "smtp", "ssh", "imap", undefined]);
});
