import net from "node:net";
import type { CarrierConnection } from "../../transports/carriers/mod.ts";
import { noise } from "./world.ts";

/** Sends as much as is taken to whoever connects, and counts. */
export function endlessServer() {
  let taken = 0;
  const chunk = noise(65_536);
  const server = net.createServer((socket) => {
    socket.on("error", () => {});
    const more = () => {
      if (!socket.destroyed) {
        socket.write(chunk, () => {
          taken += chunk.length;
          more();
        });
      }
    };
    more();
  });
  return new Promise<{ port: number; taken: () => number; close: () => void }>((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      resolve({
        port: (server.address() as net.AddressInfo).port,
        taken: () => taken,
        close: () => server.close(),
      });
    });
  });
}

/**
 * A relay that stops reading what the server sends after `life` bytes of it, and keeps all open. It connects from
 * `localAddress`.
 */
export function deafRelay(port: number, life: number, localAddress = "127.0.0.1") {
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ allowHalfOpen: true }, (near) => {
    const far = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true, localAddress });
    let left = life;
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on("error", () => {});
    }
    near.on("data", (bytes) => far.write(bytes));
    far.on("data", (bytes) => {
      near.write(bytes);
      left -= bytes.length;
      if (left < 0) far.pause();
    });
  });
  return new Promise<{ port: number; close: () => void }>((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      resolve({
        port: (server.address() as net.AddressInfo).port,
        close: () => {
          server.close();
          for (const socket of sockets) socket.destroy();
        },
      });
    });
  });
}

/** A connection whose writes are garbled from some record on. */
export function garbled(connection: CarrierConnection, from: number): CarrierConnection {
  let writes = 0;
  const garble = (payload: Uint8Array) => writes++ < from ? payload : noise(payload.length);
  return new Proxy(connection, {
    get(target, name) {
      if (name === "write") return (payload: Uint8Array) => target.write(garble(payload));
      if (name === "writeFree") return (payload: Uint8Array) => target.writeFree!(garble(payload));
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
    set: (target, name, value) => Reflect.set(target, name, value, target),
  });
}
