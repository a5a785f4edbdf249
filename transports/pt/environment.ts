import { isAbsolute } from "node:path";
import { isIPv4, isIPv6 } from "node:net";
import { isLoopback, parseIpPort, type Target } from "./address.ts";
import { parseServerOptions, type TransportArgs } from "./args.ts";
import { ArgumentError, EnvironmentError, VersionError } from "./errors.ts";

/** Every variable that {@linkcode parseEnvironment} reads: for `--allow-env`. */
export const PT_VARIABLES = [
  "TOR_PT_MANAGED_TRANSPORT_VER",
  "TOR_PT_STATE_LOCATION",
  "TOR_PT_EXIT_ON_STDIN_CLOSE",
  "TOR_PT_OUTBOUND_BIND_ADDRESS_V4",
  "TOR_PT_OUTBOUND_BIND_ADDRESS_V6",
  "TOR_PT_CLIENT_TRANSPORTS",
  "TOR_PT_PROXY",
  "TOR_PT_SERVER_TRANSPORTS",
  "TOR_PT_SERVER_TRANSPORT_OPTIONS",
  "TOR_PT_SERVER_BINDADDR",
  "TOR_PT_ORPORT",
  "TOR_PT_EXTENDED_SERVER_PORT",
  "TOR_PT_AUTH_COOKIE_FILE",
] as const;

/** The name of one of the variables. */
export type PtVariable = typeof PT_VARIABLES[number];

/** The version of the specification that this library speaks. */
export const PT_VERSION = "1";

/** What the environment tells clients and servers alike. */
export interface CommonEnvironment {
  /** Absolute path of the folder for the transport's state; it may not exist yet. */
  readonly stateFolder: string;
  /** The transports asked for, each once. Those that are unknown are to be ignored. */
  readonly transports: readonly string[];
  /** Whether the end of standard input means that the transport shall exit. */
  readonly exitOnStdinClose: boolean;
  /** Source address for connections to IPv4 addresses that are not loopback. */
  readonly bindV4?: string;
  /** Source address for connections to IPv6 addresses that are not loopback. */
  readonly bindV6?: string;
}

/** The environment of a client. */
export interface ClientEnvironment extends CommonEnvironment {
  /** It is a client. */
  readonly role: "client";
  /** `TOR_PT_PROXY` as it stands: {@linkcode parseProxyUrl} reads it, after `VERSION` was told. */
  readonly proxyUrl?: string;
}

/** The environment of a server. */
export interface ServerEnvironment extends CommonEnvironment {
  /** It is a server. */
  readonly role: "server";
  /** Where each transport shall listen; a transport without an entry chooses. Port 0 is any port. */
  readonly bindAddresses: ReadonlyMap<string, Target>;
  /** The options of each transport that has some. */
  readonly options: ReadonlyMap<string, TransportArgs>;
  /** Tor's plain ORPort. */
  readonly orPort?: Target;
  /** Tor's Extended ORPort, and the file that proves to it that we may use it. */
  readonly extendedOrPort?: { readonly address: Target; readonly cookieFile: string };
  /** What the log should warn of. */
  readonly warnings: readonly string[];
}

/** The environment, checked. */
export type PtEnvironment = ClientEnvironment | ServerEnvironment;

/** Whether `name` may name a transport: `[a-zA-Z_][a-zA-Z0-9_]*`. */
export function isTransportName(name: string): boolean {
  return /^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name);
}

/**
 * Reads and checks everything that the parent passes in the environment (pt-spec, "Environment variables").
 * A variable that is empty counts as absent. Nothing is printed and no file is touched, so that whoever calls
 * can still tell the parent of every error before `VERSION`: tor does not read it afterwards.
 *
 * @throws {VersionError} if the parent speaks other versions.
 * @throws {EnvironmentError} on whatever else is missing or wrong, naming the variable.
 * @example
 * ```ts
 * import { parseEnvironment } from "./environment.ts";
 * const variables: Record<string, string> = {
 *   TOR_PT_MANAGED_TRANSPORT_VER: "1",
 *   TOR_PT_STATE_LOCATION: "/var/lib/tor/pt_state/",
 *   TOR_PT_CLIENT_TRANSPORTS: "rot13",
 * };
 * const environment = parseEnvironment((name) => variables[name]);
 * if (environment.role !== "client") throw new Error();
 * ```
 */
