import assert from "node:assert/strict";
import { modelFromFile } from "../../models/mod.ts";
import { parseLine, readLines, startClient, startServer } from "../../transports/mimic/mod.ts";
import { CROWD_MODEL_FILE, crowdServer, stateWithUsers, transfers } from "./crowd.ts";
import { noise } from "./world.ts";

Deno.test("many: ten clients of three users at once, every byte compared", async () => {
  const folder = await Deno.makeTempDir();
  const model = modelFromFile(CROWD_MODEL_FILE);
  await stateWithUsers(folder, 3);
  const server = await startServer({
    listen: { host: "127.0.0.1", port: 0 },
    models: [model],
    state: folder,
    allowPrivate: true,
  });
  const lines = await readLines(folder);
  assert.equal(lines.length, 3);
  const blobs = Array.from({ length: 10 }, () => noise(60_000));
  const web = crowdServer(blobs);
  const clients = await Promise.all(blobs.map((_, index) =>
    startClient({
      line: parseLine(lines[index % 3]!),
      model,
      seed: new Uint8Array(32).fill(index),
      forwards: [{
        local: { host: "127.0.0.1", port: 0 },
        destination: { host: "127.0.0.1", port: web.addr.port },
      }],
    })
  ));
  assert.equal(server.server.tunnels, 10);
  const bytes = await Promise.all(
    clients.map(({ doors }, index) =>
      transfers(doors[0]!.port, index, blobs[index]!, (round) => round < 2)
    ),
  );
  assert.deepEqual(bytes, new Array(10).fill(180_000));
  // One that leaves does not take others of its user along.
  await clients[0]!.close();
  assert.equal(
    await transfers(clients[3]!.doors[0]!.port, 3, blobs[3]!, (round) => round < 1),
    90_000,
  );
  await Promise.all(clients.slice(1).map((client) => client.close()));
  await server.close();
  await web.shutdown();
  await Deno.remove(folder, { recursive: true });
});
