import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import net, { type AddressInfo, type Socket } from "node:net";
import { dial, DialError, PtError, splice } from "../../../transports/pt/mod.ts";

/** Two ends of a TCP connection, the second one paused. */
async function pair(): Promise<[Socket, Socket]> {
  const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const accepted = new Promise<Socket>((resolve) => server.once("connection", resolve));
  const near = await dial({ host: "127.0.0.1", port: (server.address() as AddressInfo).port });
  const far = await accepted;
  server.close();
  for (const socket of [near, far]) socket.on("error", () => {});
  return [near, far];
}

function digest(socket: Socket): Promise<string> {
  const hash = createHash("sha256");
  socket.on("data", (bytes: Uint8Array) => hash.update(bytes));
  socket.resume();
  return new Promise((resolve) => socket.once("end", () => resolve(hash.digest("hex"))));
}

function made(seed: number): Uint8Array {
  return new Uint8Array(8_000_000).map((_, at) => (at * 2654435761 >>> 13) + seed);
}

Deno.test("megabytes both ways arrive whole, each direction to its own end", async () => {
  const [[user, a], [b, bridge]] = await Promise.all([pair(), pair()]);
  const done = splice(a, b, (bytes) => bytes.map((byte) => ~byte));
  const [up, down] = [made(0), made(1)];
  user.end(up);
  assert.equal(
    await digest(bridge),
    createHash("sha256").update(up.map((byte) => ~byte)).digest("hex"),
  );
  bridge.end(down);
  assert.equal(await digest(user), createHash("sha256").update(down).digest("hex"));
  await done;
});

Deno.test("a receiver that does not read holds its sender back", async () => {
  const [[user, a], [b, bridge]] = await Promise.all([pair(), pair()]);
  const done = splice(a, b);
  const total = 64_000_000;
  const chunk = new Uint8Array(64_000);
  let sent = 0;
  // Writes until the other side takes no more; what has been taken stays in the kernel's buffers.
  while (sent < total) {
    if (!user.write(chunk)) {
      const drained = await new Promise((resolve) => {
        user.once("drain", () => resolve(true));
        setTimeout(() => resolve(false), 200);
      });
      if (!drained) break;
    }
    sent += chunk.length;
  }
  assert.ok(sent < total, "everything was taken");
  assert.ok(b.writableLength < 1_000_000, `${b.writableLength} bytes are held`);
  user.destroy();
  bridge.destroy();
  await assert.rejects(done);
});

Deno.test("when one side breaks, the other is destroyed", async () => {
  for (const breaking of [0, 1]) {
    const [[user, a], [b, bridge]] = await Promise.all([pair(), pair()]);
    const done = splice(a, b);
    const [broken, other] = breaking === 0 ? [user, bridge] : [bridge, user];
    const closed = new Promise((resolve) => other.once("close", resolve));
    other.resume();
    broken.resetAndDestroy();
    await assert.rejects(done);
    other.end();
    await closed;
    assert.ok(a.destroyed && b.destroyed);
  }
});

Deno.test("a function that throws breaks both", async () => {
  const [[user, a], [b, bridge]] = await Promise.all([pair(), pair()]);
  const done = splice(a, b, () => {
    throw new PtError("no");
  });
  user.write("x");
  await assert.rejects(done, /no/);
  user.destroy();
  bridge.destroy();
});

Deno.test("dial says in words and in a SOCKS reply what went wrong, and names no address", async () => {
  const gone = new AbortController();
  gone.abort(new PtError("gave up"));
  await assert.rejects(dial({ host: "127.0.0.1", port: 9 }, { signal: gone.signal }), /gave up/);
  const refused = await dial({ host: "127.0.0.1", port: 1 }).catch((error) => error);
  assert.ok(refused instanceof DialError);
  assert.deepEqual([refused.message, refused.socksReply], ["connection refused", 5]);
  await assert.rejects(dial({ host: "127.0.0.1", port: 0 }), DialError);
});
