import { mkdir } from "node:fs/promises";
import { formatTarget } from "./address.ts";
import { clientContext, type ClientTransport, startClient } from "./client.ts";
import type { TransportContext } from "./context.ts";
import {
  type ClientEnvironment,
  parseEnvironment,
  type PtEnvironment,
  type ServerEnvironment,
} from "./environment.ts";
import { EnvironmentError, reasonOf, scrubAddresses, VersionError } from "./errors.ts";
import { type ClientMethods, Opening, type ServerMethods, type Stage } from "./output.ts";
import { parseProxyUrl, type Proxy } from "./proxy_url.ts";
import { type PtRuntime, systemRuntime } from "./runtime.ts";
import { serverContext, type ServerTransport, startServer } from "./server.ts";
import { type Shutdown, watchShutdown } from "./shutdown.ts";

/** A pluggable transport: what it can do as a client and as a server, by name. */
export interface PluggableTransport {
  /** Transports for tor clients. */
  readonly client?: Readonly<Record<string, ClientTransport>>;
  /** Transports for bridges. */
  readonly server?: Readonly<Record<string, ServerTransport>>;
  /** Name and version of the program, which tor and its controllers are told. */
  readonly implementation?: { readonly name: string; readonly version: string };
  /** Logs addresses as they are; they are scrubbed if absent. */
  readonly unsafeLogging?: boolean;
  /** The process; {@linkcode systemRuntime} if absent. */
  readonly runtime?: PtRuntime;
}

/** Milliseconds that connections have to close when the transport ends at once. */
const GRACE = 500;

/** What runs: the common part of both roles. */
interface RunningMethod {
  stop(): Promise<void>;
  destroy(): void | Promise<void>;
}

/**
 * Runs a pluggable transport under tor (or whatever speaks pt-spec), from its environment to its end. The environment
 * says which role it has. Transports that it names and we do not have are ignored; those that cannot start
 * are reported. It ends with standard input (if the parent asked for that), with SIGTERM, with the parent
 * process, or at SIGINT once all connections are over (at a second one, at once).
 *
 * Returns the exit code: 0 after an ordinary end, 1 if it could not run. Pass it to `Deno.exit`.
 *
 * @example
 * ```ts ignore
 * import { runPluggableTransport, splice } from "@trafficmimic/trafficmimic/pt";
 * Deno.exit(await runPluggableTransport({
 *   client: {
 *     plain: async (connection) => {
 *       const bridge = await connection.dial();
 *       await splice(connection.accept(), bridge);
 *     },
 *   },
 *   server: {
 *     plain: async ({ socket, dialOrPort }) => splice(socket, await dialOrPort()),
 *   },
 * }));
 * ```
 */
export async function runPluggableTransport(transport: PluggableTransport): Promise<0 | 1> {
  const { runtime = systemRuntime } = transport;
  let onBroken = () => {};
  const opening = Opening.start((line) => {
    try {
      runtime.writeLine(line);
    } catch {
      onBroken();
    }
  });
  let environment;
  try {
    environment = await prepare(transport, runtime);
  } catch (error) {
    if (error instanceof VersionError) opening.versionError();
    else if (error instanceof EnvironmentError) opening.environmentError(error.message);
    else throw error;
    return 1;
  }
  const shutdown = watchShutdown(runtime, environment.exitOnStdinClose);
  onBroken = () => shutdown.end("stdout");
  const running: RunningMethod[] = [];
  const session = { transport, runtime, shutdown, running };
  const begun = environment.role === "client"
    ? beginClient(opening, environment, session)
    : beginServer(opening, environment, session);
  try {
    if (await Promise.race([begun, shutdown.ended]) === false) return 1;
    shutdown.draining.addEventListener("abort", () => {
      void Promise.all(running.map((method) => method.stop())).then(() => shutdown.end("drained"));
    });
    if (shutdown.draining.aborted) shutdown.end("drained");
    await shutdown.ended;
    return 0;
  } finally {
    shutdown.end("stdout");
    await endAll(running, runtime);
  }
}

