import { join } from "node:path";
import type { Socket } from "node:net";
import { writeFileAtomically } from "../../base/mod.ts";
import { type CoverModel, loadModel } from "../../models/mod.ts";
import { STREAM_CODES } from "../../playback/mod.ts";
import { CARRIERS } from "../carriers/mod.ts";
import { type Address, AddressError, formatAddress, parseAddress } from "../doors/mod.ts";
import {
  ArgumentError,
  encodeClientArgs,
  MAX_ARGS_BYTES,
  oneArg,
  plainAddress,
  reasonOf,
  type ServerContext,
  type ServerHandler,
  type ServerTransport,
  socksReplyOf,
  type TransportArgs,
} from "../pt/mod.ts";
import { type DecoyAddress, parseDecoy } from "./decoy.ts";
import { DestinationError } from "./destinations.ts";
import { lineArgs, type ServerLine, sessionsOf } from "./line.ts";
import { isOrPort } from "./pt_orport.ts";
import { alpnOf, startServer } from "./standalone.ts";

/** What `ServerTransportOptions mimic` may name. */
const OPTIONS = [
  "model",
  "carrier",
  "cert",
  "key",
  "name",
  "alpn",
  "decoy",
  "front",
  "advertise",
  "master",
  "schedule",
  "sessions",
];

/** Where it listens if neither tor nor its operator chooses. */
const ANYWHERE: Address = { host: "0.0.0.0", port: 0 };

interface Settings {
  readonly models: [CoverModel, ...CoverModel[]];
  readonly carrier?: string;
  readonly certificate?: { readonly cert: string; readonly key: string };
  readonly name?: string;
  readonly alpn?: readonly string[];
  readonly decoy?: DecoyAddress;
  readonly front?: string;
  readonly advertise?: Address;
  readonly play: Pick<ServerLine, "master" | "schedule" | "sessions">;
}

/** Reads the options of the torrc. Values of `model` are separated by commas or repeated. */
async function settingsIn(options: TransportArgs): Promise<Settings> {
  for (const key of options.keys()) {
    if (!OPTIONS.includes(key)) {
      throw new ArgumentError(
        `ServerTransportOptions: ${JSON.stringify(key)} is unknown: use ${OPTIONS.join(", ")}`,
      );
    }
  }
  const one = (key: string) => oneArg(options, key);
  const address = (key: string, parse: (text: string, option: string) => Address) => {
    const text = one(key);
    try {
      return text === undefined ? {} : { [key]: parse(text, `${key}=`) };
    } catch (error) {
      if (error instanceof AddressError) throw new ArgumentError(error.message, { cause: error });
      throw error;
    }
  };
  const [cert, key, name, sessions] = ["cert", "key", "name", "sessions"].map(one);
  const choice = <Value extends string>(key: string, values: readonly Value[]) => {
    const found = one(key);
    const value = values.find((value) => value === found);
    if (found !== undefined && value === undefined) {
      throw new ArgumentError(`ServerTransportOptions: ${key}= is one of ${values.join(", ")}`);
    }
    return value;
  };
  const master = choice("master", ["client", "server"]);
  const schedule = choice("schedule", ["strict", "demand", "adaptive"]);
  const front = one("front");
  if (front !== undefined && (cert !== undefined || key !== undefined)) {
    throw new ArgumentError(
      "ServerTransportOptions: front= names the certificate of the nginx in front, and goes without cert= and key=",
    );
  }
  if ((cert === undefined) !== (key === undefined)) {
    throw new ArgumentError("ServerTransportOptions: cert= and key= go together");
  }
  const carrier = one("carrier");
  if (carrier !== undefined && !CARRIERS.has(carrier)) {
    throw new ArgumentError(
      `ServerTransportOptions: carrier= is one of ${[...CARRIERS.keys()].join(", ")}`,
    );
  }
  const names = (options.get("model") ?? ["https"]).flatMap((value) => value.split(","));
  const [first, ...others] = await Promise.all(names.map(loadModel));
  const alpn = one("alpn")?.split(",").filter((item) => item !== "") ??
    alpnOf(first!.description.protocol, front !== undefined);
  return {
    models: [first!, ...others],
    ...(carrier === undefined ? {} : { carrier }),
    ...(cert === undefined || key === undefined ? {} : { certificate: { cert, key } }),
    ...(front === undefined ? {} : { front }),
    ...(name === undefined ? {} : { name }),
    ...(alpn === undefined || alpn.length === 0 ? {} : { alpn }),
    ...address("decoy", parseDecoy),
    ...address("advertise", parseAddress),
    play: {
      ...(master === undefined ? {} : { master }),
      ...(schedule === undefined ? {} : { schedule }),
      ...(sessions === undefined ? {} : { sessions: sessionsOf(sessions) }),
    },
  };
}

