import net from "node:net";
import { type CarrierConnection, connectTls } from "../transports/carriers/mod.ts";
import { ConstantRate } from "../models/mod.ts";
import { helloProof, newSecret, startServer } from "../transports/mimic/mod.ts";
import { freePort, startNginx } from "./nginx.ts";
import { ownHello, type Probe, probes } from "./probes.ts";

/** A genuine server, and our servers that should be taken for it. */
export interface ProbeWorld extends AsyncDisposable {
  /** What the genuine one is. */
  readonly genuine: string;
  /** The line of an answer that tells most. */
  readonly told: "first" | "last";
  /** Seconds that it waits for a silent peer; where it waits longer, that a probe waits for it. */
  readonly patience: number;
  /** Its port on 127.0.0.1. */
  readonly real: { readonly port: number };
  /** Ports on 127.0.0.1 by the name of the mode. */
  readonly ours: ReadonlyMap<string, number>;
  /** What to send. */
  readonly probes: readonly Probe[];
}

/** The bytes of a client that knows the secret, in all that it says first; `connect` is given a port to go to. */
export async function firstFlight(
  port: number,
  connect: (port: number) => Promise<CarrierConnection>,
  secret: Uint8Array,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  const relay = net.createServer((near) => {
    const far = net.connect({ port, host: "127.0.0.1", noDelay: true });
    near.on("data", (bytes: Uint8Array) => {
      chunks.push(bytes.slice());
      far.write(bytes);
    });
    far.on("data", (bytes) => near.write(bytes));
    for (const socket of [near, far]) {
      socket.on("error", () => {});
      socket.on("close", () => {
        near.destroy();
        far.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => relay.listen(0, "127.0.0.1", resolve));
  const connection = await connect((relay.address() as net.AddressInfo).port);
  const proof = helloProof(secret, connection.certificateDigest, 0, 0);
  connection.write(new Uint8Array([...proof.first, ...new Uint8Array(400)]));
  await new Promise((resolve) => setTimeout(resolve, 100));
  connection.close("rst");
  relay.close();
  return new Uint8Array(chunks.flatMap((chunk) => [...chunk]));
}

/** The first bytes of a client with a wrong secret. */
export function wrongProof(digest: Uint8Array): Uint8Array {
  const wrong = new Uint8Array(400);
  wrong.set(helloProof(newSecret(), digest, 0, 0).first);
  wrong.fill(77, 36);
  return wrong;
}

/**
 * Starts a genuine nginx whose timeouts are `patience` seconds and, with the same pages and certificate, ours:
 * native with that nginx as decoy, fronted, and native with the built-in decoy.
 */
export async function startProbeWorld(patience: number): Promise<ProbeWorld> {
  const started: AsyncDisposable[] = [];
  const stop = async () => {
    for (const one of started.reverse()) await one[Symbol.asyncDispose]();
  };
  try {
    const real = await startNginx({ patience });
    started.push(real);
    const certificate = { cert: real.cert, key: real.key };
    const serve = async (name: string, more: object) => {
      const server = await startServer({
        listen: { host: "127.0.0.1", port: 0 },
        models: [new ConstantRate()],
        carrier: "tls",
        state: `${real.folder}/${name}`,
        name: "www.example.com",
        alpn: ["http/1.1"],
        ...more,
      });
      started.push({ [Symbol.asyncDispose]: () => server.close() });
      return server;
    };
    const native = await serve("native", {
      certificate,
      decoy: { host: "127.0.0.1", port: real.port },
    });
    const builtIn = await serve("built-in", { certificate });
    const behind = freePort();
    const fronted = await serve("fronted", {
      front: real.cert,
      listen: { host: "127.0.0.1", port: behind },
    });
    const front = await startNginx({
      like: real,
      patience,
      front: { path: fronted.parts.path!, port: behind },
    });
    started.push(front);
    const { cert: pin, secret } = native.parts;
    const connect = (port: number) =>
      connectTls({
        hostname: "127.0.0.1",
        port,
        pin,
        serverName: "www.example.com",
        alpn: ["http/1.1"],
      });
    return {
      genuine: "nginx",
      told: "first",
      patience,
      real,
      ours: new Map([
        ["native", native.address.port],
        ["fronted", front.port],
        ["built-in", builtIn.address.port],
      ]),
      probes: probes({
        hello: await ownHello(),
        replayed: await firstFlight(native.address.port, connect, secret),
        wrong: wrongProof(real.identity.digest),
      }),
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
