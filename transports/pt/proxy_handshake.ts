import { Buffer } from "node:buffer";
import { isIPv4 } from "node:net";
import { formatTarget, ipBytes, type Target } from "./address.ts";
import { DialError, SOCKS_REPLY } from "./errors.ts";
import { concat, type Handshake, take } from "./handshake.ts";
import type { Proxy } from "./proxy_url.ts";

/** The longest answer of an HTTP proxy that is read. */
const MAX_HTTP_ANSWER = 16_384;

/** The client's side of the handshake with an upstream proxy, for a connection to `target`. */
export function proxyHandshake(proxy: Proxy, target: Target): Handshake<void> {
  if (proxy.scheme === "http") return httpConnect(proxy, target);
  return proxy.scheme === "socks5" ? socks5(proxy, target) : socks4a(proxy, target);
}

const utf8 = (text: string) => new TextEncoder().encode(text);

/** A name that may stand in a request; anything else could smuggle in a line of its own. */
function nameBytes(host: string): Uint8Array {
  if (!/^[\x21-\x7e]{1,255}$/.test(host)) {
    throw new DialError("a malformed name of a host", SOCKS_REPLY.addressNotSupported);
  }
  return utf8(host);
}

const portBytes = (port: number) => Uint8Array.of(port >> 8, port & 255);

function* httpConnect({ user, password = "" }: Proxy, target: Target): Handshake<void> {
  nameBytes(target.host);
  const authority = formatTarget(target);
  const authorization = user === undefined
    ? ""
    : `Proxy-Authorization: Basic ${Buffer.from(`${user}:${password}`).toString("base64")}\r\n`;
  yield utf8(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${authorization}\r\n`);
  let answer = "";
  for (; !/\r?\n\r?\n$/.test(answer.slice(-4)); answer += String.fromCharCode((yield 1)[0]!)) {
    if (answer.length === MAX_HTTP_ANSWER) {
      throw new DialError("the http proxy's answer is too long", SOCKS_REPLY.failed);
    }
  }
  const status = /^HTTP\/1\.[01] ([1-5]\d\d)[ \r\n]/.exec(answer)?.[1];
  if (status === undefined) {
    throw new DialError("the http proxy does not speak HTTP/1.1", SOCKS_REPLY.failed);
  }
  if (!status.startsWith("2")) {
    throw new DialError(`the http proxy answered ${status}`, HTTP_REPLIES[status] ?? 1);
  }
}

const HTTP_REPLIES: Record<string, number> = {
  "403": SOCKS_REPLY.forbidden,
  "404": SOCKS_REPLY.hostUnreachable,
  "504": SOCKS_REPLY.expired,
};

/** SOCKS 4a knows IPv4 and names; an IPv6 address goes as a name, which many proxies understand. */
function* socks4a({ user = "" }: Proxy, { host, port }: Target): Handshake<void> {
  const v4 = isIPv4(host);
  yield concat(
    Uint8Array.of(4, 1),
    portBytes(port),
    v4 ? ipBytes(host)! : Uint8Array.of(0, 0, 0, 1),
    utf8(`${user}\0`),
    v4 ? new Uint8Array() : concat(nameBytes(host), Uint8Array.of(0)),
  );
  const [version, code] = yield 8;
  if (version !== 0) {
    throw new DialError("the socks4a proxy does not speak SOCKS 4", SOCKS_REPLY.failed);
  }
  if (code !== 90) {
    throw new DialError(`the socks4a proxy refused with code ${code}`, SOCKS_REPLY.failed);
  }
}

function* socks5({ user, password }: Proxy, { host, port }: Target): Handshake<void> {
  const foreign = () => new DialError("the socks5 proxy does not speak SOCKS 5", 1);
  yield user === undefined ? Uint8Array.of(5, 1, 0) : Uint8Array.of(5, 2, 0, 2);
  const [version, method] = yield 2;
  if (version !== 5) throw foreign();
  if (method === 2 && user !== undefined) {
    const [name, secret] = [utf8(user), utf8(password!)];
    yield concat(Uint8Array.of(1, name.length), name, Uint8Array.of(secret.length), secret);
    const [, status] = yield 2;
    if (status !== 0) throw new DialError("the socks5 proxy refused the password", 1);
  } else if (method !== 0) {
    throw new DialError("the socks5 proxy wants an authentication that we cannot give", 1);
  }
  const ip = ipBytes(host);
  const name = ip === undefined ? nameBytes(host) : undefined;
  yield concat(
    Uint8Array.of(5, 1, 0, ip === undefined ? 3 : ip.length === 4 ? 1 : 4),
    ip ?? concat(Uint8Array.of(name!.length), name!),
    portBytes(port),
  );
  const [answered, code, , kind] = yield 4;
  if (answered !== 5) throw foreign();
  if (code !== 0) {
    throw new DialError(`the socks5 proxy refused with code ${code}`, code! <= 8 ? code! : 1);
  }
  const length = kind === 1 ? 4 : kind === 4 ? 16 : kind === 3 ? (yield 1)[0]! : undefined;
  if (length === undefined) throw foreign();
  yield* take(length + 2);
}
