import assert from "node:assert/strict";
import net from "node:net";
import {
  ConnectionPlayer,
  EngineStats,
  ReliableTunnel,
  Script,
  settlePlan,
  SystemClock,
} from "../../playback/mod.ts";
import type { ConnectionPlan, End } from "../../models/mod.ts";
import { connectTls, listenTls, makeIdentity, TLS_GRID } from "../../transports/carriers/mod.ts";

const identity = await makeIdentity("records");

/** A relay that keeps all that the server sends. */
function listener(port: number): Promise<{ port: number; seen: Uint8Array[]; close: () => void }> {
  const seen: Uint8Array[] = [];
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
    const far = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on("error", () => {});
    }
    near.on("data", (bytes) => far.write(bytes));
    near.on("end", () => far.end());
    far.on("data", (bytes: Uint8Array) => {
      seen.push(bytes.slice());
      near.write(bytes);
    });
    far.on("end", () => near.end());
  });
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      resolve({
        port: (server.address() as net.AddressInfo).port,
        seen,
        close: () => {
          server.close();
          for (const socket of sockets) socket.destroy();
        },
      });
    });
  });
}

/** Sizes on the wire of the TLS records in a stream of bytes. */
function recordSizes(chunks: readonly Uint8Array[]): number[] {
  const bytes = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  const sizes = [];
  for (let next = 0; next + 5 <= bytes.length; next += sizes.at(-1)!) {
    sizes.push(5 + (bytes[next + 3]! << 8 | bytes[next + 4]!));
  }
  return sizes;
}

const LARGE = [16406, 16406, 5000, 23, 1448, 16406, 700, 16406, 16406, 24, 3000];
const records = Array.from({ length: 12 }, () => LARGE).flat();
const size = records.reduce((sum, record) => sum + record, 0);
const PLAN: ConnectionPlan = {
  exchanges: [{
    request: { type: "data", size: 300, time: 0 },
    response: [{ type: "data", size, time: 5, records }, { type: "data", size: 77, time: 3 }],
  }],
  close: { by: "client", how: "fin", time: 5 },
};

for (const busy of [false, true]) {
  Deno.test(`tls: a message of ${size} bytes has the model's records on the wire, ${busy ? "saturated" : "idle"}`, async () => {
    const clock = new SystemClock();
    const played: Promise<boolean>[] = [];
    const play = (end: End, connection: Parameters<typeof start>[1]) => {
      played.push(start(end, connection));
    };
    const start = (end: End, connection: Awaited<ReturnType<typeof connectTls>>) =>
      new Promise<boolean>((resolve) => {
        const tunnel = new ReliableTunnel({ end, clock });
        if (busy) tunnel.open({ host: "a", port: 1 }).write(new Uint8Array(500_000).fill(7));
        tunnel.onStream = (stream) => stream.accept();
        new ConnectionPlayer({
          clock,
          connection,
          end,
          session: 0,
          serial: 0,
          number: 1,
          script: new Script(TLS_GRID, settlePlan(PLAN, TLS_GRID)),
          tunnel,
          dataAllowed: true,
          stall: () => 20_000,
          stats: new EngineStats(),
          onDone: ({ completed }) => {
            tunnel.fail(new Error("over"));
            resolve(completed);
          },
        }).start();
      });
    const server = await listenTls(
      { hostname: "127.0.0.1", port: 0, identity },
      (connection) => play("server", connection),
    );
    const relay = await listener(server.port);
    try {
      play(
        "client",
        await connectTls({ hostname: "127.0.0.1", port: relay.port, pin: identity.pin }),
      );
      while (played.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
      assert.deepEqual(await Promise.all(played), [true, true]);
      const sizes = recordSizes(relay.seen);
      const from = sizes.findIndex((_, at) =>
        records.every((record, i) => sizes[at + i] === record)
      );
      assert(from >= 0, `no such records: ${sizes.join()}`);
      assert.equal(sizes[from + records.length], 77);
      // Before it the handshake, after it at most the alert of the close.
      assert(sizes.length - from - records.length - 1 <= 1);
    } finally {
      relay.close();
      await server.close();
    }
  });
}
