/**
 * The carrier `tls`: TLS 1.3 over TCP, one write one record.
 *
 * Measured with Deno 2.9.6: a write becomes one record of payload + 22 bytes; with `setNoDelay` and each
 * write waiting for the callback of the one before, one record is one segment (up to the segment size);
 * closing by FIN first sends a 24-byte alert (close_notify); a reset must go to the raw socket. A peer's
 * reset arrives as an end without an error; the socket has lost its peer then, and that tells them apart.
 *
 * @module
 */
import net from "node:net";
import { Buffer } from "node:buffer";
import { bracketed, formatAddress, socketReason } from "../../base/mod.ts";
import type {
  Carrier,
  CarrierClientOptions,
  CarrierConnection,
  CarrierServer,
  OpenGenuine,
} from "./carrier.ts";
import { certificateDigest, publicKeyPin, type ServerIdentity } from "./certificate.ts";
import { CertificateError, ConnectError, WrongCertificate } from "./errors.ts";
import { listenAt } from "./listen_at.ts";
import { TlsConnection } from "./tls_connection.ts";
import { denoTls } from "./tls_deno.ts";
import type { SecureSocket, TlsAccept, TlsEngine, TlsSight } from "./tls_engine.ts";
import { type GenuineAddress, SeenRandoms, sortFirstFlight } from "./tls_first_flight.ts";
import { listenFronted, upgrade } from "./tls_fronted.ts";
import { genuineDigest, GenuineTls } from "./tls_genuine.ts";
import { clientNote, openSslClient, openSslServer, serverNote } from "./tls_openssl.ts";
import { Turnstile } from "./turnstile.ts";
import { Waiting } from "./waiting.ts";

/** Milliseconds that a handshake may take before the connection is dropped. */
const HANDSHAKE_DEADLINE = 60_000;

/** The certificate that was seen last, and the pin of its key: a server shows the same each time. */
let lastSeen:
  | {
    readonly der: Uint8Array;
    readonly pin: string;
    /** What a proof is bound to, by {@linkcode TlsClientOptions.binding}. */
    readonly digests: { readonly certificate: Uint8Array; readonly key: Uint8Array };
  }
  | undefined;

/** What the server at the other end of a handshake shows. */
function seenIn({ certificate: der }: TlsSight): typeof lastSeen & object {
  if (lastSeen === undefined || Buffer.compare(lastSeen.der, der) !== 0) {
    const pin = publicKeyPin(der);
    const key = new Uint8Array(Buffer.from(pin, "base64url"));
    lastSeen = { der, pin, digests: { certificate: certificateDigest(der), key } };
  }
  return lastSeen;
}

/** How a client recognises the server. */
export interface TlsClientOptions {
  /** The server's host name or address. */
  readonly hostname: string;
  /** The server's port. */
  readonly port: number;
  /** Base64url SHA-256 of the server's public key; the system's roots decide if absent. */
  readonly pin?: string;
  /** The name to ask for (SNI); none is sent if absent, as a browser does that was given an address. */
  readonly serverName?: string;
  /** Application protocols to offer, such as `http/1.1`; none if absent. */
  readonly alpn?: readonly string[];
  /** Milliseconds until the attempt is given up; 20,000 if absent. */
  readonly timeout?: number;
  /** What the proof is bound to: the server's certificate, or its public key. The former if absent. */
  readonly binding?: "certificate" | "key";
  /** What speaks TLS; the system's OpenSSL if absent, or Deno where that is not there. */
  readonly engine?: TlsEngine;
  /** Local address to bind, if any. */
  readonly localAddress?: string;
  /**
   * Opens the TCP connection in our place, perhaps through a proxy: resolves with a connected socket that
   * allows half-open connections, sends without delay, and from which nothing has been read.
   */
  readonly open?: () => Promise<net.Socket>;
}

/**
 * Opens a TLS 1.3 connection and checks the server before a byte of ours is sent.
 *
 * @throws {ConnectError} if the server is not reached or the handshake fails.
 * @throws {WrongCertificate} if its public key is not the pinned one.
 */
