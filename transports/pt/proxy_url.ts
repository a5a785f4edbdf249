import { parseIpPort, type Target } from "./address.ts";
import { ProxyUrlError } from "./errors.ts";

/** The proxy through which all connections shall be made. */
export interface Proxy {
  /** Its protocol. */
  readonly scheme: "http" | "socks4a" | "socks5";
  /** Where it is. */
  readonly address: Target;
  /** User name, if there is one. */
  readonly user?: string;
  /** Password, if there is one. */
  readonly password?: string;
}

const FORM = /^([A-Za-z0-9+.-]+):\/\/(?:(.*)@)?([^@]*)$/s;

/**
 * Reads `TOR_PT_PROXY`: `scheme://[user[:password]@]ip:port` with the schemes `http`, `socks4a` and `socks5`.
 * Percent escapes in user and password are decoded; since tor writes both as they are, a `%` that escapes
 * nothing and an `@` stand for themselves.
 *
 * @throws {ProxyUrlError} on another scheme, a host name, a path, query or fragment, a password for SOCKS 4a
 * (which has none), or SOCKS 5 credentials that are empty or longer than 255 bytes. Its message repeats
 * neither user nor password.
 * @example
 * ```ts
 * import { parseProxyUrl } from "./proxy_url.ts";
 * const proxy = parseProxyUrl("socks5://alice:se%3Acret@[2001:db8::1]:1080");
 * if (proxy.address.host !== "2001:db8::1" || proxy.password !== "se:cret") throw new Error();
 * ```
 */
export function parseProxyUrl(url: string): Proxy {
  const match = FORM.exec(url);
  if (match === null) throw new ProxyUrlError("the proxy is not of the form scheme://ip:port");
  const scheme = match[1]!.toLowerCase();
  if (scheme !== "http" && scheme !== "socks4a" && scheme !== "socks5") {
    throw new ProxyUrlError(`no proxies of kind "${scheme}" are supported`);
  }
  let address;
  try {
    address = parseIpPort(match[3]!);
  } catch (error) {
    throw new ProxyUrlError(
      "the proxy's address must be an IP address and a port, without path, query or fragment",
      { cause: error },
    );
  }
  const credentials = match[2];
  if (credentials === undefined) return { scheme, address };
  const colon = credentials.indexOf(":");
  const user = decode(colon < 0 ? credentials : credentials.slice(0, colon));
  const password = colon < 0 ? undefined : decode(credentials.slice(colon + 1));
  if (scheme === "socks4a" && password !== undefined) {
    throw new ProxyUrlError("a socks4a proxy takes no password");
  }
  if (scheme === "socks5" && !(fits(user) && password !== undefined && fits(password))) {
    throw new ProxyUrlError("a socks5 proxy takes user and password of 1 to 255 bytes each");
  }
  if (scheme === "socks4a" && !fits(user)) {
    throw new ProxyUrlError("a socks4a proxy takes a user of 1 to 255 bytes");
  }
  if (`${user}${password ?? ""}`.includes("\0")) {
    throw new ProxyUrlError("the proxy's user or password has a NUL");
  }
  if (scheme === "http" && user.includes(":")) {
    throw new ProxyUrlError("the user of an http proxy cannot have a colon");
  }
  return { scheme, address, user, ...(password === undefined ? {} : { password }) };
}

function decode(text: string): string {
  return text.replaceAll(/(?:%[0-9a-fA-F]{2})+/g, (run) => {
    try {
      return decodeURIComponent(run);
    } catch {
      return run;
    }
  });
}

function fits(text: string): boolean {
  const { length } = new TextEncoder().encode(text);
  return length >= 1 && length <= 255;
}
