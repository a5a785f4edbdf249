import type net from "node:net";
import type { AddressInfo } from "node:net";
import { formatAddress, ListenError } from "../../base/mod.ts";
import type { CarrierServer } from "./carrier.ts";
import type { Waiting } from "./waiting.ts";

/** What a carrier's server is besides a socket that listens. */
export interface ListenAtOptions extends Pick<CarrierServer, "pin" | "renew"> {
  /** Connections that are nobody's yet: they end when the server closes. */
  readonly waiting: readonly Waiting[];
}

/**
 * Binds a carrier's server; what it does with connections is its own matter.
 *
 * @throws {ListenError} if the address cannot be had.
 */
export function listenAt(
  server: net.Server,
  hostname: string,
  port: number,
  { pin, renew, waiting }: ListenAtOptions,
): Promise<CarrierServer> {
  return new Promise((resolve, reject) => {
    const address = formatAddress({ host: hostname, port });
    server.once("error", (error) => reject(new ListenError(address, "--listen", error)));
    server.listen(port, hostname, () => {
      const bound = server.address() as AddressInfo;
      resolve({
        hostname: bound.address,
        port: bound.port,
        pin,
        renew,
        close: () => {
          server.close();
          for (const each of waiting) each.drop();
          return Promise.resolve();
        },
      });
    });
  });
}
