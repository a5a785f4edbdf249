import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { type Connection, messagesOf, readCapture, readConnections } from "../../capture/mod.ts";
import { CLIENT_ADDRESS, SERVER_ADDRESS } from "../../lab/network.ts";
import { checkListed, listedSamples } from "./listed_samples.ts";

const folder = fileURLToPath(new URL("../../samples/", import.meta.url));
const samples = await listedSamples(folder);
const CARRIERS: Record<string, string> = { https: "tls", ssh: "ssh", smtp: "smtp-starttls" };
const LARGEST = 7_000_000;
const RUNS = 15;

Deno.test("samples: each file is the one its provenance speaks of, and all fit in 7 MB", async () => {
  await checkListed(folder, Object.keys(CARRIERS), samples, LARGEST);
  for (const { file, run } of samples) {
    assert.equal(run.packets.captured, run.packets.received, file);
  }
});

Deno.test("samples: fifteen runs of a protocol, each from a seed of its own, 60 connections or more", () => {
  for (const protocol of Object.keys(CARRIERS)) {
    const runs = samples.filter(({ run }) => run.protocol === protocol);
    assert.equal(runs.length, RUNS);
    assert.equal(new Set(runs.map(({ run }) => run.seed)).size, RUNS);
    assert.ok(runs.every(({ connections }) => connections >= 10));
    assert.ok(runs.reduce((sum, { connections }) => sum + connections, 0) >= 60);
  }
});

for (const { file, connections, run } of samples) {
  Deno.test(`samples: ${file} can be learned from and holds no content`, async () => {
    const found: Connection[] = [];
    await readConnections(folder + file, { onConnection: (one) => found.push(one) });
    assert.equal(found.length, connections);
    for (const { clientAddress, serverAddress, handshake, start, end, missingBytes } of found) {
      assert.deepEqual([clientAddress, serverAddress], [CLIENT_ADDRESS, SERVER_ADDRESS]);
      assert.equal(handshake.carrier, CARRIERS[run.protocol]);
      assert.equal(handshake.end, "observed");
      assert.equal(start, "syn");
      assert.ok(end.how === "fin" || end.how === "rst");
      assert.deepEqual(missingBytes, [0, 0]);
    }
    const talked = found.filter((connection) => messagesOf(connection).length >= 2);
    assert.ok(talked.length >= found.length * 0.8, `${talked.length} of ${found.length} talked`);
    // What scrubbing zeroes is most of a capture; content that slipped through would not be zeros.
    let zeros = 0;
    let others = 0;
    await readCapture(folder + file, ({ data, payloadStart, payloadCaptured }) => {
      for (let at = payloadStart; at < payloadStart + payloadCaptured; at++) {
        if (data[at] === 0) zeros++;
        else others++;
      }
    });
    const handshakes = found.reduce(
      (sum, { handshake: { bytes } }) => sum + bytes[0] + bytes[1],
      0,
    );
    assert.ok(
      others <= handshakes + 5 * found.reduce((sum, { records }) => sum + records.length, 0),
    );
    assert.ok(zeros > others);
  });
}
