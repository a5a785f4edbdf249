import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { parseLine, startClient, startServer } from "../../transports/mimic/mod.ts";
import { FAST_MODEL, noise } from "./world.ts";

Deno.test("tunnel: a server that does not know a token now and then costs no tunnel that is heard otherwise", async () => {
  const [state, other] = [await Deno.makeTempDir(), await Deno.makeTempDir()];
  const serve = (folder: string) =>
    startServer({
      listen: { host: "127.0.0.1", port: 0 },
      models: [FAST_MODEL],
      state: folder,
      allowPrivate: true,
    });
  const far = await serve(state);
  // The same certificate, and nothing known of the user: what it says is what a stranger hears.
  for (const name of ["cert.pem", "key.pem"]) {
    await Deno.copyFile(`${state}/${name}`, `${other}/${name}`);
  }
  const stranger = await serve(other);
  let connections = 0;
  let strange = 0;
  const relay = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const relaying = (async () => {
    for await (const near of relay) {
      const wrong = ++connections > 10 && connections % 6 === 0;
      if (wrong) strange++;
      const { port } = (wrong ? stranger : far).address;
      const conn = await Deno.connect({ hostname: "127.0.0.1", port });
      near.readable.pipeTo(conn.writable).catch(() => {});
      conn.readable.pipeTo(near.writable).catch(() => {});
    }
  })();
  const echo = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const echoing = (async () => {
    for await (const conn of echo) conn.readable.pipeTo(conn.writable).catch(() => {});
  })();
  const notes: string[] = [];
  const near = await startClient({
    line: parseLine(far.line),
    connect: { host: "127.0.0.1", port: relay.addr.port },
    model: FAST_MODEL,
    seed: crypto.getRandomValues(new Uint8Array(32)),
    sessions: 4,
    forwards: [{
      local: { host: "127.0.0.1", port: 0 },
      destination: { host: "127.0.0.1", port: echo.addr.port },
    }],
    onNote: (text) => notes.push(text),
  });
  const conn = await Deno.connect({ hostname: "127.0.0.1", port: near.doors[0]!.port });
  // A stream that goes on until several tokens were not known.
  for (let round = 0; round < 400 && strange < 5; round++) {
    const sent = noise(20_000);
    const back = new Uint8Array(sent.length);
    const writing = (async () => {
      for (let at = 0; at < sent.length;) at += await conn.write(sent.subarray(at));
    })();
    for (let at = 0; at < back.length;) {
      const count = await conn.read(back.subarray(at));
      assert.notEqual(count, null, "the stream goes on");
      at += count!;
    }
    await writing;
    assert.equal(Buffer.compare(sent, back), 0);
  }
  assert.ok(strange >= 5, `${strange} tokens not known`);
  assert.ok(!notes.some((note) => /new one|new tunnel/.test(note)), notes.join("\n"));
  assert.ok(notes.some((note) => /proof is wrong/.test(note)), notes.join("\n"));
  conn.close();
  await near.close();
  await far.close();
  await stranger.close();
  relay.close();
  echo.close();
  await Promise.allSettled([relaying, echoing]);
  for (const folder of [state, other]) await Deno.remove(folder, { recursive: true });
});
