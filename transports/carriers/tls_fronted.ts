/**
 * The carrier `tls`, fronted: a genuine nginx terminates TLS and hands on what a client upgrades on a secret path,
 * over a loopback connection to us. What the outside sees of the server is nginx: handshakes, alerts, timeouts,
 * answers to strangers.
 *
 * Measured with nginx 1.22.1 (`proxy_buffer_size 16k`): what it reads from us in one go becomes one TLS record of
 * payload + 22 bytes, so each write waits until nginx has had time to read the one before ({@linkcode PACE}).
 * nginx forwards neither half closes nor resets: the end of one side ends both, by FIN.
 *
 * @module
 */
import { createHash, randomBytes } from "node:crypto";
import net from "node:net";
import { formatAddress } from "../../base/mod.ts";
import { BufferedConnection } from "./buffered_connection.ts";
import type { CarrierConnection, CarrierServer } from "./carrier.ts";
import type { ServerIdentity } from "./certificate.ts";
import { ConnectError } from "./errors.ts";
import { listenAt } from "./listen_at.ts";
import { Outbox } from "./outbox.ts";
import { TLS_GRID } from "./tls_connection.ts";
import { wasReset } from "./tls_first_flight.ts";
import { Waiting } from "./waiting.ts";

/**
 * Milliseconds between two writes at least: time for nginx to read the first. What it finds together when it
 * comes later becomes one record.
 */
const PACE = 1;
/** As for the native carrier, and nginx's part. */
const REACTION = 0.45;
/** Milliseconds that nginx may take to send a request. */
const PATIENCE = 30_000;
/** Most bytes of a request's or an answer's head. */
const LONGEST_HEAD = 16_384;
/** RFC 6455, section 4.2.2. */
const WEBSOCKET = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const bytesOf = (text: string) => new TextEncoder().encode(text);

/** Where the blank line after a head ends; -1 while there is none. */
function headEnd(bytes: Uint8Array): number {
  for (let i = 3; i < bytes.length; i++) {
    if (bytes[i] === 10 && bytes[i - 1] === 13 && bytes[i - 2] === 10 && bytes[i - 3] === 13) {
      return i + 1;
    }
  }
  return -1;
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const all = new Uint8Array(a.length + b.length);
  all.set(a);
  all.set(b, a.length);
  return all;
}

/** The request that a page of the site would open a WebSocket with, as Chromium writes it. */
function requestFor(host: string, path: string): Uint8Array {
  return bytesOf([
    `GET ${path} HTTP/1.1`,
    `Host: ${host}`,
    "Connection: Upgrade",
    "Pragma: no-cache",
    "Cache-Control: no-cache",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "Upgrade: websocket",
    `Origin: https://${host}`,
    "Sec-WebSocket-Version: 13",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Accept-Language: en-US,en;q=0.9",
    `Sec-WebSocket-Key: ${randomBytes(16).toString("base64")}`,
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
    "\r\n",
  ].join("\r\n"));
}

/**
 * The client's part: asks on an open TLS connection for the secret path, and resolves when what follows is ours.
 *
 * @throws {ConnectError} naming `address` if the web server does not hand the connection on.
 */
export function upgrade(
  connection: CarrierConnection,
  { address, host, path, timeout = 20_000 }: {
    readonly address: string;
    readonly host: string;
    readonly path: string;
    readonly timeout?: number;
  },
): Promise<void> {
  return new Promise((resolve, reject) => {
    let head = new Uint8Array(0);
    const done = () => {
      clearTimeout(deadline);
      connection.listener = undefined;
    };
    const fail = (why: string) => {
      clearTimeout(deadline);
      connection.listener = { onData: () => {}, onClose: () => {} };
      connection.close("fin");
      reject(new ConnectError(address, why));
    };
    const deadline = setTimeout(() => fail("the web server does not answer in time"), timeout);
    connection.listener = {
      onData: (bytes) => {
        head = joined(head, bytes) as Uint8Array<ArrayBuffer>;
        const end = headEnd(head);
        if (end < 0) {
          if (head.length > LONGEST_HEAD) fail("the web server's answer has no end");
          return;
        }
        const status = /^HTTP\/1\.1 (\d{3})/.exec(new TextDecoder().decode(head.subarray(0, 16)));
        if (status?.[1] !== "101") {
          fail(
            `the web server in front answers ${status?.[1] ?? "strangely"} on the line's path=: ` +
              "ask for a new line, or the server behind it is down",
          );
          return;
        }
        done();
        connection.unread(head.subarray(end));
        resolve();
      },
      onClose: () => fail("closed by the web server in front"),
    };
    connection.write(requestFor(host, path));
  });
}

/** The server's end of a connection that nginx hands on. */
class FrontedConnection extends BufferedConnection implements CarrierConnection {
  readonly grid = TLS_GRID;
  readonly reaction = REACTION;
  readonly genuine = "none";
  readonly localPort: number;
  readonly id: string;
  readonly #raw: net.Socket;
  protected readonly outbox: Outbox;

