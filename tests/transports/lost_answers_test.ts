import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { Clock } from "../../playback/mod.ts";
import { connectTls } from "../../transports/carriers/mod.ts";
import { parseLine, startServer, TmClient } from "../../transports/mimic/mod.ts";
import { FAST_MODEL, noise } from "./world.ts";

/** A clock that goes faster than the wall's. */
function hasty(factor: number): Clock {
  return {
    now: () => performance.now() * factor,
    at: (time, run) =>
      setTimeout(run, Math.max(0, time / factor - performance.now())) as unknown as number,
    cancel: (timer) => clearTimeout(timer),
  };
}

Deno.test("tunnel: a network that breaks a dozen connections before the server's answer costs no stream", async () => {
  const state = await Deno.makeTempDir();
  const server = await startServer({
    listen: { host: "127.0.0.1", port: 0 },
    models: [FAST_MODEL],
    state,
    allowPrivate: true,
  });
  const echo = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const echoing = (async () => {
    for await (const conn of echo) conn.readable.pipeTo(conn.writable).catch(() => {});
  })();
  const { address, cert, secret } = parseLine(server.line);
  let broken = 0;
  let breaking = false;
  const open = new Set<{ close(how: "fin" | "rst"): void }>();
  const notes: string[] = [];
  const client = new TmClient({
    server: "the server",
    secret,
    connect: async () => {
      const connection = await connectTls({
        hostname: address.host,
        port: address.port,
        pin: cert,
      });
      open.add(connection);
      if (breaking) {
        broken++;
        // After the handshake, before an answer: as a network does that carries next to nothing.
        queueMicrotask(() => {
          connection.close("rst");
          connection.listener?.onClose("rst");
        });
      }
      return connection;
    },
    model: FAST_MODEL,
    seed: crypto.getRandomValues(new Uint8Array(32)),
    clock: hasty(20),
    onNote: (text) => notes.push(text),
  });
  client.start();
  await client.ready;
  const stream = client.open({ host: "127.0.0.1", port: echo.addr.port });
  await stream.opened;
  breaking = true;
  for (const connection of open) connection.close("rst");
  const deadline = performance.now() + 15_000;
  while (broken < 10 && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  breaking = false;
  assert.ok(broken >= 10, `${broken} connections broken: ${notes.join("\n")}`);
  const sent = noise(50_000);
  const [writer, reader] = [stream.writable.getWriter(), stream.readable.getReader()];
  const writing = writer.write(sent);
  const back: Uint8Array[] = [];
  for (let got = 0; got < sent.length;) {
    const { done, value } = await reader.read();
    assert.ok(!done, "the stream goes on");
    back.push(value);
    got += value.length;
  }
  await writing;
  assert.equal(Buffer.compare(Buffer.concat(back), sent), 0);
  assert.ok(!notes.some((note) => /new tunnel|new one/.test(note)), notes.join("\n"));
  stream.reset();
  await client.stop(0);
  await server.close();
  echo.close();
  await echoing.catch(() => {});
  await Deno.remove(state, { recursive: true });
});
