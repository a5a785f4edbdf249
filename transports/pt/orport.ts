import { readFile } from "node:fs/promises";
import type { Socket } from "node:net";
import { dial } from "./dial.ts";
import type { ServerEnvironment } from "./environment.ts";
import { OrPortError, reasonOf } from "./errors.ts";
import { extOrHandshake, parseCookie } from "./ext_orport.ts";
import { performHandshake } from "./handshake.ts";
import { systemTimers, type Timers } from "./timers.ts";

/** Milliseconds for tor to take a connection at its Extended ORPort. */
const DEADLINE = 5_000;

/** What a connection to tor needs. */
export interface OrPortOptions {
  /** Where tor is. */
  readonly environment: Pick<ServerEnvironment, "orPort" | "extendedOrPort">;
  /** The transport's name, which tor counts by. */
  readonly transport: string;
  /** The client's address and port, if known: tor counts countries by it. */
  readonly clientAddress?: string;
  /** Gives up, and destroys the socket. */
  readonly signal?: AbortSignal;
  /** Time. */
  readonly timers?: Timers;
}

/**
 * Connects to tor, which is where a server's payload goes: to its Extended ORPort if it has one, else to the
 * plain ORPort. The cookie file is read anew for each connection, because tor writes a new one when it restarts.
 * When this returns, tor has said OKAY and payload may flow.
 *
 * @throws {DialError | OrPortError} if tor cannot be reached, or does not want us.
 */
export async function dialOrPort(options: OrPortOptions): Promise<Socket> {
  const { environment, transport, clientAddress, signal, timers = systemTimers } = options;
  const direct = {
    deadline: DEADLINE,
    timers,
    ...(signal === undefined ? {} : { signal }),
  };
  const { extendedOrPort, orPort } = environment;
  if (extendedOrPort === undefined) {
    if (orPort === undefined) throw new OrPortError("tor has told no ORPort");
    return await dial(orPort, direct);
  }
  const cookie = parseCookie(await readCookieFile(extendedOrPort.cookieFile));
  const socket = await dial(extendedOrPort.address, direct);
  try {
    await performHandshake(
      socket,
      extOrHandshake({
        cookie,
        transport,
        ...(clientAddress === undefined ? {} : { userAddress: clientAddress }),
      }),
      { ...direct, what: "the Extended ORPort's handshake" },
    );
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

async function readCookieFile(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new OrPortError(`the cookie file ${path} cannot be read: ${reasonOf(error)}`, {
      cause: error,
    });
  }
}
