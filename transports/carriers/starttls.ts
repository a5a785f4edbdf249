/**
 * Carriers that begin in plaintext: a genuine server's dialogue up to STARTTLS, then TLS 1.3. What the
 * protocols have in common is here; what each says is a {@linkcode StartTlsDialogue}.
 *
 * The plaintext part of every connection is the genuine server's own: the server's end relays it, byte for
 * byte and with its own delays, and takes over after STARTTLS. Whoever does not prove a secret inside TLS is
 * joined to a connection to that server.
 *
 * @module
 */
import net from "node:net";
import type { Socket } from "node:net";
import tls from "node:tls";
import { formatAddress, socketReason } from "../../base/mod.ts";
import type { Carrier, CarrierConnection, CarrierServer, CarrierServerOptions } from "./carrier.ts";
import { publicKeyPin } from "./certificate.ts";
import { ConnectError } from "./errors.ts";
import { LaterSocket } from "./genuine.ts";
import { listenAt } from "./listen_at.ts";
import { acceptTls, connectTls, tlsFace } from "./tls.ts";
import { SeenRandoms, sortFirstFlight } from "./tls_first_flight.ts";
import { clientNote, serverNote } from "./tls_openssl.ts";
import { Turnstile } from "./turnstile.ts";
import { Waiting } from "./waiting.ts";

/** Milliseconds that a dialogue of ours may take. */
const DIALOGUE_DEADLINE = 20_000;
/** Connections at most in their plaintext part or in their handshake. */
const MOST_DIALOGUES = 1000;
/** Connections at most whose TLS is the genuine server's. */
const MOST_STRANGERS = 1000;
/** Bytes that wait for a peer before the other one is held back. */
const BACKLOG = 65_536;

/** Looks on as a client and the genuine server talk, and tells when they have agreed on TLS. */
export interface StartTlsObserver {
  /** What the client called itself; empty if it did not. */
  readonly clientName: string;
  /** Bytes of the client's. */
  fromClient(bytes: Uint8Array): void;
  /** Bytes of the genuine server's. Returns whether they are the go-ahead: what follows is a handshake. */
  fromServer(bytes: Uint8Array): boolean;
}

/** What one protocol says in plaintext. */
export interface StartTlsDialogue {
  /** The carrier's name. */
  readonly name: string;
  /** `false` if its clients offer no application protocols; they do if absent. */
  readonly alpn?: false;
  /** What our clients call themselves. */
  readonly clientName: string;
  /**
   * The client's part, up to the go-ahead for TLS: resolves with the socket paused and nothing of the
   * handshake read. A `preface` is sent before anything else.
   */
  ask(socket: Socket, options: { name: string; preface?: string }): Promise<void>;
  /** Looks on at one connection. */
  watch(): StartTlsObserver;
  /** What the genuine server is told of a client before the dialogue, if it is. */
  readonly preface?: (client: Socket) => string;
  /** The same of nobody in particular. */
  readonly nobody?: string;
  /** The error where no genuine server was named. */
  missing(): Error;
  /** The error where the genuine server is none. */
  unfit(address: string, why: string, cause: unknown): Error;
}

type Address = { readonly host: string; readonly port: number };

/** About nobody in particular (RFC 5737): Postfix does not take `PROXY UNKNOWN`. */
export const PROXIED_NOBODY = "PROXY TCP4 192.0.2.1 192.0.2.1 65535 25\r\n";