  constructor(
    raw: net.Socket,
    readonly certificateDigest: Uint8Array,
    readonly remoteAddress: string,
    readonly remotePort: number,
  ) {
    super();
    this.#raw = raw;
    this.localPort = raw.localPort ?? 0;
    this.id = String(remotePort);
    let lastWrite = performance.now();
    this.outbox = new Outbox({
      wait: () => lastWrite + PACE - performance.now(),
      send: (payload, sent) => {
        lastWrite = performance.now();
        raw.write(payload, sent);
      },
      end: () => void raw.end(),
      reset: () => void raw.resetAndDestroy(),
      drained: () => this.listener?.onDrain?.(),
    });
    raw.on("data", (bytes: Uint8Array) => this.inbox.received(bytes));
    raw.on("end", () => {
      if (this.outbox.closing !== undefined || !wasReset(raw)) return this.inbox.over("fin");
      // Half open, as it would be kept: nobody else lets go of it.
      raw.destroy();
      this.inbox.over("rst");
    });
    raw.on("error", () => this.inbox.over("error"));
    raw.on("close", () => {
      this.outbox.over();
      this.inbox.over(this.outbox.closing ?? "error");
    });
  }

  write(payload: Uint8Array): void {
    if (payload.length > TLS_GRID.maxPayload) {
      throw new RangeError(`a record holds ${TLS_GRID.maxPayload} bytes, not ${payload.length}`);
    }
    if (this.outbox.closing !== undefined || payload.length === 0) return;
    if (this.#raw.writable) this.outbox.put(payload.slice());
  }
}

/** How a server behind nginx listens. */
export interface FrontedServerOptions {
  /** Address to listen on, which only nginx should reach. */
  readonly hostname: string;
  /** Port to listen on; 0 takes a free one. */
  readonly port: number;
  /** The secret path, with its slash. */
  readonly path: string;
  /** nginx's certificate, without its key; the digest is that of the public key. */
  readonly identity: ServerIdentity;
  /**
   * Connections at most whose request has not come yet; for each one more the one that has waited longest is
   * dropped. 1000 if absent.
   */
  readonly maxHandshakes?: number;
}

/** The answer that hands a connection on; `undefined` if the request is not the one for `path`. */
function answerTo(
  head: string,
  path: string,
): { readonly answer: string; readonly host: string; readonly port: number } | undefined {
  const [first, ...lines] = head.split("\r\n");
  const headers = new Map(lines.map((line) => {
    const at = line.indexOf(":");
    return [line.slice(0, at).toLowerCase(), line.slice(at + 1).trim()];
  }));
  if (first !== `GET ${path} HTTP/1.1` || headers.get("upgrade")?.toLowerCase() !== "websocket") {
    return undefined;
  }
  const key = headers.get("sec-websocket-key") ?? "";
  const accept = createHash("sha1").update(key + WEBSOCKET).digest("base64");
  // Only nginx is to reach us; what else claims to be a client's address is none.
  const host = headers.get("x-real-ip") ?? "";
  const port = headers.get("x-real-port") ?? "";
  return {
    answer: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      `Sec-WebSocket-Accept: ${accept}\r\n\r\n`,
    host: net.isIP(host) > 0 ? host : "",
    port: /^\d{1,5}$/.test(port) && Number(port) <= 65535 ? Number(port) : 0,
  };
}

/**
 * Listens for what nginx hands on; `onConnection` gets each connection after its request.
 *
 * @throws {ListenError} if the address cannot be had.
 */
export function listenFronted(
  options: FrontedServerOptions,
  onConnection: (connection: CarrierConnection) => void,
): Promise<CarrierServer> {
  const { hostname, path, port } = options;
  const waiting = new Waiting(options.maxHandshakes ?? 1000);
  let { digest } = options.identity;
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (raw) => {
    raw.on("error", () => {});
    waiting.add(raw, () => raw.destroy());
    const deadline = setTimeout(() => raw.destroy(), PATIENCE);
    raw.once("close", () => clearTimeout(deadline));
    let read = new Uint8Array(0);
    const onEnd = () => raw.destroy();
    const onData = (bytes: Uint8Array) => {
      read = joined(read, bytes) as Uint8Array<ArrayBuffer>;
      const end = headEnd(read);
      if (end < 0) {
        if (read.length > LONGEST_HEAD) raw.destroy();
        return;
      }
      raw.removeListener("data", onData);
      raw.removeListener("end", onEnd);
      clearTimeout(deadline);
      waiting.delete(raw);
      const found = answerTo(new TextDecoder().decode(read.subarray(0, end)), path);
      if (found === undefined) {
        raw.end("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        raw.once("end", () => raw.destroy());
        return;
      }
      const connection = new FrontedConnection(raw, digest, found.host, found.port);
      connection.unread(read.subarray(end));
      raw.write(found.answer, () => onConnection(connection));
    };
    raw.on("data", onData);
    raw.on("end", onEnd);
  });
  return listenAt(server, hostname, port, {
    pin: options.identity.pin,
    renew: (identity) => {
      digest = identity.digest;
    },
    waiting: [waiting],
  });
}

/** The block that hands the secret path on, for nginx's `server` of the site. */
export function nginxLocation(path: string, behind: { host: string; port: number }): string {
  return `location = ${path} {
  # Whoever has the path without an upgrade meets the site's own page for what it does not have.
  if ($http_upgrade = "") { return 404; }
  proxy_pass http://${formatAddress(behind)};
  proxy_http_version 1.1;
  proxy_set_header Host $host;
  proxy_set_header Upgrade $http_upgrade;
  proxy_set_header Connection "Upgrade";
  proxy_set_header X-Real-IP $remote_addr;
  proxy_set_header X-Real-Port $remote_port;
  # One read of up to 16 KB becomes one TLS record: sizes on the wire are the cover's.
  proxy_buffering off;
  proxy_request_buffering off;
  proxy_buffer_size 16k;
  proxy_buffers 8 16k;
  proxy_read_timeout 1h;
  proxy_send_timeout 1h;
  tcp_nodelay on;
  access_log off;
}
`;
}
