import net from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { ListenError } from "../../base/mod.ts";
import type { TunnelStream } from "../../playback/stream.ts";
import { type Address, formatAddress } from "./address.ts";

/** Opens a stream through the tunnel; its `opened` tells whether the destination was reached. */
export type OpenStream = (destination: Address) => TunnelStream;

/** Where user data enters: something that listens. */
export interface Door {
  /** What it is, for people: `socks5` or `forward to HOST:PORT`. */
  readonly kind: string;
  /** The address that it listens on. */
  readonly hostname: string;
  /** The port that it listens on. */
  readonly port: number;
  /** Stops listening and resets the connections that are open. */
  close(): Promise<void>;
}

/** Listens, hands each paused connection to `enter`, and resets what is open when it closes. */
export function listenDoor(
  address: Address,
  kind: string,
  option: string,
  enter: (socket: Socket) => void,
): Promise<Door> {
  const open = new Set<Socket>();
  const server = net.createServer(
    { allowHalfOpen: true, noDelay: true, pauseOnConnect: true },
    (socket) => {
      open.add(socket);
      socket.once("close", () => open.delete(socket));
      socket.on("error", () => {});
      enter(socket);
    },
  );
  return new Promise((resolve, reject) => {
    server.once("error", (error) => {
      reject(new ListenError(formatAddress(address), option, error));
    });
    server.listen(address.port, address.host, () => {
      const bound = server.address() as AddressInfo;
      resolve({
        kind,
        hostname: bound.address,
        port: bound.port,
        close: () =>
          new Promise((closed) => {
            server.close(() => closed());
            for (const socket of open) socket.resetAndDestroy();
          }),
      });
    });
  });
}