/** The PROXY protocol's line, version 1, about a client's connection. */
export function proxyLine(client: Socket): string {
  const plain = (address: string | undefined) => (address ?? "").replace(/^::ffff:(?=[\d.]+$)/, "");
  const [from, to] = [plain(client.remoteAddress), plain(client.localAddress)];
  const family = net.isIP(from);
  if (family === 0 || family !== net.isIP(to)) return PROXIED_NOBODY;
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
  dialogue: StartTlsDialogue,
  address: Address,
  preface: string,
  name: string,
): Promise<tls.TLSSocket> {
  const raw = await connectPlain(address);
  return await inTime(raw, async () => {
    await dialogue.ask(raw, { name, ...(preface === "" ? {} : { preface }) });
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
async function probe(dialogue: StartTlsDialogue, address: Address): Promise<string> {
  try {
    const { clientName, nobody = "" } = dialogue;
    const socket = await connectBehindTls(dialogue, address, nobody, clientName);
    const pin = publicKeyPin(socket.getPeerCertificate().raw);
    socket.end();
    socket.destroy();
    return pin;
  } catch (error) {
    throw dialogue.unfit(formatAddress(address), socketReason(error), error);
  }
}

/**
 * Takes one connection through its plaintext part. `onTls` gets the genuine server's connection, which has
 * said that it is ready for a handshake.
 */
function relayUntilTls(
  dialogue: StartTlsDialogue,
  client: Socket,
  genuine: Address,
  onTls: (server: Socket, clientName: string, preface: string) => void,
): void {
  const preface = dialogue.preface?.(client) ?? "";
  const server = net.connect({ ...genuine, allowHalfOpen: true, noDelay: true });
  if (preface !== "") server.write(preface);
  const watch = dialogue.watch();
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
      onTls(server, watch.clientName || dialogue.clientName, preface);
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
  dialogue: StartTlsDialogue,
  options: CarrierServerOptions,
  onConnection: (connection: CarrierConnection) => void,
): Promise<CarrierServer> {
  const { alpn, genuine, hostname, identity, name, onNote, onWarning, port } = options;
  if (genuine === undefined) throw dialogue.missing();
  if (await probe(dialogue, genuine) !== identity.pin) {
    onNote?.(
      "the genuine server behind shows another certificate than ours: a stranger who compares sees two: " +
        "give its own with --cert and --key",
    );
  }
  const note = serverNote(alpn);
  if (note !== undefined) onWarning?.(note);
  let face = tlsFace(identity, alpn);
  const seen = new SeenRandoms();
  const turnstile = new Turnstile();
  const dialogues = new Waiting(MOST_DIALOGUES);
  const strangers = new Waiting(MOST_STRANGERS);
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (raw) => {
    raw.on("error", () => {});
    dialogues.add(raw, () => raw.destroy());
    relayUntilTls(dialogue, raw, genuine, (back, clientName, preface) => {
      const cut = sortFirstFlight(raw, {
        back,
        again: () => new LaterSocket(connectBehindTls(dialogue, genuine, preface, clientName)),
        expected: {
          ...(name === undefined ? {} : { serverName: name }),
          ...(alpn === undefined ? {} : { alpn }),
          ...(face.engine.ticketName === undefined ? {} : { ticketName: face.engine.ticketName }),
        },
        seen,
        speaks: true,
        onOwn: (open) => {
          const shown = { ...face, genuine: open };
          turnstile.pass(raw.remoteAddress ?? "", () => {
            if (raw.destroyed) return;
            acceptTls(raw, shown, (connection) => {
              dialogues.delete(raw);
              onConnection(connection);
            });
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
  return await listenAt(server, hostname, port, {
    pin: identity.pin,
    renew: (renewed) => {
      face = tlsFace(renewed, alpn);
    },
    waiting: [dialogues, strangers],
  });
}

/** The carrier of a protocol that begins with `dialogue`. */
export function startTlsCarrier(dialogue: StartTlsDialogue): Carrier {
  return {
    name: dialogue.name,
    ...(dialogue.alpn === undefined ? {} : { alpn: dialogue.alpn }),
    clientNote,
    client: (options) => {
      const { hostname: host, port } = options;
      const connect = options.open ?? (() => connectPlain({ host, port }));
      const open = async () => {
        const raw = await connect();
        try {
          await inTime(raw, () => dialogue.ask(raw, { name: dialogue.clientName }));
        } catch (error) {
          throw new ConnectError(formatAddress({ host, port }), socketReason(error), error);
        }
        return raw;
      };
      return Promise.resolve({
        connect: () => connectTls({ ...options, open }),
        close: () => Promise.resolve(),
      });
    },
    listen: (options, onConnection) => listen(dialogue, options, onConnection),
  };
}