/** Checks all that can be checked before the parent hears `VERSION`. */
async function prepare(
  { client, server }: PluggableTransport,
  runtime: PtRuntime,
): Promise<PtEnvironment> {
  const environment = parseEnvironment((name) => runtime.variable(name));
  const { role, stateFolder } = environment;
  if ((role === "client" ? client : server) === undefined) {
    throw new EnvironmentError(`this program has no ${role} transports`);
  }
  try {
    await mkdir(stateFolder, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new EnvironmentError(
      `TOR_PT_STATE_LOCATION: the folder cannot be made: ${reasonOf(error)}`,
      { cause: error },
    );
  }
  return environment;
}

interface Session {
  readonly transport: PluggableTransport;
  readonly runtime: PtRuntime;
  readonly shutdown: Shutdown;
  readonly running: RunningMethod[];
}

function context(
  name: string,
  environment: PtEnvironment,
  stage: Stage,
  { transport, shutdown }: Session,
): TransportContext {
  return {
    transport: name,
    stateFolder: environment.stateFolder,
    log: (severity, message) =>
      stage.log(severity, transport.unsafeLogging ? message : scrubAddresses(message)),
    status: (values) => stage.status({ TRANSPORT: name, ...values }),
    draining: shutdown.draining,
  };
}

/** Starts each transport that is asked for and known, and reports those that fail. */
async function startEach<T>(
  names: readonly string[],
  known: Readonly<Record<string, T>>,
  methods: ClientMethods | ServerMethods,
  session: Session,
  start: (name: string, transport: T) => Promise<RunningMethod>,
): Promise<void> {
  for (const name of names) {
    if (!Object.hasOwn(known, name) || session.shutdown.draining.aborted) continue;
    try {
      session.running.push(await start(name, known[name]!));
    } catch (error) {
      methods.methodError(name, reasonOf(error));
    }
  }
  const { implementation } = session.transport;
  if (implementation !== undefined) {
    methods.versionStatus(implementation.name, implementation.version);
  }
  methods.done();
}

async function beginClient(
  opening: Opening,
  environment: ClientEnvironment,
  session: Session,
): Promise<boolean> {
  let proxy: Proxy | undefined;
  let methods: ClientMethods;
  if (environment.proxyUrl === undefined) {
    methods = opening.client();
  } else {
    const answer = opening.clientWithProxy();
    try {
      proxy = parseProxyUrl(environment.proxyUrl);
    } catch (error) {
      answer.log("error", `TOR_PT_PROXY: ${reasonOf(error)}`);
      answer.error(reasonOf(error));
      return false;
    }
    methods = answer.done();
  }
  const { bindV4, bindV6 } = environment;
  const { timers } = session.runtime;
  const options = {
    timers,
    ...(proxy === undefined ? {} : { proxy }),
    ...(bindV4 === undefined ? {} : { bindV4 }),
    ...(bindV6 === undefined ? {} : { bindV6 }),
  };
  const known = session.transport.client!;
  await startEach(environment.transports, known, methods, session, async (name, transport) => {
    const own = clientContext(context(name, environment, methods, session), options);
    const listener = await startClient(transport, own, timers);
    methods.method(name, formatTarget(listener.address));
    return listener;
  });
  return true;
}

async function beginServer(
  opening: Opening,
  environment: ServerEnvironment,
  session: Session,
): Promise<boolean> {
  const methods = opening.server();
  for (const warning of environment.warnings) methods.log("warning", warning);
  const known = session.transport.server!;
  await startEach(environment.transports, known, methods, session, async (name, transport) => {
    const own = context(name, environment, methods, session);
    const server = await startServer(
      transport,
      serverContext(own, environment, session.runtime.timers),
    );
    try {
      methods.method(name, formatTarget(server.address), server.args);
    } catch (error) {
      await server.destroy();
      throw error;
    }
    return server;
  });
  return true;
}

/** Ends every method, and gives its connections a moment to close. */
async function endAll(running: readonly RunningMethod[], runtime: PtRuntime): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const cancel = runtime.timers.after(GRACE, resolve);
  const ended = Promise.allSettled(running.map((method) => method.destroy()));
  await Promise.race([ended, promise]);
  cancel();
}
