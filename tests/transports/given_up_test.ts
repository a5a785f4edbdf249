// Destinations that are still being connected to when their streams have been given up.
import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import type { Socket } from "node:net";
import { loadModelText, modelFromFile } from "../../models/mod.ts";
import { STREAM_CODES } from "../../playback/mod.ts";
import { connectTls, listenTls, makeIdentity } from "../../transports/carriers/mod.ts";
import { startBuiltInDecoy } from "../../transports/mimic/decoy.ts";
import { makeDecoyPages } from "../../transports/mimic/decoy_page.ts";
import { connectDestination, leadsHome } from "../../transports/mimic/destinations.ts";
import {
  DEFAULT_USER_LIMITS,
  DestinationError,
  TmClient,
  TmServer,
} from "../../transports/mimic/mod.ts";
import { newSecret } from "../../transports/mimic/proof.ts";
import { noise } from "./world.ts";

const identity = await makeIdentity("given-up");
const BULK = modelFromFile(await loadModelText("bulk"));

/** Waits until something holds, ten seconds at most. */
async function until(holds: () => boolean): Promise<void> {
  for (let tries = 0; !holds(); tries++) {
    assert.ok(tries < 1000, "it never came to that");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** A server that allows four streams a tunnel, and a client of it; `connect` is how it reaches destinations. */
async function world(connect: (gone: AbortSignal) => Promise<Socket>) {
  const secret = newSecret();
  const decoy = startBuiltInDecoy(makeDecoyPages());
  const server = new TmServer({
    secrets: [secret],
    models: [BULK],
    decoy,
    limits: { ...DEFAULT_USER_LIMITS, streams: 4 },
    connect: (_destination, _client, gone) => connect(gone),
  });
  const carrier = await listenTls({ hostname: "127.0.0.1", port: 0, identity }, server.accept);
  const client = new TmClient({
    server: "the server",
    secret,
    connect: () => connectTls({ hostname: "127.0.0.1", port: carrier.port, pin: identity.pin }),
    model: BULK,
    seed: noise(32),
  });
  client.start();
  await client.ready;
  return {
    client,
    stop: async () => {
      await client.stop(100);
      await carrier.close();
      server.stop();
      await decoy.close();
    },
  };
}

const destination = { host: "192.0.2.1", port: 80 };
const refusedAsTooMany = (error: Error & { code?: number }) =>
  error.code === STREAM_CODES.tooManyStreams;

Deno.test("given up: streams opened and given up at once do not pile up connections", async () => {
  let begun = 0;
  const signals: AbortSignal[] = [];
  // The worst case: a way to destinations that cannot be stopped.
  const { client, stop } = await world((gone) => {
    begun++;
    signals.push(gone);
    return new Promise(() => {});
  });
  for (let round = 0; round < 20; round++) {
    const stream = client.open(destination);
    const refused = stream.opened.then(() => false, refusedAsTooMany);
    const asked = Math.min(4, round + 1);
    if (round < 4) {
      await until(() => begun === asked);
      stream.reset();
      await until(() => signals[round]!.aborted);
    } else assert.ok(await refused, `stream ${round} was not refused`);
  }
  assert.equal(begun, 4);
  await stop();
});

Deno.test("given up: a destination that nobody waits for any more makes room for the next", async () => {
  let begun = 0;
  const { client, stop } = await world((gone) => {
    begun++;
    return new Promise((_, fail) =>
      gone.addEventListener("abort", () => fail(new DestinationError(1, "given up")))
    );
  });
  for (let round = 1; round <= 20; round++) {
    const stream = client.open(destination);
    stream.opened.catch(() => {});
    await until(() => begun === round);
    stream.reset();
  }
  await stop();
});

Deno.test("given up: connecting ends when its stream does, before and after it began", async () => {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as net.AddressInfo;
  const options = { allowPrivate: true };
  const cancelled = (error: Error) =>
    error instanceof DestinationError && error.code === STREAM_CODES.cancelled;
  const before = AbortSignal.abort();
  await assert.rejects(
    connectDestination({ host: "127.0.0.1", port }, options, before),
    cancelled,
  );
  const gone = new AbortController();
  const connecting = connectDestination({ host: "127.0.0.1", port }, options, gone.signal);
  await Promise.resolve();
  gone.abort();
  await assert.rejects(connecting, cancelled);
  // Once it is there, it is the stream's.
  const late = new AbortController();
  const socket = await connectDestination({ host: "127.0.0.1", port }, options, late.signal);
  late.abort();
  assert.equal(socket.destroyed, false);
  socket.destroy();
  await new Promise((resolve) => server.close(resolve));
});

Deno.test("destinations: a connection to this machine is known by its two ends, whatever the address", async () => {
  const server = net.createServer((socket) => socket.destroy()).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as net.AddressInfo;
  for (const [localAddress, home] of [["127.0.0.1", true], ["127.0.0.2", false]] as const) {
    const socket = net.connect({ host: "127.0.0.1", port, localAddress });
    await once(socket, "connect");
    assert.equal(leadsHome(socket), home, localAddress);
    socket.destroy();
  }
  await new Promise((resolve) => server.close(resolve));
});
