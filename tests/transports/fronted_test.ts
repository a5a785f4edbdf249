import assert from "node:assert/strict";
import net from "node:net";
import { type CarrierConnection, carrierOf, ConnectError } from "../../transports/carriers/mod.ts";
import { listenFronted, readFrontIdentity } from "../../transports/carriers/mod.ts";
import { freePort, needsNginx, NGINX, startNginx } from "../../bench/nginx.ts";
import { Collector } from "./helpers.ts";

const tls = carrierOf("tls");
const PATH = "/c2VjcmV0LXBhdGg";

/** A relay to `port` that notes the lengths of the TLS records that come back. */
async function recordMeter(port: number) {
  const records: number[] = [];
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
    const far = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    let head: number[] = [];
    let left = 0;
    far.on("data", (bytes) => {
      for (let at = 0; at < bytes.length;) {
        if (left > 0) {
          const step = Math.min(left, bytes.length - at);
          left -= step;
          at += step;
          continue;
        }
        head.push(bytes[at++]!);
        if (head.length < 5) continue;
        left = head[3]! * 256 + head[4]!;
        records.push(5 + left);
        head = [];
      }
      near.write(bytes);
    });
    near.on("data", (bytes) => far.write(bytes));
    near.on("end", () => far.end());
    far.on("end", () => near.end());
    near.on("error", () => far.destroy());
    far.on("error", () => near.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as net.AddressInfo).port,
    records,
    [Symbol.dispose]: () => void server.close(),
  };
}

async function fronted() {
  const port = freePort();
  const nginx = await startNginx({ front: { path: PATH, port } });
  const accepted: CarrierConnection[] = [];
  let wake = () => {};
  const server = await tls.listen({
    hostname: "127.0.0.1",
    port,
    identity: await readFrontIdentity(nginx.cert),
    secrets: [],
    state: nginx.folder,
    path: PATH,
  }, (connection) => {
    accepted.push(connection);
    wake();
  });
  const connect = async (path = PATH, at = nginx.port) => {
    const client = await tls.client({
      hostname: "127.0.0.1",
      port: at,
      pin: nginx.identity.pin,
      secret: new Uint8Array(32),
      alpn: ["http/1.1"],
      path,
    });
    return await client.connect();
  };
  const next = async () => {
    while (accepted.length === 0) await new Promise<void>((resolve) => wake = resolve);
    return accepted.shift()!;
  };
  return {
    nginx,
    connect,
    next,
    [Symbol.asyncDispose]: async () => {
      await server.close();
      await nginx[Symbol.asyncDispose]();
    },
  };
}

Deno.test({
  name: needsNginx("fronted: nginx hands the secret path on, and one write is one record"),
  ignore: !NGINX,
  fn: async () => {
    await using world = await fronted();
    using meter = await recordMeter(world.nginx.port);
    const client = await world.connect(PATH, meter.port);
    const server = await world.next();
    assert.deepEqual(client.certificateDigest, server.certificateDigest);
    assert.equal(server.remoteAddress, "127.0.0.1");
    assert.ok(server.remotePort > 0);
    const [atClient, atServer] = [new Collector(client), new Collector(server)];
    const handshake = meter.records.length;
    const sizes = Array.from({ length: 300 }, (_, i) => 1 + (i * 7919) % 16_384);
    let total = 0;
    for (const size of sizes) {
      server.write(new Uint8Array(size).fill(size & 255));
      await atClient.waitFor(total += size);
    }
    assert.deepEqual(meter.records.slice(handshake), sizes.map((size) => size + 22));
    const up = new Uint8Array(100_000).map((_, i) => i >>> 4);
    for (let at = 0; at < up.length; at += 5000) client.write(up.subarray(at, at + 5000));
    assert.deepEqual(await atServer.waitFor(up.length), up);
    client.close("fin");
    assert.equal(await atServer.closed, "fin");
    server.close("fin");
    assert.equal(await atClient.closed, "fin");
  },
});

Deno.test({
  name: needsNginx(
    "fronted: another path is the web server's, and so is ours when nobody is behind",
  ),
  ignore: !NGINX,
  fn: async () => {
    await using world = await fronted();
    await assert.rejects(world.connect("/other"), (error: Error) => {
      assert.ok(error instanceof ConnectError);
      assert.match(error.message, /answers 404 on the line's path=/);
      return true;
    });
    const client = await world.connect();
    const server = await world.next();
    const seen = new Collector(client);
    new Collector(server);
    server.close("rst");
    assert.equal(await seen.closed, "fin");
    client.close("fin");
  },
});

Deno.test("fronted: a head may come in any pieces, and what is none is answered or cut off", async () => {
  const port = freePort();
  const addresses: [string, number][] = [];
  const server = await listenFronted({
    hostname: "127.0.0.1",
    port,
    path: PATH,
    identity: { certificate: "", key: "", digest: new Uint8Array(32), pin: "" },
  }, (connection) => {
    addresses.push([connection.remoteAddress, connection.remotePort]);
    const seen = new Collector(connection);
    void seen.waitFor(3).then((bytes) => {
      connection.write(bytes);
      connection.close("fin");
    });
  });
  const talk = async (pieces: string[]) => {
    const conn = await Deno.connect({ hostname: "127.0.0.1", port });
    for (const piece of pieces) {
      await conn.write(new TextEncoder().encode(piece));
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await conn.closeWrite();
    return await new Response(conn.readable).text().catch(() => "cut off");
  };
  const head = (more = "") =>
    `GET ${PATH} HTTP/1.1\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${more}\r\n`;
  // The key and its answer are those of RFC 6455, section 1.3.
  const answer = /^HTTP\/1\.1 101 [^]*s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n\r\nabc$/;
  const real = "X-Real-IP: 2001:db8::7\r\nX-Real-Port: 4711\r\n";
  assert.match(await talk([head(real) + "abc"]), answer);
  assert.match(await talk([...head("X-Real-IP: me\r\nX-Real-Port: 99999\r\n"), "abc"]), answer);
  assert.deepEqual(addresses, [["2001:db8::7", 4711], ["", 0]]);
  for (const other of ["GET / HTTP/1.1\r\n\r\n", `GET ${PATH} HTTP/1.1\r\n\r\n`, "\r\n\r\n"]) {
    assert.match(await talk([other]), /^HTTP\/1\.1 404 /);
  }
  assert.match(await talk(["x".repeat(40_000)]), /^$|cut off/);
  assert.equal(addresses.length, 2);
  await server.close();
});
