import assert from "node:assert/strict";
import net from "node:net";
import tls from "node:tls";
import { freePort, needsNginx, NGINX, startNginx } from "../../bench/nginx.ts";
import { ownHello } from "../../bench/probes.ts";
import { connectTls, listenTls } from "../../transports/carriers/mod.ts";
import { parseDecoy, parseLine, startClient, startServer } from "../../transports/mimic/mod.ts";
import { FAST_MODEL, noise } from "./world.ts";
import { Collector } from "./helpers.ts";

/** An echo server. */
async function echo() {
  const server = net.createServer((socket) => {
    socket.on("error", () => {});
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as net.AddressInfo).port,
    [Symbol.dispose]: () => void server.close(),
  };
}

/** Sends `bytes` through a door and reads as many back. */
async function thereAndBack(port: number, bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const conn = await Deno.connect({ hostname: "127.0.0.1", port });
  const sending = conn.writable.getWriter();
  void sending.write(bytes);
  const seen = new Uint8Array(bytes.length);
  for (let at = 0; at < seen.length;) {
    const count = await conn.read(seen.subarray(at));
    if (count === null) break;
    at += count;
  }
  conn.close();
  return seen;
}

for (const mode of ["native", "fronted"] as const) {
  Deno.test({
    name: needsNginx(`front door: a tunnel through ${mode} tls, where strangers meet nginx`),
    ignore: !NGINX,
    fn: async () => {
      using far = await echo();
      await using site = await startNginx();
      const warnings: string[] = [];
      const behind = freePort();
      const server = await startServer({
        listen: { host: "127.0.0.1", port: behind },
        models: [FAST_MODEL],
        state: `${site.folder}/${mode}`,
        name: "www.example.com",
        alpn: ["http/1.1"],
        allowPrivate: true,
        onWarning: (text) => warnings.push(text),
        ...(mode === "native"
          ? {
            certificate: { cert: site.cert, key: site.key },
            decoy: parseDecoy(`127.0.0.1:${site.port}`, "--decoy"),
          }
          : { front: site.cert }),
      });
      await using front = mode === "native"
        ? undefined
        : await startNginx({ like: site, front: { path: server.parts.path!, port: behind } });
      const line = parseLine(server.line);
      assert.equal(line.path, server.parts.path);
      const client = await startClient({
        line,
        connect: { host: "127.0.0.1", port: front?.port ?? behind },
        model: FAST_MODEL,
        seed: new Uint8Array(32).fill(5),
        forwards: [{
          local: { host: "127.0.0.1", port: 0 },
          destination: { host: "127.0.0.1", port: far.port },
        }],
      });
      const sent = noise(200_000);
      assert.deepEqual(await thereAndBack(client.doors[0]!.port, sent), sent);
      await client.close();
      await server.close();
      assert.deepEqual(warnings, []);
    },
  });
}

Deno.test({
  name: needsNginx(
    "front door: the operator hears of a decoy with another certificate, or without TLS",
  ),
  ignore: !NGINX,
  fn: async () => {
    await using site = await startNginx();
    const plain = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      () => new Response(),
    );
    const heard = async (decoy: string) => {
      const warnings: string[] = [];
      const server = await startServer({
        listen: { host: "127.0.0.1", port: 0 },
        models: [FAST_MODEL],
        state: `${site.folder}/other`,
        decoy: parseDecoy(decoy, "--decoy"),
        onWarning: (text) => warnings.push(text),
      });
      await server.close();
      return warnings.join();
    };
    assert.match(await heard(`127.0.0.1:${site.port}`), /another certificate/);
    assert.match(await heard(`127.0.0.1:${plain.addr.port}`), /does not answer as a TLS server/);
    assert.equal(await heard(`http://127.0.0.1:${plain.addr.port}/`), "");
    await plain.shutdown();
    const dead = plain.addr.port;
    assert.match(
      await heard(`127.0.0.1:${dead}`),
      new RegExp(`^the decoy at 127\\.0\\.0\\.1:${dead} cannot be reached \\(refused\\)`),
    );
    assert.match(await heard(`http://127.0.0.1:${dead}`), /^the decoy at http:.* \(refused\)/);
    const mute = net.createServer((socket) => socket.end("220 mail\r\n"));
    await new Promise<void>((resolve) => mute.listen(0, "127.0.0.1", resolve));
    const { port } = mute.address() as net.AddressInfo;
    assert.match(await heard(`http://127.0.0.1:${port}`), /does not answer as a web server/);
    mute.close();
  },
});

