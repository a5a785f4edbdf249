import type { Socket } from "node:net";
import type { Target } from "./address.ts";
import type { TransportArgs } from "./args.ts";
import type { TransportContext } from "./context.ts";
import { dial, type DialOptions } from "./dial.ts";
import {
  DeadlineError,
  DialError,
  PtError,
  reasonOf,
  severityOf,
  SOCKS_REPLY,
  socksReplyOf,
  SocksRequestError,
} from "./errors.ts";
import { performHandshake } from "./handshake.ts";
import { listen, type Listener, ListenError } from "./listen.ts";
import { socksReply, type SocksRequest, socksRequest } from "./socks5.ts";
import { OwnSockets } from "./own_sockets.ts";
import type { Timers } from "./timers.ts";

/** Milliseconds that tor may take for its SOCKS request. */
const SOCKS_DEADLINE = 5_000;

/** The most bytes kept of a peer that speaks before it was answered. */
const MAX_EARLY = 65_536;

/** What a client transport finds around it. */
export interface ClientContext extends TransportContext {
  /** Makes connections through the parent's proxy and from its source addresses. */
  dial(target: Target, options?: Pick<DialOptions, "deadline" | "signal">): Promise<Socket>;
  /** Whether `dial` does what connecting does: there is no proxy and no source address to go by. */
  readonly direct: boolean;
}

/** One connection that tor asks for. */
export interface ClientConnection {
  /** The transport that it asks for. */
  readonly transport: string;
  /** The bridge's address, as in the bridge line. */
  readonly target: Target;
  /** The arguments in the bridge line. */
  readonly args: TransportArgs;
  /** Aborted when tor gives up before it was answered, or when the transport ends. */
  readonly signal: AbortSignal;
  /** What all connections of the transport share. */
  readonly context: ClientContext;
  /**
   * Connects to the bridge, or to another address, as {@linkcode ClientContext.dial}. The socket belongs to this
   * connection: it is closed when the handler is done.
   */
  dial(target?: Target): Promise<Socket>;
  /**
   * Tells tor that the transport is connected, and returns tor's socket (paused, half-open allowed). To be
   * called once, and only when the transport really is connected.
   */
  accept(): Socket;
}

/**
 * Serves one connection of tor's. The connection ends when its promise settles. If it throws before
 * {@linkcode ClientConnection.accept}, tor is told why ({@linkcode socksReplyOf}).
 */
export type ClientHandler = (connection: ClientConnection) => Promise<void>;

/** A client transport: a handler, or what makes one at the start (an error becomes `CMETHOD-ERROR`). */
export type ClientTransport =
  | ClientHandler
  | { start(context: ClientContext): Promise<ClientHandler> };

/** The context of a client transport. */
export function clientContext(context: TransportContext, options: DialOptions): ClientContext {
  const { bindV4, bindV6, proxy } = options;
  return {
    ...context,
    dial: (target, own) => dial(target, { ...options, ...own }),
    direct: proxy === undefined && bindV4 === undefined && bindV6 === undefined,
  };
}

/**
 * Starts a client transport: listens for tor's SOCKS connections on a loopback address.
 */
export async function startClient(
  transport: ClientTransport,
  context: ClientContext,
  timers: Timers,
): Promise<Listener> {
  const handler = typeof transport === "function" ? transport : await transport.start(context);
  const serve = (socket: Socket, ending: AbortSignal) =>
    serveSocks(socket, ending, handler, context, timers);
  try {
    return await listen({ host: "127.0.0.1", port: 0 }, serve);
  } catch (error) {
    if (!(error instanceof ListenError)) throw error;
    return await listen({ host: "::1", port: 0 }, serve);
  }
}

async function serveSocks(
  socket: Socket,
  ending: AbortSignal,
  handler: ClientHandler,
  context: ClientContext,
  timers: Timers,
): Promise<void> {
  let request: SocksRequest;
  try {
    request = await performHandshake(socket, socksRequest(), {
      deadline: SOCKS_DEADLINE,
      what: "the SOCKS request",
      timers,
      signal: ending,
    });
  } catch (error) {
    if (error instanceof DeadlineError) context.log("info", error.message);
    if (error instanceof SocksRequestError) {
      if (error.reply.length > 0) socket.write(error.reply);
      context.log("warning", `a SOCKS request was refused: ${error.message}`);
    }
    return;
  }
  const gone = new AbortController();
  const stopWatching = watchEarly(socket, () => gone.abort(new PtError("tor gave up")));
  const signal = AbortSignal.any([ending, gone.signal]);
  const own = new OwnSockets();
  let accepted = false;
  let failure: unknown = new DialError("the transport did not connect", SOCKS_REPLY.failed);
  try {
    await handler({
      ...request,
      transport: context.transport,
      signal,
      context,
      dial: (target = request.target) => own.add(context.dial(target, { signal })),
      accept: () => {
        if (accepted) throw new PtError("a connection was accepted twice");
        signal.throwIfAborted();
        accepted = true;
        stopWatching();
        socket.write(socksReply(SOCKS_REPLY.succeeded));
        return socket;
      },
    });
    own.end();
    if (accepted) return;
  } catch (error) {
    own.destroy();
    failure = error;
    if (accepted) {
      socket.destroy();
      if (!ending.aborted) context.log(severityOf(error), `a connection broke: ${reasonOf(error)}`);
      return;
    }
  }
  stopWatching();
  if (signal.aborted) return void socket.destroy();
  socket.write(socksReply(socksReplyOf(failure)));
  context.log(severityOf(failure), `a connection failed: ${reasonOf(failure)}`);
}

/**
 * Notices that the peer goes while it waits for its answer, which a paused socket does not tell. Bytes that come too
 * early are kept and given back by the function returned.
 */
function watchEarly(socket: Socket, onGone: () => void): () => void {
  const early: Uint8Array[] = [];
  let held = 0;
  const onData = (bytes: Uint8Array) => {
    early.push(bytes);
    held += bytes.length;
    if (held >= MAX_EARLY) socket.pause();
  };
  socket.on("data", onData);
  socket.on("end", onGone);
  socket.on("close", onGone);
  socket.resume();
  let watching = true;
  return () => {
    if (!watching) return;
    watching = false;
    socket.pause();
    socket.removeListener("data", onData);
    socket.removeListener("end", onGone);
    socket.removeListener("close", onGone);
    for (const bytes of early.reverse()) socket.unshift(bytes);
  };
}