export function parseEnvironment(
  variable: (name: PtVariable) => string | undefined,
): PtEnvironment {
  const get = (name: PtVariable) => variable(name) || undefined;
  const need = (name: PtVariable) => {
    const value = get(name);
    if (value === undefined) throw new EnvironmentError(`no ${name} environment variable`);
    return value;
  };
  const versions = need("TOR_PT_MANAGED_TRANSPORT_VER");
  if (!versions.split(",").includes(PT_VERSION)) throw new VersionError("no-version");
  const clients = get("TOR_PT_CLIENT_TRANSPORTS");
  const servers = get("TOR_PT_SERVER_TRANSPORTS");
  if (clients !== undefined && servers !== undefined) {
    throw new EnvironmentError(
      "TOR_PT_CLIENT_TRANSPORTS and TOR_PT_SERVER_TRANSPORTS are both set: only one may be",
    );
  }
  if (clients === undefined && servers === undefined) {
    throw new EnvironmentError(
      "neither TOR_PT_CLIENT_TRANSPORTS nor TOR_PT_SERVER_TRANSPORTS is set: start this from torrc",
    );
  }
  const stateFolder = need("TOR_PT_STATE_LOCATION");
  if (!isAbsolute(stateFolder) || stateFolder.includes("\0")) {
    throw new EnvironmentError("TOR_PT_STATE_LOCATION is not an absolute path");
  }
  const bindV4 = outbound("TOR_PT_OUTBOUND_BIND_ADDRESS_V4", get);
  const bindV6 = outbound("TOR_PT_OUTBOUND_BIND_ADDRESS_V6", get);
  const common: CommonEnvironment = {
    stateFolder,
    transports: [...new Set((clients ?? servers)!.split(","))].filter((name) => name !== ""),
    exitOnStdinClose: get("TOR_PT_EXIT_ON_STDIN_CLOSE") === "1",
    ...(bindV4 === undefined ? {} : { bindV4 }),
    ...(bindV6 === undefined ? {} : { bindV6 }),
  };
  if (clients !== undefined) {
    const proxyUrl = get("TOR_PT_PROXY");
    return { role: "client", ...common, ...(proxyUrl === undefined ? {} : { proxyUrl }) };
  }
  return { role: "server", ...common, ...server(get) };
}

type Get = (name: PtVariable) => string | undefined;

/** Runs `parse` on a variable, and names the variable in whatever it throws. */
function parsed<T>(name: PtVariable, get: Get, parse: (text: string) => T): T | undefined {
  const text = get(name);
  if (text === undefined) return undefined;
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof ArgumentError)) throw error;
    throw new EnvironmentError(`${name}: ${error.message}`, { cause: error });
  }
}

function outbound(
  name: "TOR_PT_OUTBOUND_BIND_ADDRESS_V4" | "TOR_PT_OUTBOUND_BIND_ADDRESS_V6",
  get: Get,
): string | undefined {
  return parsed(name, get, (text) => {
    const v6 = name.endsWith("V6");
    const address = v6 ? /^\[(.*)\]$/.exec(text)?.[1] ?? text : text;
    if (!(v6 ? isIPv6(address) : isIPv4(address))) {
      throw new ArgumentError(`"${text}" is not an IPv${v6 ? 6 : 4} address`);
    }
    return address;
  });
}

function server(
  get: Get,
): Omit<ServerEnvironment, keyof CommonEnvironment | "role"> {
  const bindAddresses = parsed("TOR_PT_SERVER_BINDADDR", get, parseBindAddresses) ??
    new Map<string, Target>();
  const options = parsed("TOR_PT_SERVER_TRANSPORT_OPTIONS", get, parseServerOptions) ??
    new Map<string, TransportArgs>();
  const orPort = parsed("TOR_PT_ORPORT", get, (text) => parseIpPort(text));
  const extended = parsed("TOR_PT_EXTENDED_SERVER_PORT", get, (text) => parseIpPort(text));
  if (orPort === undefined && extended === undefined) {
    throw new EnvironmentError("no TOR_PT_ORPORT or TOR_PT_EXTENDED_SERVER_PORT is set");
  }
  const cookieFile = get("TOR_PT_AUTH_COOKIE_FILE");
  if (extended !== undefined && cookieFile === undefined) {
    throw new EnvironmentError(
      "TOR_PT_EXTENDED_SERVER_PORT is set without TOR_PT_AUTH_COOKIE_FILE",
    );
  }
  const far = (name: string, address: Target | undefined) =>
    address === undefined || isLoopback(address.host)
      ? []
      : [`${name} is not a loopback address: what goes there can be read on its way`];
  return {
    bindAddresses,
    options,
    ...(orPort === undefined ? {} : { orPort }),
    ...(extended === undefined
      ? {}
      : { extendedOrPort: { address: extended, cookieFile: cookieFile! } }),
    warnings: [
      ...far("TOR_PT_ORPORT", orPort),
      ...far("TOR_PT_EXTENDED_SERVER_PORT", extended),
    ],
  };
}

/**
 * Reads `TOR_PT_SERVER_BINDADDR`: `name-ip:port,name-ip:port`. Port 0 is legal.
 *
 * @throws {ArgumentError} on a host name, a name twice, or what is not of this form.
 */
export function parseBindAddresses(text: string): ReadonlyMap<string, Target> {
  const addresses = new Map<string, Target>();
  for (const entry of text.split(",")) {
    const dash = entry.indexOf("-");
    if (dash <= 0) throw new ArgumentError(`"${entry}" is not of the form name-address:port`);
    const name = entry.slice(0, dash);
    if (addresses.has(name)) throw new ArgumentError(`transport "${name}" is there twice`);
    addresses.set(name, parseIpPort(entry.slice(dash + 1), { zero: true }));
  }
  return addresses;
}