Deno.test({
  name: needsNginx("front door: a flood of strangers is bounded, and our own clients get in"),
  ignore: !NGINX,
  fn: async () => {
    await using nginx = await startNginx();
    const server = await listenTls({
      hostname: "127.0.0.1",
      port: 0,
      identity: nginx.identity,
      genuine: { host: "127.0.0.1", port: nginx.port },
      maxHandshakes: 20,
      maxStrangers: 10,
    }, (connection) => {
      new Collector(connection);
      connection.write(new TextEncoder().encode("welcome"));
    });
    const hello = await ownHello();
    let open = 0;
    let closed = 0;
    const flood = (bytes: Uint8Array) => {
      const socket = net.connect({ host: "127.0.0.1", port: server.port, noDelay: true });
      open++;
      socket.on("error", () => {});
      socket.on("data", () => {});
      socket.on("close", () => closed++);
      socket.write(bytes);
      return socket;
    };
    const sockets = [
      ...Array.from({ length: 60 }, () => flood(hello.subarray(0, 50))),
      ...Array.from({ length: 40 }, () => flood(hello)),
    ];
    // All but 20 half-open ones and 10 strangers are cut off.
    while (open - closed > 30) await new Promise((resolve) => setTimeout(resolve, 5));
    for (let i = 0; i < 5; i++) {
      const connection = await connectTls({
        hostname: "127.0.0.1",
        port: server.port,
        pin: nginx.identity.pin,
      });
      assert.equal(
        new TextDecoder().decode(await new Collector(connection).waitFor(7)),
        "welcome",
      );
      connection.close("rst");
    }
    for (const socket of sockets) socket.destroy();
    await server.close();
  },
});

Deno.test({
  name: needsNginx("front door: a stranger who takes nothing does not fill our memory"),
  ignore: !NGINX,
  fn: async () => {
    await using nginx = await startNginx();
    const held: (() => number)[] = [];
    const server = await listenTls({
      hostname: "127.0.0.1",
      port: 0,
      identity: nginx.identity,
      genuine: { host: "127.0.0.1", port: nginx.port },
    }, (connection) => {
      // The way of the guard: the genuine server's bytes to the peer, held back when they are not taken.
      const genuine = connection.genuine;
      assert.ok(typeof genuine === "function");
      const socket = genuine();
      let queued = 0;
      socket.on("data", (bytes: Uint8Array) => {
        queued += bytes.length;
        if (queued > 262_144) socket.pause();
      });
      socket.on("error", () => {});
      held.push(() => queued);
      connection.listener = {
        onData: (bytes) => void socket.write(bytes.slice()),
        onClose: () => {},
      };
    });
    const client = tls.connect({
      host: "127.0.0.1",
      port: server.port,
      servername: "www.example.com",
      rejectUnauthorized: false,
    });
    client.on("error", () => {});
    client.once("secureConnect", () => client.write("GET /big HTTP/1.0\r\n\r\n"));
    while ((held[0]?.() ?? 0) < 262_144) await new Promise((resolve) => setTimeout(resolve, 5));
    await new Promise((resolve) => setTimeout(resolve, 300));
    const queued = held[0]!();
    assert.ok(queued < 1_500_000, `${queued} of 3,000,000 bytes were read for nobody`);
    client.destroy();
    await server.close();
  },
});

Deno.test("front door: application protocols where they mean nothing are refused", async () => {
  const state = await Deno.makeTempDir();
  const start = (carrier: string, alpn: string[]) =>
    startServer({
      listen: { host: "127.0.0.1", port: 0 },
      models: [FAST_MODEL],
      carrier,
      state,
      alpn,
    });
  for (const carrier of ["smtp", "ssh"]) {
    await assert.rejects(start(carrier, ["h2"]), /--alpn.* mean nothing to the carrier/);
    assert.deepEqual([...Deno.readDirSync(state)], []);
  }
  await Deno.remove(state, { recursive: true });
});
