import net, { type AddressInfo } from "node:net";
import { ListenError } from "../../base/mod.ts";

/** The account that is logged in to if a line names none. */
export const LOGIN = "root";

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
