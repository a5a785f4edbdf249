import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { readConnections } from "../../capture/mod.ts";
import { LAB_PROTOCOLS } from "../../lab/needs.ts";
import { SERVER_ADDRESS, userEnds } from "../../lab/network.ts";
import { layersOf, Timeline } from "../../models/learn/mod.ts";
import { checkListed, listedSamples } from "./listed_samples.ts";

const folder = fileURLToPath(new URL("../../samples/users/", import.meta.url));
const samples = await listedSamples(folder);
const LARGEST = 2_000_000;

Deno.test("samples of users: each file is the one its provenance speaks of, and all fit in 2 MB", async () => {
  await checkListed(folder, LAB_PROTOCOLS, samples, LARGEST);
  for (const { file, run } of samples) assert.ok(run.users! >= 10, file);
});

for (const protocol of LAB_PROTOCOLS) {
  Deno.test(`samples of users: ${protocol} shows users, episodes and sessions`, async () => {
    const timeline = new Timeline();
    for (const { file, connections, run } of samples) {
      if (run.protocol !== protocol) continue;
      const users = new Map<string, string>();
      let end = 0;
      let seen = 0;
      await readConnections(folder + file, {
        onConnection: ({ clientAddress, serverAddress, startTime, endTime, start }) => {
          assert.equal(start, "syn");
          timeline.add(clientAddress, startTime, endTime);
          users.set(clientAddress, serverAddress);
          end = Math.max(end, endTime);
          seen++;
        },
      });
      timeline.endCapture(end);
      assert.equal(seen, connections, file);
      // Each with an address of his own, and nobody else.
      const ends = Array.from({ length: run.users! }, (_, k) => userEnds(k));
      assert.ok(users.size >= 10, file);
      for (const [client, server] of users) {
        assert.notEqual(server, SERVER_ADDRESS);
        assert.ok(ends.some((one) => one.client === client && one.server === server), file);
      }
    }
    const { connectionGap, episode, session } = layersOf(timeline.observed());
    assert.ok(connectionGap !== undefined && episode !== undefined && session !== undefined);
    assert.ok(session.pause !== undefined);
  });
}
