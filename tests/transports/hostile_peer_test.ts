import assert from "node:assert/strict";
import net from "node:net";
import { loadModelText, modelFromFile } from "../../models/mod.ts";
import type { CarrierConnection } from "../../transports/carriers/mod.ts";
import { connectTls, listenTls, makeIdentity } from "../../transports/carriers/mod.ts";
import { startBuiltInDecoy } from "../../transports/mimic/decoy.ts";
import { makeDecoyPages } from "../../transports/mimic/decoy_page.ts";
import { TmClient, TmServer } from "../../transports/mimic/mod.ts";
import { clientSeal, helloProof, newSecret, tunnelKey } from "../../transports/mimic/proof.ts";
import { Collector } from "./helpers.ts";
import { deafRelay, endlessServer, garbled } from "./hostile_peers.ts";
import { FAST_MODEL, noise, webServer } from "./world.ts";

const identity = await makeIdentity("hostile");
const BULK = modelFromFile(await loadModelText("bulk"));

/** A server of two users, and what its peers need. */
async function world(limits: { handshakes?: number; strangers?: number } = {}) {
  const secrets = [newSecret(), newSecret()] as const;
  const decoy = startBuiltInDecoy(makeDecoyPages());
  const notes: string[] = [];
  const server = new TmServer({
    secrets,
    models: [FAST_MODEL, BULK],
    decoy,
    destinations: { allowPrivate: true },
    ...(limits.strangers === undefined ? {} : { maxStrangers: limits.strangers }),
    onNote: (text) => notes.push(text),
  });
  const carrier = await listenTls({
    hostname: "127.0.0.1",
    port: 0,
    identity,
    ...(limits.handshakes === undefined ? {} : { maxHandshakes: limits.handshakes }),
  }, server.accept);
  const connect = (port = carrier.port) =>
    connectTls({ hostname: "127.0.0.1", port, pin: identity.pin });
  const clients: TmClient[] = [];
  const client = (options: {
    user?: 0 | 1;
    model?: typeof BULK;
    connect?: () => Promise<CarrierConnection>;
  } = {}) => {
    const made = new TmClient({
      server: "the server",
      secret: secrets[options.user ?? 0],
      connect: options.connect ?? (() => connect()),
      model: options.model ?? FAST_MODEL,
      seed: noise(32),
    });
    clients.push(made);
    made.start();
    return made;
  };
  return {
    secrets,
    server,
    notes,
    port: carrier.port,
    connect,
    client,
    stop: async () => {
      await Promise.all(clients.map((each) => each.stop(100)));
      await carrier.close();
      server.stop();
      await decoy.close();
    },
  };
}

/** Fetches `length` bytes of a server that sends `blob` to everybody, and compares. */
async function fetchBlob(client: TmClient, port: number, blob: Uint8Array): Promise<void> {
  const stream = client.open({ host: "127.0.0.1", port });
  const writer = stream.writable.getWriter();
  await writer.write(
    new TextEncoder().encode("GET /blob HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"),
  );
  const got = new Uint8Array(await new Response(stream.readable).arrayBuffer());
  assert.deepEqual(got.subarray(got.length - blob.length), blob);
  await writer.close().catch(() => {});
}

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

for (const model of [FAST_MODEL, BULK]) {
  const { name } = model.description;
  Deno.test(`hostile: a peer that never reads (${name}) holds little, and others go on`, async () => {
    const here = await world();
    const endless = await endlessServer();
    const relay = await deafRelay(here.port, 20_000);
    const blob = noise(400_000);
    const web = webServer("127.0.0.1", blob);
    try {
      const deaf = here.client({ model, connect: () => here.connect(relay.port) });
      await deaf.ready;
      const streams = Array.from(
        { length: 4 },
        () => deaf.open({ host: "127.0.0.1", port: endless.port }),
      );
      const other = here.client({ user: 1, model });
      await other.ready;
      await sleep(500);
      await fetchBlob(other, web.addr.port, blob);
      const before = endless.taken();
      await sleep(700);
      // Windows, buffers of sockets on the way, and no more: a quarter of what a second would carry.
      assert(before < 64e6, `${before} bytes taken`);
      assert(endless.taken() - before < 4e6, `${endless.taken() - before} more bytes taken`);
      await fetchBlob(other, web.addr.port, blob);
      for (const stream of streams) stream.reset();
    } finally {
      relay.close();
      await here.stop();
      await web.shutdown();
      endless.close();
    }
  });
}

