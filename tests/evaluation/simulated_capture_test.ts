import assert from "node:assert/strict";
import { type Connection, messagesOf, readConnections } from "../../capture/mod.ts";
import {
  simulateCapture,
  SIMULATED_LINKS,
  simulatedSource,
  TLS_HANDSHAKE,
  writeSimulatedCapture,
} from "../../evaluation/simulation/mod.ts";
import { builtinModel, ConstantRate } from "../../models/mod.ts";
import { main } from "../../cli/main.ts";

const SEED = new Uint8Array(32).fill(5);

async function connectionsOf(source: Parameters<typeof readConnections>[0]): Promise<Connection[]> {
  const found: Connection[] = [];
  await readConnections(source, { onConnection: (connection) => found.push(connection) });
  return found;
}

Deno.test("simulated capture: our reader finds the TLS handshake, whole connections and the plan's messages", async () => {
  const capture = simulateCapture({
    model: new ConstantRate(),
    link: SIMULATED_LINKS["canada-uk"]!,
    seed: SEED,
    connections: 7,
  });
  const found = await connectionsOf(simulatedSource(capture, "constant.pcap"));
  assert.equal(found.length, 7);
  const { hello, finished, flight, tickets } = TLS_HANDSHAKE;
  for (const connection of found) {
    assert.deepEqual(connection.handshake.bytes, [hello + finished, flight + tickets]);
    assert.equal(connection.handshake.end, "observed");
    assert.equal(connection.handshake.version, "1.3");
    assert.equal(connection.end.how, "fin");
    assert.deepEqual(connection.missingBytes, [0, 0]);
    const messages = messagesOf(connection);
    assert.equal(messages.length, 20);
    assert.ok(messages.every(({ size, side }, i) => size === 1448 && side === i % 2));
    // SYN to SYN-ACK: there and back.
    assert.ok(Math.abs(connection.rtt.server! - 90) < 0.1);
  }
});

Deno.test("simulated capture: headers of records of every model's connections lie where TLS has them", async () => {
  for (const name of ["https", "smtp", "ssh"]) {
    const capture = simulateCapture({
      model: await builtinModel(name),
      link: SIMULATED_LINKS["lab"]!,
      seed: SEED,
      connections: 30,
      sessions: 2,
    });
    assert.equal(capture.unfinished, 0);
    assert.deepEqual(capture.faults, []);
    const found = await connectionsOf(simulatedSource(capture, "cover.pcap"));
    assert.equal(found.length, 30);
    for (const { handshake, records, segments, clientPort } of found) {
      assert.equal(handshake.end, "observed");
      assert.ok(capture.names.has(clientPort));
      for (const side of [0, 1]) {
        let framed = 0;
        let sent = 0;
        for (let row = 0; row < records.length; row++) {
          if (records.side[row] === side) framed += records.size[row]!;
        }
        for (let row = 0; row < segments.length; row++) {
          if (segments.side[row] === side) sent += segments.size[row]!;
        }
        // A reset cuts a record in the middle.
        assert.ok(framed >= sent && framed - sent < 17_000, `${name}: ${framed} of ${sent}`);
      }
    }
  }
});

Deno.test("simulate: one seed makes one file, gzipped or not; another makes another", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const options = { link: SIMULATED_LINKS["mobile"]!, connections: 5, model: new ConstantRate() };
    const first = simulateCapture({ ...options, seed: SEED });
    await writeSimulatedCapture(first, `${folder}/a.pcap`);
    await writeSimulatedCapture(simulateCapture({ ...options, seed: SEED }), `${folder}/b.pcap`);
    await writeSimulatedCapture(first, `${folder}/c.pcap.gz`);
    const bytes = await Deno.readFile(`${folder}/a.pcap`);
    assert.deepEqual(await Deno.readFile(`${folder}/b.pcap`), bytes);
    assert.ok((await Deno.stat(`${folder}/c.pcap.gz`)).size < bytes.length / 3);
    assert.equal((await connectionsOf(`${folder}/c.pcap.gz`)).length, 5);
    const run = (seed: string, out: string) =>
      main([
        "simulate",
        ...["--model", "https", "--connections", "20", "--link", "illinois-california"],
        ...["--out", `${folder}/${out}`, "--seed", seed, "--sessions", "3", "--json"],
      ]);
    assert.deepEqual([await run("1", "d"), await run("2", "e")], [0, 0]);
    assert.notDeepEqual(await Deno.readFile(`${folder}/d`), await Deno.readFile(`${folder}/e`));
    assert.equal((await connectionsOf(`${folder}/d`)).length, 20);
    assert.equal(await main(["simulate", "--model", "https", "--connections", "0"]), 2);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