export function connectTls(options: TlsClientOptions): Promise<CarrierConnection> {
  const { hostname, port, pin } = options;
  const address = formatAddress({ host: hostname, port });
  const engine = options.engine ?? openSslClient() ?? denoTls;
  return new Promise((resolve, reject) => {
    let raw: net.Socket | undefined;
    let settled = false;
    const fail = (error: Error) => {
      if (settled) return;
      settled = true;
      clearTimeout(deadline);
      raw?.destroy();
      reject(error);
    };
    const deadline = setTimeout(
      () => fail(new ConnectError(address, "no answer in time")),
      options.timeout ?? 20_000,
    );
    const begin = (raw: net.Socket) => {
      const start = {
        ...(options.serverName === undefined ? {} : { serverName: options.serverName }),
        ...(options.alpn === undefined ? {} : { alpn: options.alpn }),
        ...(pin === undefined ? { verify: options.serverName ?? hostname } : {}),
      };
      const socket = engine.client(raw, start, (sight) => {
        if (settled) return;
        const begun = performance.now();
        if (!sight.isTls13) {
          fail(new ConnectError(address, "it does not speak TLS 1.3"));
          return;
        }
        let shown: ReturnType<typeof seenIn>;
        try {
          shown = seenIn(sight);
        } catch (error) {
          // There are keys that OpenSSL takes and this runtime cannot read: whoever is on the way may show one.
          fail(new ConnectError(address, "it shows a certificate that cannot be read", error));
          return;
        }
        const { digests, pin: seen } = shown;
        if (pin !== undefined && pin !== seen) {
          fail(new WrongCertificate(address, pin, seen));
          return;
        }
        settled = true;
        clearTimeout(deadline);
        const digest = digests[options.binding ?? "certificate"];
        resolve(new TlsConnection(raw, socket, engine, "client", digest, undefined, begun));
      });
      socket.once("error", (error) => fail(new ConnectError(address, socketReason(error), error)));
      socket.once("close", () => fail(new ConnectError(address, "closed during the handshake")));
      socket.once("end", () => fail(new ConnectError(address, "closed during the handshake")));
    };
    const failed = (error: unknown) => fail(new ConnectError(address, socketReason(error), error));
    const connected = (raw: net.Socket) => {
      try {
        begin(raw);
      } catch (error) {
        failed(error);
      }
    };
    if (options.open !== undefined) {
      options.open().then((opened) => {
        if (settled) return void opened.destroy();
        raw = opened;
        raw.once("error", failed);
        connected(raw);
      }).catch(failed);
      return;
    }
    const dialled = net.connect({
      host: hostname,
      port,
      noDelay: true,
      allowHalfOpen: true,
      ...(options.localAddress === undefined ? {} : { localAddress: options.localAddress }),
    });
    raw = dialled;
    dialled.once("error", failed);
    dialled.once("connect", () => connected(dialled));
  });
}

/** How a server listens. */
export interface TlsServerOptions {
  /** Address to listen on. */
  readonly hostname: string;
  /** Port to listen on; 0 takes a free one. */
  readonly port: number;
  /** Certificate and key. */
  readonly identity: ServerIdentity;
  /**
   * Application protocols that clients offer, in the server's order of preference; none if absent. Of several,
   * h2 is offered only, never accepted.
   */
  readonly alpn?: readonly string[];
  /** The name that clients ask for, if they ask for one; any if absent. Matters before a genuine server. */
  readonly name?: string;
  /**
   * The genuine TLS server that strangers meet: from their first byte on if what they say could not be one of our
   * clients, and behind a TLS connection of its own otherwise. Without one everybody meets our TLS.
   */
  readonly genuine?: GenuineAddress;
  /**
   * Connections at most that are still in their handshake; for each one more one of the source that has most is
   * dropped, the one that has waited longest. 1000 if absent.
   */
  readonly maxHandshakes?: number;
  /** Strangers at most that are with the genuine server, likewise. 1000 if absent. */
  readonly maxStrangers?: number;
  /** As for a client. */
  readonly engine?: TlsEngine;
  /** Told in words of what goes wrong; without addresses. */
  readonly onNote?: (text: string) => void;
}

/** What a server shows in its handshakes. */
export interface TlsFace {
  /** What speaks TLS. */
  readonly engine: TlsEngine;
  /** Makes a handshake with certificate and key. */
  readonly accept: TlsAccept;
  /** SHA-256 of the certificate (DER). */
  readonly digest: Uint8Array;
}

/**
 * Prepares an identity for handshakes, in which `alpn` is accepted, in order of preference; `exposed` to everybody,
 * or to those whom {@linkcode sortFirstFlight} lets through.
 *
 * @throws {CertificateError} if the key does not fit the certificate, or either cannot be read.
 */
export function tlsFace(
  identity: ServerIdentity,
  alpn?: readonly string[],
  engine: TlsEngine = openSslServer(alpn) ?? denoTls,
  exposed = false,
): TlsFace {
  try {
    return { engine, accept: engine.server(identity, alpn, exposed), digest: identity.digest };
  } catch (error) {
    // Such as a key that the system's OpenSSL takes for too short.
    const reason = error instanceof Error ? error.message : String(error);
    throw new CertificateError("the certificate and its key", `TLS refuses them: ${reason}`, error);
  }
}

/** How one connection is taken. */
export interface TlsAcceptOptions extends TlsFace {
  /** How a stranger on it reaches the genuine server; by the server's decoy if absent. */
  readonly genuine?: OpenGenuine;
}

/**
 * The server's part of a handshake on `raw`, of which nothing that belongs to it has been read;
 * `onConnection` gets the connection within the turn that completes it. The socket is destroyed if the
 * handshake fails or takes longer than a minute.
 */
