import { Buffer } from "node:buffer";
import net, { type AddressInfo } from "node:net";
import { ListenError } from "../../base/mod.ts";

/** The account that is logged in to if a line names none. */
export const LOGIN = "root";

/** Ports below those that operating systems give away by themselves. */
const FIRST_PORT = 20_000;
const PORTS = 12_000;

/**
 * The port on the server's 127.0.0.1 where users' channels meet our server: drawn from the host key's pin, so
 * that a line need not name it.
 */
export function innerPortOf(pin: string): number {
  return FIRST_PORT + Buffer.from(pin, "base64url").readUInt32BE(0) % PORTS;
}

/**
 * A port of an address that is free now: OpenSSH's programs cannot choose one themselves.
 *
 * @throws {ListenError} if the address is not this machine's.
 */
export function freePort(hostname: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.once("error", (error) => reject(new ListenError(`${hostname}:0`, "--listen", error)));
    server.listen(0, hostname, () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