Deno.test("hostile: frames that make no sense end their connection and nobody else's", async () => {
  const here = await world();
  const blob = noise(400_000);
  const web = webServer("127.0.0.1", blob);
  try {
    const other = here.client({ user: 1 });
    await other.ready;
    // Nonsense behind the proof: no set-up at all.
    const raw = Promise.all(Array.from({ length: 20 }, async (_, i) => {
      const connection = await here.connect();
      const { certificateDigest } = connection;
      const collector = new Collector(connection);
      const hello = helloProof(here.secrets[0], certificateDigest, 0, i % 16);
      const key = tunnelKey(here.secrets[0], hello.nonce);
      const seal = clientSeal(key, certificateDigest, 0, i % 16);
      const record = new Uint8Array(1000);
      record.set(hello.first);
      record.set(seal(noise(1000 - hello.first.length)), hello.first.length);
      connection.write(record);
      for (let more = 0; more < 10; more++) connection.write(seal(noise(1 + 700 * more)));
      await collector.closed;
      connection.close("rst");
    }));
    // Nonsense after a good beginning, over and over, whatever is played.
    const bad = [FAST_MODEL, BULK].map((model) =>
      here.client({ model, connect: async () => garbled(await here.connect(), 1) })
    );
    for (const client of bad) client.ready.catch(() => {});
    await Promise.all([raw, fetchBlob(other, web.addr.port, blob)]);
    await sleep(300);
    for (const client of bad) {
      try {
        client.open({ host: "127.0.0.1", port: web.addr.port }).opened.catch(() => {});
      } catch {
        // Its tunnel may have ended.
      }
    }
    await fetchBlob(other, web.addr.port, blob);
    assert(here.notes.some((note) => note.includes("was given up")), here.notes.join("\n"));
    assert(here.server.tunnels <= 256);
  } finally {
    await here.stop();
    await web.shutdown();
  }
});

Deno.test("hostile: floods of half-open connections are bounded and keep no user out", async () => {
  const here = await world({ handshakes: 40, strangers: 40 });
  const blob = noise(200_000);
  const web = webServer("127.0.0.1", blob);
  const flood: net.Socket[] = [];
  const dial = (first?: Uint8Array) =>
    new Promise<net.Socket>((resolve, reject) => {
      const socket = net.connect({ port: here.port, host: "127.0.0.1" }, () => resolve(socket));
      socket.once("error", reject);
      socket.on("error", () => {});
      if (first !== undefined) socket.write(first);
      flood.push(socket);
    });
  try {
    const before = here.client();
    await before.ready;
    let ended = 0;
    // Silent ones, and half a ClientHello.
    const half = Uint8Array.of(22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3);
    for (let i = 0; i < 200; i++) {
      const socket = await dial(i % 2 === 0 ? undefined : half);
      socket.once("close", () => ended++);
      socket.resume();
    }
    // Handshakes, and then silence.
    const silent = [];
    for (let i = 0; i < 100; i++) silent.push(await here.connect());
    await sleep(200);
    assert(here.server.strangers <= 40, `${here.server.strangers} strangers`);
    assert(ended >= 100, `${ended} of 200 half-open connections were ended`);
    await fetchBlob(before, web.addr.port, blob);
    const after = here.client({ user: 1 });
    await after.ready;
    await fetchBlob(after, web.addr.port, blob);
    for (const connection of silent) connection.close("rst");
  } finally {
    for (const socket of flood) socket.destroy();
    await here.stop();
    await web.shutdown();
  }
});

Deno.test("hostile: wrong secrets meet the decoy, leave nothing behind and disturb nobody", async () => {
  const here = await world();
  const blob = noise(200_000);
  const web = webServer("127.0.0.1", blob);
  try {
    const user = here.client();
    await user.ready;
    const tunnels = here.server.tunnels;
    const wrong = newSecret();
    const guesses = Array.from({ length: 100 }, async () => {
      const connection = await here.connect();
      const collector = new Collector(connection);
      connection.write(helloProof(wrong, connection.certificateDigest, 0, 0).first);
      connection.write(new TextEncoder().encode("\r\n\r\n"));
      connection.close("fin");
      await collector.closed;
    });
    await Promise.all([...guesses, fetchBlob(user, web.addr.port, blob)]);
    for (let wait = 0; here.server.strangers > 0 && wait < 100; wait++) await sleep(20);
    assert.equal(here.server.strangers, 0);
    assert.equal(here.server.tunnels, tunnels);
  } finally {
    await here.stop();
    await web.shutdown();
  }
});
