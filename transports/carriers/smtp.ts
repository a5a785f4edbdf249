/**
 * The carrier `smtp`: a real mail server's dialogue up to STARTTLS, then TLS 1.3.
 *
 * The plaintext part of every connection is the genuine server's own: the server's end relays it, byte for
 * byte and with its own delays, to a Postfix that the operator runs, and takes over after STARTTLS. Whoever
 * does not prove a secret inside TLS is joined to a fresh connection to that Postfix, behind TLS as well. The
 * Postfix is told each client's address by the PROXY protocol, version 1: without it, everybody would seem to come
 * from the relay, which mail servers trust.
 *
 * The secret is proved by the first record inside TLS, as with the carrier `tls`, and not by AUTH: its size is
 * then the model's, while a dialogue with AUTH would add exchanges that the modelled traffic does not have.
 *
 * @module
 */
import net from "node:net";
import type { AddressInfo, Socket } from "node:net";
import tls from "node:tls";
import { ListenError, socketReason, UserError } from "../../base/mod.ts";
import type { Carrier, CarrierConnection, CarrierServer, CarrierServerOptions } from "./carrier.ts";
import { publicKeyPin } from "./certificate.ts";
import { ConnectError } from "./errors.ts";
import { LaterSocket } from "./genuine.ts";
import { askForTls, StartTlsWatch } from "./smtp_dialogue.ts";
import { acceptTls, connectTls, tlsFace } from "./tls.ts";
import { SeenRandoms, sortFirstFlight } from "./tls_first_flight.ts";
import { Waiting } from "./waiting.ts";

/** What a client calls itself: what mail programs say that do not want to tell their address. */
const CLIENT_NAME = "[127.0.0.1]";
/** Milliseconds that a dialogue of ours may take. */
const DIALOGUE_DEADLINE = 20_000;
/** Connections at most in their plaintext part or in their handshake. */
const MOST_DIALOGUES = 1000;
/** Connections at most whose TLS is the genuine server's. */
const MOST_STRANGERS = 1000;
/** Bytes that wait for a peer before the other one is held back. */
const BACKLOG = 65_536;

/** The operator's mail server cannot serve as the genuine one. */
export class MailServerError extends UserError {
  /** `address` as HOST:PORT. */
  constructor(readonly address: string, why: string, cause?: unknown) {
    super(
      `the mail server at ${address} cannot be the decoy: ${why}: it must be a Postfix smtpd with STARTTLS ` +
        `and smtpd_upstream_proxy_protocol=haproxy, for the carrier smtp only`,
      { cause },
    );
  }
}

/** The carrier smtp was chosen without a mail server behind it. */
export class NoMailServer extends UserError {
  /** Takes nothing. */
  constructor() {
    super(
      "the carrier smtp needs a genuine mail server that strangers meet: give its address with --decoy HOST:PORT",
    );
  }
}

type Address = { readonly host: string; readonly port: number };

function textOf({ host, port }: Address): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** About nobody in particular (RFC 5737): Postfix does not take `PROXY UNKNOWN`. */
const NOBODY = "PROXY TCP4 192.0.2.1 192.0.2.1 65535 25\r\n";

/** The PROXY protocol's line, version 1, about a client's connection. */
function proxyLine(client: Socket): string {
  const plain = (address: string | undefined) => (address ?? "").replace(/^::ffff:(?=[\d.]+$)/, "");
  const [from, to] = [plain(client.remoteAddress), plain(client.localAddress)];
  const family = net.isIP(from);
  if (family === 0 || family !== net.isIP(to)) return NOBODY;
  return `PROXY TCP${family} ${from} ${to} ${client.remotePort} ${client.localPort}\r\n`;
}

function connectPlain({ host, port }: Address): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host, port, allowHalfOpen: true, noDelay: true });
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.removeListener("error", reject);
      resolve(socket);
    });
  });
}

/** Calls `run`, and destroys the socket if that fails or takes too long. */
async function inTime<T>(socket: Socket, run: () => Promise<T>): Promise<T> {
  const ignore = () => {};
  socket.on("error", ignore);
  const deadline = setTimeout(() => socket.destroy(), DIALOGUE_DEADLINE);
  try {
    return await run();
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    clearTimeout(deadline);
  }
}

/** A connection to the genuine server behind STARTTLS; `preface` and `name` are those of the client. */
async function connectBehindTls(
  address: Address,
  preface: string,
  name: string,
): Promise<tls.TLSSocket> {
  const raw = await connectPlain(address);
  return await inTime(raw, async () => {
    await askForTls(raw, { name, preface });
    return await new Promise((resolve, reject) => {
      const socket = tls.connect({
        socket: raw,
        // It is the operator's own, and reached over a way that the operator chose.
        rejectUnauthorized: false,
        allowHalfOpen: true,
      } as tls.ConnectionOptions);
      socket.once("error", reject);
      socket.once("close", () => reject(new Error("closed during the handshake")));
      socket.once("secureConnect", () => {
        socket.removeListener("error", reject);
        socket.setNoDelay(true);
        resolve(socket);
      });
    });
  });
}

