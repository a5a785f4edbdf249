import type { Socket } from "node:net";
import { formatTarget, plainAddress, type Target } from "./address.ts";
import type { ArgsLike, TransportArgs } from "./args.ts";
import type { TransportContext } from "./context.ts";
import type { ServerEnvironment } from "./environment.ts";
import { reasonOf, severityOf } from "./errors.ts";
import { listen } from "./listen.ts";
import { dialOrPort } from "./orport.ts";
import { OwnSockets } from "./own_sockets.ts";
import type { Timers } from "./timers.ts";

/** Where a server listens if neither its parent nor itself chooses: tor's own default. */
const ANYWHERE: Target = { host: "0.0.0.0", port: 0 };

/** What a server transport finds around it. */
export interface ServerContext extends TransportContext {
  /** Where to listen; port 0 is any. Absent if the parent left it to the transport. */
  readonly bindAddress?: Target;
  /** `ServerTransportOptions` of the torrc. */
  readonly options: TransportArgs;
  /**
   * Connects to tor; when it resolves, payload may flow. `clientAddress` is told to tor if it takes it.
   */
  dialOrPort(clientAddress?: Target, signal?: AbortSignal): Promise<Socket>;
  /**
   * Listens at `bindAddress`, or at `fallback` (any IPv4 address and port, if absent), and serves each
   * connection; `args` go into the bridge line.
   */
  listen(
    handler: ServerHandler,
    options?: { readonly args?: ArgsLike; readonly fallback?: Target },
  ): Promise<RunningServer>;
}

/** One connection of a client. */
export interface ServerConnection {
  /** The client's socket: paused, half-open allowed. */
  readonly socket: Socket;
  /** The client's address. */
  readonly clientAddress: Target;
  /** Aborted when the transport ends. */
  readonly signal: AbortSignal;
  /** What all connections of the transport share. */
  readonly context: ServerContext;
  /**
   * Connects to tor for this client, as {@linkcode ServerContext.dialOrPort}. The socket belongs to this connection: it
   * is closed when the handler is done.
   */
  dialOrPort(): Promise<Socket>;
}

/** Serves one connection; it is closed when the promise settles, and destroyed if it throws. */
export type ServerHandler = (connection: ServerConnection) => Promise<void>;

/** A server transport that runs. */
export interface RunningServer {
  /** Where it listens: an IP address and its real port. */
  readonly address: Target;
  /** What a bridge line needs besides. */
  readonly args?: ArgsLike;
  /** Takes no more connections; resolves when the last one is over. */
  stop(): Promise<void>;
  /** Ends at once. */
  destroy(): void | Promise<void>;
}

/** A server transport: a handler, or what starts one (an error becomes `SMETHOD-ERROR`). */
export type ServerTransport =
  | ServerHandler
  | { start(context: ServerContext): Promise<RunningServer> };

/** The context of a server transport. */
export function serverContext(
  common: TransportContext,
  environment: ServerEnvironment,
  timers: Timers,
): ServerContext {
  const bindAddress = environment.bindAddresses.get(common.transport);
  const context: ServerContext = {
    ...common,
    ...(bindAddress === undefined ? {} : { bindAddress }),
    options: environment.options.get(common.transport) ?? new Map(),
    dialOrPort: (clientAddress, signal) =>
      dialOrPort({
        environment,
        transport: common.transport,
        timers,
        ...(clientAddress === undefined ? {} : { clientAddress: formatTarget(clientAddress) }),
        ...(signal === undefined ? {} : { signal }),
      }),
    listen: async (handler, { args, fallback = ANYWHERE } = {}) => {
      const listener = await listen(
        bindAddress ?? fallback,
        (socket, signal) => serve(socket, signal, handler, context),
      );
      return { ...listener, ...(args === undefined ? {} : { args }) };
    },
  };
  return context;
}

/** Starts a server transport. */
export function startServer(
  transport: ServerTransport,
  context: ServerContext,
): Promise<RunningServer> {
  return typeof transport === "function" ? context.listen(transport) : transport.start(context);
}

async function serve(
  socket: Socket,
  signal: AbortSignal,
  handler: ServerHandler,
  context: ServerContext,
): Promise<void> {
  const clientAddress = {
    host: plainAddress(socket.remoteAddress ?? "0.0.0.0"),
    port: socket.remotePort ?? 0,
  };
  const own = new OwnSockets();
  try {
    await handler({
      socket,
      clientAddress,
      signal,
      context,
      dialOrPort: () => own.add(context.dialOrPort(clientAddress, signal)),
    });
    own.end();
  } catch (error) {
    own.destroy();
    socket.destroy();
    if (!signal.aborted) context.log(severityOf(error), `a connection broke: ${reasonOf(error)}`);
  }
}
