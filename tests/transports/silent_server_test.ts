import assert from "node:assert/strict";
import { VirtualClock } from "../../playback/mod.ts";
import { TmClient } from "../../transports/mimic/mod.ts";
import { silentConnection } from "./silent_connection.ts";
import { FAST_MODEL } from "./world.ts";

Deno.test("client: a server that says nothing to a wrong secret is named after a while", async () => {
  const clock = new VirtualClock();
  const notes: string[] = [];
  const client = new TmClient({
    server: "192.0.2.1:443",
    secret: new Uint8Array(32),
    connect: () => Promise.resolve(silentConnection()),
    model: FAST_MODEL,
    seed: new Uint8Array(32),
    clock,
    onNote: (text) => notes.push(text),
  });
  client.start();
  for (let second = 1; second <= 16; second++) {
    clock.run(second * 1000);
    for (let turn = 0; turn < 10; turn++) await Promise.resolve();
    if (second === 14) assert.deepEqual(notes, []);
  }
  assert.equal(notes.length, 1);
  assert.match(notes[0]!, /192\.0\.2\.1:443 takes connections and has not proved .*check secret=/);
  await client.stop();
});
