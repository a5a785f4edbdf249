import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { loadModelText, modelFromFile } from "../../models/mod.ts";
import { parseLine, startClient, startServer } from "../../transports/mimic/mod.ts";
import { FAST_MODEL, noise } from "./world.ts";

async function writeAll(conn: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
}

/** Sends back what it gets, to the end. */
function echoServer() {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const echo = async (conn: Deno.Conn) => {
    const buffer = new Uint8Array(65_536);
    for (let count = await conn.read(buffer); count !== null; count = await conn.read(buffer)) {
      await writeAll(conn, buffer.subarray(0, count));
    }
    conn.close();
  };
  const serving = (async () => {
    const echoes: Promise<void>[] = [];
    for await (const conn of listener) echoes.push(echo(conn));
    await Promise.all(echoes);
  })();
  return {
    port: (listener.addr as Deno.NetAddr).port,
    close: async () => {
      listener.close();
      await serving;
    },
  };
}

for (const sessions of [1, 3]) {
  Deno.test(`bulk: 24 MB both ways at once over ${sessions} connections, every byte compared`, async () => {
    const folder = await Deno.makeTempDir();
    const model = modelFromFile(await loadModelText("bulk"));
    const warnings: string[] = [];
    const server = await startServer({
      listen: { host: "127.0.0.1", port: 0 },
      models: [model],
      state: folder,
      allowPrivate: true,
      onWarning: (text) => warnings.push(text),
    });
    const echo = echoServer();
    const client = await startClient({
      line: parseLine(server.line),
      model,
      sessions,
      seed: new Uint8Array(32).fill(9),
      forwards: [{
        local: { host: "127.0.0.1", port: 0 },
        destination: { host: "127.0.0.1", port: echo.port },
      }],
      onNote: (text) => warnings.push(text),
    });
    try {
      assert.equal(warnings.filter((text) => text.includes("hides nothing")).length, 2);
      await Promise.all([0, 1, 2].map(async () => {
        const conn = await Deno.connect({ hostname: "127.0.0.1", port: client.doors[0]!.port });
        const blob = noise(8_000_000);
        const back = createHash("sha256");
        const reading = (async () => {
          const buffer = new Uint8Array(65_536);
          let length = 0;
          for (
            let count = await conn.read(buffer);
            count !== null;
            count = await conn.read(buffer)
          ) {
            back.update(buffer.subarray(0, count));
            length += count;
          }
          return length;
        })();
        await writeAll(conn, blob);
        await conn.closeWrite();
        assert.equal(await reading, blob.length);
        assert.equal(back.digest("hex"), createHash("sha256").update(blob).digest("hex"));
        conn.close();
      }));
      const { data, opened, padding, wire } = client.stats;
      assert(opened >= 1 && opened <= sessions);
      assert(padding < 1000 * sessions, `${padding} bytes of padding`);
      assert(wire < 1.02 * data, `${wire} bytes on the wire for ${data}`);
    } finally {
      await client.close();
      await server.close();
      await echo.close();
      await Deno.remove(folder, { recursive: true });
    }
  });
}

Deno.test("bulk: of a server whose line names another model, where it has both", async () => {
  const folder = await Deno.makeTempDir();
  const bulk = modelFromFile(await loadModelText("bulk"));
  const server = await startServer({
    listen: { host: "127.0.0.1", port: 0 },
    models: [FAST_MODEL, bulk],
    state: folder,
    allowPrivate: true,
  });
  const echo = echoServer();
  const client = await startClient({
    line: parseLine(server.line),
    model: bulk,
    seed: new Uint8Array(32).fill(9),
    forwards: [{
      local: { host: "127.0.0.1", port: 0 },
      destination: { host: "127.0.0.1", port: echo.port },
    }],
  });
  try {
    using conn = await Deno.connect({ hostname: "127.0.0.1", port: client.doors[0]!.port });
    const blob = noise(100_000);
    const reading = new Response(conn.readable).bytes();
    await writeAll(conn, blob);
    await conn.closeWrite();
    assert.deepEqual(await reading, blob);
  } finally {
    await client.close();
    await server.close();
    await echo.close();
    await Deno.remove(folder, { recursive: true });
  }
});
