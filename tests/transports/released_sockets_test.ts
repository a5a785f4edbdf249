import assert from "node:assert/strict";
import net from "node:net";
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
