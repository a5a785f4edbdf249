/**
 * Peers that mean no good, for `soak_hostile.ts`: a worker that plays one kind of them after the other, as told.
 *
 * @module
 */
import net from "node:net";
import { ownHello } from "../../bench/probes.ts";
import { builtinModel } from "../../models/mod.ts";
import { type CarrierConnection, carrierOf } from "../../transports/carriers/mod.ts";
import { carrierOptionsOf, parseLine, TmClient } from "../../transports/mimic/mod.ts";
import { helloProof, newSecret } from "../../transports/mimic/proof.ts";
import { Collector } from "../transports/helpers.ts";
import { deafRelay, endlessServer, garbled } from "../transports/hostile_peers.ts";
import { noise } from "../transports/world.ts";

/** What they do. */
export type HostileKind =
  | "wrong-secrets"
  | "half-open"
  | "deaf-strangers"
  | "deaf-user"
  | "nonsense";

/** What the worker is told: to begin (with the line of a user's that they know, and their own address), or to end. */
export type HostileOrder =
  | { readonly kind: HostileKind; readonly line: string; readonly from: string }
  | "end";

/** What it answers at the end: how often each thing was done. */
export type HostileCounts = Readonly<Record<string, number>>;

/** Connections of one kind kept up at once. */
const GUESSERS = 20;
const HALF_OPEN = 3000;
const DEAF = 200;
const NONSENSE = 10;

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Keeps `count` copies of something going, one after the other each, until it is over. */
async function keepUp(count: number, over: AbortSignal, one: () => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: count }, async () => {
    while (!over.aborted) {
      await one().catch(() => {});
      await pause(1);
    }
  }));
}

async function attack(
  { from: localAddress, kind, line: text }: HostileOrder & object,
  over: AbortSignal,
): Promise<HostileCounts> {
  const line = parseLine(text);
  const { host, port } = line.address;
  const open = () =>
    new Promise<net.Socket>((resolve, reject) => {
      const socket = net.connect({ host, port, allowHalfOpen: true, noDelay: true, localAddress });
      socket.once("error", reject);
      socket.once("connect", () => resolve(socket));
    });
  const client = await carrierOf("tls").client({ ...carrierOptionsOf(line, line.address), open });
  const counts: Record<string, number> = {};
  const count = (what: string) => counts[what] = (counts[what] ?? 0) + 1;
  const ended = new Promise<void>((resolve) => over.addEventListener("abort", () => resolve()));
  const user = (connect: () => Promise<CarrierConnection>, model: string) =>
    builtinModel(model).then((model) => {
      const made = new TmClient({
        server: "the server",
        secret: line.secret,
        connect,
        model,
        seed: noise(32),
      });
      made.ready.catch(() => {});
      made.start();
      return made;
    });
  switch (kind) {
    case "wrong-secrets":
      await keepUp(GUESSERS, over, async () => {
        const connection = await client.connect();
        count("connections");
        const { closed } = new Collector(connection);
        const { first } = helloProof(newSecret(), connection.certificateDigest, 0, 0);
        connection.write(first);
        connection.write(new TextEncoder().encode("\r\n\r\n"));
        await Promise.race([closed, ended]);
        connection.close("rst");
      });
      break;
    case "half-open": {
      const hello = await ownHello(line.alpn, line.sni);
      const firsts = [new Uint8Array(0), hello.subarray(0, hello.length >> 1), hello];
      let turn = 0;
      await keepUp(HALF_OPEN, over, () =>
        new Promise<void>((resolve) => {
          const first = firsts[turn++ % firsts.length]!.slice();
          // Each another random: a replay is a case of its own.
          if (first.length > 43) crypto.getRandomValues(first.subarray(11, 43));
          const socket = net.connect({ host, port, localAddress });
          const done = () => {
            socket.destroy();
            resolve();
          };
          socket.once("connect", () => {
            count("connections");
            socket.write(first);
          });
          socket.on("data", () => {});
          socket.once("error", done);
          socket.once("close", () => {
            if (!over.aborted) count("cut off by the server");
            done();
          });
          ended.then(done);
        }).then(() => pause(100)));
      break;
    }
    case "deaf-strangers": {
      // Past the handshake, and into the answer.
      const relay = await deafRelay(port, 4000, localAddress);
      const deaf = await carrierOf("tls").client(
        carrierOptionsOf(line, { host: "127.0.0.1", port: relay.port }),
      );
      await keepUp(DEAF, over, async () => {
        const connection = await deaf.connect();
        count("connections");
        const { closed } = new Collector(connection);
        connection.write(
          new TextEncoder().encode("GET /big HTTP/1.1\r\nHost: www.example.com\r\n\r\n"),
        );
        await Promise.race([closed, ended]);
        connection.close("rst");
      });
      relay.close();
      break;
    }
    case "deaf-user": {
      const endless = await endlessServer();
      const relay = await deafRelay(port, 20_000, localAddress);
      const deaf = await carrierOf("tls").client(
        carrierOptionsOf(line, { host: "127.0.0.1", port: relay.port }),
      );
      const users = await Promise.all(
        ["bulk", "https"].map((model) => user(() => deaf.connect(), model)),
      );
      await Promise.race([Promise.all(users.map((each) => each.ready.catch(() => {}))), ended]);
      for (const each of users) {
        for (let i = 0; i < 20 && !over.aborted; i++) {
          try {
            const stream = each.open({ host: "127.0.0.1", port: endless.port });
            stream.opened.catch(() => {});
            stream.closed.catch(() => {});
            count("streams");
          } catch {
            // Its tunnel may have ended.
          }
        }
      }
      await ended;
      counts["MB taken for nobody"] = Math.round(endless.taken() / 1e6);
      relay.close();
      await Promise.all(users.map((each) => each.stop(100)));
      endless.close();
      break;
    }
    case "nonsense":
      await keepUp(NONSENSE, over, async () => {
        const bad = await user(async () => {
          const connection = await client.connect();
          count("connections");
          return garbled(connection, 1);
        }, Math.random() < 0.5 ? "bulk" : "https");
        count("tunnels");
        await Promise.race([bad.ready.catch(() => {}), ended, pause(1000)]);
        await Promise.race([pause(500), ended]);
        await bad.stop(10);
      });
      break;
  }
  return counts;
}

let over = new AbortController();
(globalThis as unknown as Worker).onmessage = async ({ data }: MessageEvent<HostileOrder>) => {
  if (data === "end") return over.abort();
  over = new AbortController();
  (globalThis as unknown as Worker).postMessage(await attack(data, over.signal));
};
