import net, { isIP, type Socket } from "node:net";
import dns from "node:dns/promises";
import { isLoopback, type Target } from "./address.ts";
import { DeadlineError, DialError, reasonOf, SOCKS_REPLY, socksReplyOf } from "./errors.ts";
import { performHandshake } from "./handshake.ts";
import { proxyHandshake } from "./proxy_handshake.ts";
import type { Proxy } from "./proxy_url.ts";
import { systemTimers, type Timers } from "./timers.ts";

/** How connections are made. */
export interface DialOptions {
  /** The proxy to go through. */
  readonly proxy?: Proxy;
  /** Source address towards IPv4 addresses; not used for loopback. */
  readonly bindV4?: string;
  /** Source address towards IPv6 addresses; not used for loopback. */
  readonly bindV6?: string;
  /** Milliseconds for a connection to stand, the proxy's handshake included; 60,000 if absent. */
  readonly deadline?: number;
  /** Gives up, and destroys the socket. */
  readonly signal?: AbortSignal;
  /** Time. */
  readonly timers?: Timers;
}

/** Milliseconds that a connection may take to stand. */
const DEADLINE = 60_000;

/**
 * Makes a TCP connection as the parent wants it: through its proxy, from its source address. Names are looked up
 * here, or by the proxy if there is one; every address of a name is tried in turn. The socket is paused, allows
 * half-open connections and sends without delay.
 *
 * @throws {DialError} with the SOCKS reply that says why; its message names no address.
 */
export async function dial(target: Target, options: DialOptions = {}): Promise<Socket> {
  const { proxy, signal, timers = systemTimers, deadline = DEADLINE } = options;
  if (!(target.port >= 1 && target.port <= 65535)) {
    throw new DialError("port 0 cannot be connected to", SOCKS_REPLY.failed);
  }
  const late = new AbortController();
  const cancel = timers.after(
    deadline,
    () => late.abort(new DeadlineError("the connection", deadline)),
  );
  const either = signal === undefined ? late.signal : AbortSignal.any([late.signal, signal]);
  try {
    const socket = await connectAny(proxy?.address ?? target, options, either);
    if (proxy === undefined) return socket;
    try {
      await performHandshake(socket, proxyHandshake(proxy, target), {
        deadline,
        what: `the ${proxy.scheme} proxy's handshake`,
        timers,
        signal: either,
      });
      return socket;
    } catch (error) {
      socket.destroy();
      throw error;
    }
  } finally {
    cancel();
  }
}

async function connectAny(
  { host, port }: Target,
  options: DialOptions,
  signal: AbortSignal,
): Promise<Socket> {
  const addresses = isIP(host) !== 0 ? [host] : await lookUp(host, signal);
  let failure: unknown;
  for (const address of addresses) {
    try {
      return await connect(address, port, options, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      failure = error;
    }
  }
  throw failure;
}

async function lookUp(name: string, signal: AbortSignal): Promise<string[]> {
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  signal.addEventListener("abort", abort);
  try {
    signal.throwIfAborted();
    const found = await Promise.race([dns.lookup(name, { all: true }), promise]);
    return found.map(({ address }) => address);
  } catch (error) {
    if (signal.aborted) throw error;
    throw new DialError(reasonOf(error), SOCKS_REPLY.hostUnreachable, { cause: error });
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

function connect(
  host: string,
  port: number,
  { bindV4, bindV6 }: DialOptions,
  signal: AbortSignal,
): Promise<Socket> {
  const source = isLoopback(host) ? undefined : isIP(host) === 6 ? bindV6 : bindV4;
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const socket = net.connect({
      host,
      port,
      allowHalfOpen: true,
      noDelay: true,
      ...(source === undefined ? {} : { localAddress: source }),
    });
    const abort = () => {
      socket.destroy();
      reject(signal.reason);
    };
    signal.addEventListener("abort", abort);
    socket.once("connect", () => {
      signal.removeEventListener("abort", abort);
      socket.pause();
      resolve(socket);
    });
    socket.on("error", (error) => {
      signal.removeEventListener("abort", abort);
      reject(new DialError(reasonOf(error), socksReplyOf(error), { cause: error }));
    });
  });
}