export function acceptTls(
  raw: net.Socket,
  { accept, digest, engine, genuine }: TlsAcceptOptions,
  onConnection: (connection: CarrierConnection) => void,
): void {
  const deadline = setTimeout(() => raw.destroy(), HANDSHAKE_DEADLINE);
  const done = () => clearTimeout(deadline);
  const failed = () => {
    done();
    raw.destroy();
  };
  raw.once("close", done);
  let socket: SecureSocket;
  try {
    socket = accept(raw, () => {
      done();
      socket.removeListener("error", failed);
      socket.removeListener("end", failed);
      onConnection(new TlsConnection(raw, socket, engine, "server", digest, genuine));
    });
  } catch {
    return failed();
  }
  socket.once("error", failed);
  socket.once("end", failed);
  socket.once("close", done);
}

/**
 * Listens for TLS 1.3 connections; `onConnection` gets each after its handshake.
 *
 * @throws {ListenError} if the address cannot be had.
 */
export function listenTls(
  options: TlsServerOptions,
  onConnection: (connection: CarrierConnection) => void,
): Promise<CarrierServer> {
  const { genuine, hostname, name, onNote, port } = options;
  // Clients offer h2 because browsers do; it is not spoken here.
  const alpn = options.alpn?.filter((protocol, _, all) => protocol !== "h2" || all.length === 1);
  const handshakes = new Waiting(options.maxHandshakes ?? 1000);
  const strangers = new Waiting(options.maxStrangers ?? 1000);
  const seen = new SeenRandoms();
  const turnstile = new Turnstile();
  const exposed = genuine === undefined;
  let shown = tlsFace(options.identity, alpn, options.engine, exposed);
  const dial = ({ host, port }: GenuineAddress) =>
    net.connect({ host, port, allowHalfOpen: true, noDelay: true });
  const take = (raw: net.Socket, open?: OpenGenuine) =>
    turnstile.pass(raw.remoteAddress ?? "", () => {
      if (raw.destroyed) return;
      const face = {
        ...shown,
        ...(open === undefined ? {} : { genuine: open }),
      };
      acceptTls(raw, face, (connection) => {
        handshakes.delete(raw);
        onConnection(connection);
      });
    });
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (raw) => {
    raw.on("error", () => {});
    handshakes.add(raw, () => raw.destroy());
    if (genuine === undefined) return take(raw);
    const cut = sortFirstFlight(raw, {
      back: dial(genuine),
      again: (asked) => new GenuineTls(dial(genuine), asked),
      expected: {
        ...(name === undefined ? {} : { serverName: name }),
        ...(alpn === undefined ? {} : { alpn }),
        ...(shown.engine.ticketName === undefined ? {} : { ticketName: shown.engine.ticketName }),
      },
      seen,
      onOwn: (open) => {
        handshakes.add(raw, () => raw.destroy());
        take(raw, open);
      },
      onStranger: () => {
        handshakes.delete(raw);
        strangers.add(raw, cut);
      },
      onFailure: () => onNote?.("the decoy cannot be reached: strangers are reset"),
    });
    handshakes.add(raw, cut);
  });
  return listenAt(server, hostname, port, {
    pin: options.identity.pin,
    renew: (identity) => {
      shown = tlsFace(identity, alpn, options.engine, exposed);
    },
    waiting: [handshakes, strangers],
  });
}

/** Opens a TLS connection to nginx and has it handed on to the server behind. */
async function connectFronted(options: CarrierClientOptions): Promise<CarrierConnection> {
  const { hostname, path, port, serverName } = options;
  const connection = await connectTls({ ...options, binding: "key" });
  const address = formatAddress({ host: hostname, port });
  await upgrade(connection, {
    address,
    host: serverName ?? (port === 443 ? bracketed(hostname) : address),
    path: path!,
  });
  return connection;
}

/** The carrier `tls`, for the registry. Its secret is proved inside, by playback's first bytes. */
export const tlsCarrier: Carrier = {
  name: "tls",
  clientNote,
  client: (options) =>
    Promise.resolve({
      connect: () => options.path === undefined ? connectTls(options) : connectFronted(options),
      close: () => Promise.resolve(),
    }),
  listen: async (options, onConnection) => {
    const { genuine, identity, name, onWarning, path } = options;
    if (path !== undefined) return await listenFronted({ ...options, path }, onConnection);
    const server = await listenTls(options, onConnection);
    const note = serverNote(options.alpn);
    if (note !== undefined) onWarning?.(note);
    if (genuine !== undefined) {
      const seen = await genuineDigest(genuine, name);
      if (typeof seen === "string") {
        onWarning?.(
          `the decoy at ${formatAddress(genuine)} ${seen}, which strangers notice; ` +
            "a plain web server is given as http://HOST:PORT",
        );
      } else if (Buffer.compare(seen, identity.digest) !== 0) {
        onWarning?.(
          "the decoy shows another certificate than this server, which tells it apart: give both the same",
        );
      }
    }
    return server;
  },
};