/** Looks whether the genuine server is one, and which key it shows. */
async function probe(address: Address): Promise<string> {
  try {
    const socket = await connectBehindTls(address, NOBODY, CLIENT_NAME);
    const pin = publicKeyPin(socket.getPeerCertificate().raw);
    socket.end();
    socket.destroy();
    return pin;
  } catch (error) {
    throw new MailServerError(textOf(address), socketReason(error), error);
  }
}

/**
 * Takes one connection through its plaintext part. `onTls` gets the genuine server's connection, which has
 * said that it is ready for a handshake.
 */
function relayUntilTls(
  client: Socket,
  genuine: Address,
  onTls: (server: Socket, clientName: string, preface: string) => void,
): void {
  const preface = proxyLine(client);
  const server = net.connect({ ...genuine, allowHalfOpen: true, noDelay: true });
  server.write(preface);
  const watch = new StartTlsWatch();
  const ofClient = {
    data: (bytes: Uint8Array) => {
      watch.fromClient(bytes);
      if (!server.write(bytes) && server.writableLength > BACKLOG) client.pause();
    },
    end: () => void server.end(),
    close: () => void server.destroy(),
    drain: () => void server.resume(),
  };
  const ofServer = {
    data: (bytes: Uint8Array) => {
      if (!watch.fromServer(bytes)) {
        if (!client.write(bytes) && client.writableLength > BACKLOG) server.pause();
        return;
      }
      change(client, ofClient, "removeListener");
      change(server, ofServer, "removeListener");
      client.write(bytes);
      onTls(server, watch.clientName || CLIENT_NAME, preface);
    },
    end: () => void client.end(),
    error: () => void client.resetAndDestroy(),
    close: (failed: boolean) => {
      if (failed) client.destroy();
    },
    drain: () => void client.resume(),
  };
  const change = (
    socket: Socket,
    listeners: object,
    how: "on" | "removeListener",
  ) => {
    for (const [event, listener] of Object.entries(listeners)) socket[how](event, listener);
  };
  change(client, ofClient, "on");
  change(server, ofServer, "on");
}

async function listen(
  options: CarrierServerOptions,
  onConnection: (connection: CarrierConnection) => void,
): Promise<CarrierServer> {
  const { alpn, genuine, hostname, identity, name, onNote, port } = options;
  if (genuine === undefined) throw new NoMailServer();
  if (await probe(genuine) !== identity.pin) {
    onNote?.(
      "the mail server behind shows another certificate than ours: a stranger who compares sees two: " +
        "give its own with --cert and --key",
    );
  }
  let face = tlsFace(identity);
  const seen = new SeenRandoms();
  const dialogues = new Waiting(MOST_DIALOGUES);
  const strangers = new Waiting(MOST_STRANGERS);
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (raw) => {
    raw.on("error", () => {});
    dialogues.add(raw, () => raw.destroy());
    relayUntilTls(raw, genuine, (back, clientName, preface) => {
      const cut = sortFirstFlight(raw, {
        back,
        again: () => new LaterSocket(connectBehindTls(genuine, preface, clientName)),
        expected: {
          ...(name === undefined ? {} : { serverName: name }),
          ...(alpn === undefined ? {} : { alpn }),
        },
        seen,
        onOwn: (open) => {
          const shown = { ...face, ...(alpn === undefined ? {} : { alpn }), genuine: open };
          acceptTls(raw, shown, (connection) => {
            dialogues.delete(raw);
            onConnection(connection);
          });
        },
        onStranger: () => {
          dialogues.delete(raw);
          strangers.add(raw, cut);
        },
      });
      dialogues.add(raw, cut);
    });
  });
  return await new Promise((resolve, reject) => {
    server.once("error", (error) => {
      reject(new ListenError(textOf({ host: hostname, port }), "--listen", error));
    });
    server.listen(port, hostname, () => {
      const bound = server.address() as AddressInfo;
      resolve({
        hostname: bound.address,
        port: bound.port,
        pin: identity.pin,
        renew: (renewed) => {
          face = tlsFace(renewed);
        },
        close: () => {
          server.close();
          dialogues.drop();
          strangers.drop();
          return Promise.resolve();
        },
      });
    });
  });
}

/** The carrier `smtp`, for the registry. */
export const smtpCarrier: Carrier = {
  name: "smtp",
  client: (options) => {
    const { hostname: host, port } = options;
    const connect = options.open ?? (() => connectPlain({ host, port }));
    const open = async () => {
      const raw = await connect();
      try {
        await inTime(raw, () => askForTls(raw, { name: CLIENT_NAME }));
      } catch (error) {
        throw new ConnectError(textOf({ host, port }), socketReason(error), error);
      }
      return raw;
    };
    return Promise.resolve({
      connect: () => connectTls({ ...options, open }),
      close: () => Promise.resolve(),
    });
  },
  listen,
};
