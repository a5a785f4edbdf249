import net, { type AddressInfo, type Socket } from "node:net";
import { plainAddress, type Target } from "./address.ts";
import { PtError, reasonOf } from "./errors.ts";

/** Something that listens, and the connections that it has accepted. */
export interface Listener {
  /** Where it listens; the port is never 0. */
  readonly address: Target;
  /** Takes no more connections; resolves when the last one has been served. */
  stop(): Promise<void>;
  /** Takes no more connections and destroys those that are open; resolves when they have been served. */
  destroy(): Promise<void>;
}

/** The address cannot be listened on. */
export class ListenError extends PtError {
  /** Where it was tried. */
  constructor(readonly address: Target, cause: unknown) {
    super(`cannot listen: ${reasonOf(cause)}`, { cause });
  }
}

/**
 * Listens on an IP address. `serve` gets each accepted socket, paused, and owns it until its promise settles;
 * then the socket is closed, once what was written to it has been sent. `signal` is aborted when the
 * connection shall end now.
 *
 * @throws {ListenError} if the address cannot be had.
 */
export async function listen(
  address: Target,
  serve: (socket: Socket, signal: AbortSignal) => Promise<void>,
): Promise<Listener> {
  const ending = new AbortController();
  const served = new Set<Promise<void>>();
  const sockets = new Set<Socket>();
  const server = net.createServer(
    { allowHalfOpen: true, noDelay: true, pauseOnConnect: true },
    (socket) => {
      sockets.add(socket);
      socket.on("error", () => {});
      const task = serve(socket, ending.signal).catch(() => {}).finally(() => {
        socket.destroySoon();
        sockets.delete(socket);
        served.delete(task);
      });
      served.add(task);
    },
  );
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => reject(new ListenError(address, error)));
    server.listen(address.port, address.host, resolve);
  });
  server.on("error", () => {});
  const bound = server.address() as AddressInfo;
  const stop = async () => {
    server.close();
    await Promise.all(served);
  };
  return {
    address: { host: plainAddress(bound.address), port: bound.port },
    stop,
    destroy: async () => {
      ending.abort(new PtError("the transport ends"));
      const all = stop();
      for (const socket of sockets) socket.destroy();
      await all;
    },
  };
}