/**
 * Writes the bridge line of a torrc into the state folder, as complete as it is known here: tor's fingerprint
 * is beside the folder where tor keeps our state, if we may read it.
 */
async function writeBridgeLine(file: string, stateFolder: string, line: ServerLine): Promise<void> {
  const { host, port } = line.address;
  const known = host !== "0.0.0.0" && host !== "::";
  const address = known ? formatAddress(line.address) : `ADDRESS:${port}`;
  const fingerprint = await torFingerprint(stateFolder) ?? "FINGERPRINT";
  const args = Object.entries(lineArgs(line)).map(([key, value]) => `${key}=${value}`).join(" ");
  const missing = [
    ...(known ? [] : ["# Replace ADDRESS by the address that clients reach this machine at.\n"]),
    ...(fingerprint === "FINGERPRINT"
      ? ["# Replace FINGERPRINT by the one in the file fingerprint of tor's DataDirectory.\n"]
      : []),
  ].join("");
  const text = `${missing}Bridge mimic ${address} ${fingerprint} ${args}\n`;
  await writeFileAtomically(file, text, { mode: 0o600 });
}

/** The fingerprint of the tor that runs us: state folders are `DataDirectory/pt_state/`. */
async function torFingerprint(stateFolder: string): Promise<string | undefined> {
  try {
    const text = await Deno.readTextFile(join(stateFolder, "..", "fingerprint"));
    return /\b[0-9A-F]{40}\b/.exec(text)?.[0];
  } catch {
    // Not there, or not for us to read: the operator fills it in.
    return undefined;
  }
}

/** A server transport that is started. */
type StartedServer = Exclude<ServerTransport, ServerHandler>;

/** What the server transport may be told. */
export interface MimicServerOptions {
  /** Whether the log may name clients. */
  readonly unsafeLogging?: boolean;
}

/**
 * The server side of the transport `mimic`: keeps its keys in the folder `mimic` of tor's state folder
 * (mode 0700), writes the bridge line there (`bridge_line`), and leads every stream to tor and to nothing
 * else. Tor is told the address of the cover connection that began the stream's tunnel.
 */
export function mimicServer(options: MimicServerOptions = {}): StartedServer {
  return { start: (context) => start(context, options.unsafeLogging ?? false) };
}

async function start(context: ServerContext, unsafeNotes: boolean) {
  const settings = await settingsIn(context.options);
  const folder = join(context.stateFolder, "mimic");
  const file = join(folder, "bridge_line");
  const running = await startServer({
    ...settings,
    listen: context.bindAddress ?? ANYWHERE,
    state: folder,
    connect: (destination, client) => connectTor(context, destination, client),
    // Tor knows this machine's address, and puts it into the line where ours has none.
    ways: { listen: "ServerTransportListenAddr" },
    onNote: (text) => context.log("info", text),
    onWarning: (text) => context.log("warning", text),
    onFirstUser: (line) => writeBridgeLine(file, context.stateFolder, line),
    unsafeNotes,
  });
  const destroy = () => running.close();
  try {
    const args = lineArgs(running.parts);
    const { length } = encodeClientArgs(args);
    if (length > MAX_ARGS_BYTES) {
      throw new ArgumentError(
        `the bridge line's arguments have ${length} bytes and tor takes ${MAX_ARGS_BYTES}: choose a shorter name=`,
      );
    }
    await writeBridgeLine(file, context.stateFolder, running.parts);
    context.log("notice", `the bridge line is in ${file}`);
    // As a web server ends that is told to: what is open comes to the end that its plan has, nothing more comes in.
    const stop = async () => {
      await running.drain();
      await destroy();
    };
    return { address: running.address, args, stop, destroy };
  } catch (error) {
    await destroy();
    throw error;
  }
}

/** Connects a stream to the bridge's tor, and to nothing else. */
async function connectTor(
  context: ServerContext,
  destination: Address,
  client: Address,
): Promise<Socket> {
  if (!isOrPort(destination)) {
    throw new DestinationError(STREAM_CODES.forbidden, "only tor is served here");
  }
  if (context.draining.aborted) {
    throw new DestinationError(STREAM_CODES.forbidden, "the bridge ends");
  }
  try {
    // A carrier whose program holds the TCP connection does not tell us where it comes from.
    const known = client.host === ""
      ? undefined
      : { host: plainAddress(client.host), port: client.port };
    return await context.dialOrPort(known);
  } catch (error) {
    context.log("warning", `tor does not take a connection: ${reasonOf(error)}`);
    throw new DestinationError(socksReplyOf(error), reasonOf(error));
  }
}
