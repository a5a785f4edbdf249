import { isIPv6 } from "node:net";
import { UsageError } from "../../base/mod.ts";

export { formatAddress } from "../../base/mod.ts";

/** A host (name or address, without brackets) and a port. */
export interface Address {
  /** Name, IPv4 or IPv6 address. */
  readonly host: string;
  /** TCP port, 0 to 65535. */
  readonly port: number;
}

/** An option's value that should be HOST:PORT and is not. */
export class AddressError extends UsageError {
  /** `option` names the option, `text` is its value. */
  constructor(readonly option: string, readonly text: string) {
    super(
      `${option} ${JSON.stringify(text)}: expected HOST:PORT, an IPv6 address in brackets, ` +
        `a port from 0 to 65535`,
    );
  }
}

/**
 * Reads HOST:PORT; a bare port means `defaultHost`.
 *
 * @throws {AddressError} naming `option`.
 *
 * @example
 * ```ts
 * import { parseAddress } from "./address.ts";
 * const { host, port } = parseAddress("[::1]:1080", "--socks");
 * if (host !== "::1" || port !== 1080) throw new Error("an address and its port");
 * ```
 */
export function parseAddress(text: string, option: string, defaultHost?: string): Address {
  const match = /^(?:(?:\[([0-9a-fA-F:.]+)\]|([^\s:\[\]@/]{1,255})):)?([0-9]{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? defaultHost;
  const port = Number(match?.[3]);
  if (match === null || host === undefined || port > 65535) throw new AddressError(option, text);
  if (match[1] !== undefined && !isIPv6(match[1])) throw new AddressError(option, text);
  return { host, port };
}
