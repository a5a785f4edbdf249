import assert from "node:assert/strict";
import net from "node:net";
import { helloShapes, ownHello } from "../../bench/probes.ts";
import { connectTls, listenTls, makeIdentity } from "../../transports/carriers/mod.ts";

/** Sockets of this process that lead to or from `port` and have not been let go of. */
class Handles {
  readonly #alive = new Set<net.Socket>();
  readonly #undo: () => void;

  constructor() {
    // Every socket of the runtime says so when it is destroyed, and only then has let go of its file.
    const prototype = net.Socket.prototype as unknown as {
      emit(this: net.Socket, event: unknown, ...args: unknown[]): boolean;
    };
    const { emit } = prototype;
    const alive = this.#alive;
    prototype.emit = function (event, ...args) {
      if (event === "connect" || event === "data") alive.add(this);
      if (event === "close") alive.delete(this);
      return emit.call(this, event, ...args);
    };
    this.#undo = () => {
      prototype.emit = emit;
    };
  }

  get held(): number {
    return [...this.#alive].filter(({ destroyed }) => !destroyed).length;
  }

  [Symbol.dispose](): void {
    this.#undo();
  }
}

Deno.test("tls: a connection that its peer resets is let go of, whatever its listener does", async () => {
  const identity = await makeIdentity("web");
  using handles = new Handles();
  const reasons: string[] = [];
  const server = await listenTls({ hostname: "127.0.0.1", port: 0, identity }, (connection) => {
    connection.listener = { onData: () => {}, onClose: (reason) => reasons.push(reason) };
  });
  for (let i = 0; i < 10; i++) {
    const connection = await connectTls({
      hostname: "127.0.0.1",
      port: server.port,
      pin: identity.pin,
    });
    connection.listener = { onData: () => {}, onClose: () => {} };
    connection.write(new Uint8Array(100));
    await new Promise((resolve) => setTimeout(resolve, 10));
    connection.close("rst");
  }
  const deadline = performance.now() + 5000;
  while ((reasons.length < 10 || handles.held > 0) && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.deepEqual(reasons, Array(10).fill("rst"));
  assert.equal(handles.held, 0, "sockets still held");
  await server.close();
});

Deno.test("tls: who leaves in the handshake leaves no connection to the genuine server behind", async () => {
  const identity = await makeIdentity("web");
  const { fresh } = helloShapes(await ownHello([], ""));
  using handles = new Handles();
  let met = 0;
  // A genuine server that gives each a moment, and ends; as nginx does with who is silent, or one too many.
  const genuine = net.createServer((socket) => {
    met++;
    socket.on("error", () => {});
    socket.on("data", () => {});
    setTimeout(() => socket.end(), 20);
  });
  await new Promise<void>((resolve) => genuine.listen(0, "127.0.0.1", resolve));
  const server = await listenTls({
    hostname: "127.0.0.1",
    port: 0,
    identity,
    genuine: { host: "127.0.0.1", port: (genuine.address() as net.AddressInfo).port },
    maxHandshakes: 5,
  }, () => assert.fail("nobody completes a handshake"));
  for (let i = 0; i < 10; i++) {
    const socket = net.connect({ host: "127.0.0.1", port: server.port }).resume();
    socket.on("error", () => {});
    await new Promise<void>((resolve) => socket.write(fresh(), () => resolve()));
    // Some leave, some are cut off.
    if (i % 2 === 0) setTimeout(() => socket.destroy(), 10);
  }
  const deadline = performance.now() + 20_000;
  while ((met < 10 || handles.held > 0) && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.equal(met, 10);
  assert.equal(handles.held, 0, "sockets still held");
  await server.close();
  await new Promise((resolve) => genuine.close(resolve));
});
