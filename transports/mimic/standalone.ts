import { ListenError, UsageError, UserError, writeFileAtomically } from "../../base/mod.ts";
import { type CoverModel, type End, hidesNothing, type PlanSource } from "../../models/mod.ts";
import { protocolOf } from "../../protocols/mod.ts";
import { type EngineStats, type PlanForm, type Scheduling, warmUp } from "../../playback/mod.ts";
import {
  type Carrier,
  type CarrierClientOptions,
  carrierOf,
  type CarrierServer,
  nginxLocation,
  readFrontIdentity,
  readIdentity,
} from "../carriers/mod.ts";
import {
  type Address,
  type Door,
  formatAddress,
  type Forward,
  listenForward,
  listenHttp,
  listenSocks5,
  type OpenStream,
  TurnBudget,
} from "../doors/mod.ts";
import { type DecoyAddress, faultOfPlainDecoy, foreignDecoy, startBuiltInDecoy } from "./decoy.ts";
import { formatLine, parseLine, type ServerLine } from "./line.ts";
import { CertificateWatch } from "./renewal.ts";
import { exposedFiles, openServerState } from "./server_state.ts";
import { TmClient } from "./tm_client.ts";
import { TmServer, type TmServerOptions } from "./tm_server.ts";
import { UsersWatch } from "./users_watch.ts";
import { WireLogFile } from "./wire_log_file.ts";

/** A model learned for another carrier than the one in use. */
export class CarrierMismatch extends UserError {
  /** The model's name, the carrier it was learned for, and the one in use. */
  constructor(readonly model: string, readonly learnedFor: string, readonly used: string) {
    super(
      `the model ${model} was learned for the carrier ${learnedFor}, and ${used} looks like something ` +
        `else: choose another model, or insist with --carrier ${used}`,
    );
  }
}

/**
 * Refuses a model that was learned for a carrier that looks different from `used`, unless the user insists.
 *
 * @throws {CarrierMismatch} naming both.
 */
export function checkCarrier(
  { description }: CoverModel,
  used: string,
  insisted: boolean | undefined,
): void {
  const { carrier, name } = description;
  if (carrier !== used && insisted !== true) throw new CarrierMismatch(name, carrier, used);
}

/**
 * How plans reach the server of a line by themselves: derived where it has the model. What hides nothing has no plans
 * that could be sent; the server says so if it does not have it.
 */
export function formOf({ description }: CoverModel, { digest }: ServerLine): PlanForm {
  const same = digest !== undefined && description.digest.startsWith(digest);
  return same || hidesNothing(description) ? "derived" : "embedded";
}

/** Warns where a model is no cover. */
export function warnOfNoCover({ description }: CoverModel, warn: (text: string) => void): void {
  if (!hidesNothing(description)) return;
  warn(
    `the model ${description.name} hides nothing but the content: sizes, times and volume are the user's own`,
  );
}

/** What clients of a protocol offer inside TLS, as its registration says. */
export function alpnOf(protocol: string, fronted = false): string[] | undefined {
  const alpn = protocolOf(protocol)?.alpn;
  const names = fronted ? alpn?.fronted ?? alpn?.native : alpn?.native;
  return names === undefined ? undefined : [...names];
}

/** A server that stands alone. */
export interface StandaloneServerOptions {
  /** Where it listens; port 0 takes a free one. */
  readonly listen: Address;
  /** The address that clients are told, if it is another. */
  readonly advertise?: Address;
  /** The models held; the line names the first. */
  readonly models: readonly [CoverModel, ...CoverModel[]];
  /**
   * The carrier, which all models may then be played in; the one that the first model was learned for, and
   * needed by all of them, if absent.
   */
  readonly carrier?: string;
  /** The state folder. */
  readonly state: string;
  /** The operator's own certificate and key files, PEM. */
  readonly certificate?: { readonly cert: string; readonly key: string };
  /** The name in a self-made certificate, and in the line (SNI). */
  readonly name?: string;
  /** What the line says of how clients are to play; `master: "client"` also refuses to lead. */
  readonly play?: Pick<ServerLine, "master" | "schedule" | "sessions">;
  /** What the cover is drawn from where the server is master; random for each tunnel if absent. */
  readonly leadSeed?: Uint8Array;
  /** Connects streams in place of our own way to destinations. */
  readonly connect?: TmServerOptions["connect"];
  /**
   * How to choose where to listen and what to advertise, in messages; the options of `deno task server` if
   * absent. Without the latter nobody is told that the line has no address to connect to.
   */
  readonly ways?: { readonly listen: string; readonly advertise?: string };
  /** Application protocols; none are negotiated if absent. */
  readonly alpn?: readonly string[];
  /** The operator's decoy; the built-in one if absent. */
  readonly decoy?: DecoyAddress;
  /**
   * Certificate file (PEM) of the genuine nginx that stands in front and hands on the secret path that the
   * state folder keeps. It takes the place of {@linkcode StandaloneServerOptions.certificate}.
   */
  readonly front?: string;
  /** Whether destinations may be private addresses. */
  readonly allowPrivate?: boolean;
  /** File for the wire log. */
  readonly wireLog?: string;
  /** Told in words of what goes wrong. */
  readonly onNote?: (text: string) => void;
  /** Told in words of what the operator has to know: a certificate that ends, a key that has changed. */
  readonly onWarning?: (text: string) => void;
  /** Told of the first user's line when users have changed. */
  readonly onFirstUser?: (line: ServerLine) => Promise<void>;
  /** Whether notes may name clients and destinations. */
  readonly unsafeNotes?: boolean;
}

/** A server that is running. */
export interface StandaloneServer {
  /** What a client needs, for the first user; also in the file `line` of the state folder. */
  readonly line: string;
  /** The same in its parts. */
  readonly parts: ServerLine;
  /** Where it listens. */
  readonly address: Address;
  /** The server itself. */
  readonly server: TmServer;
  /** What looks after its certificate. */
  readonly watch: CertificateWatch;
  /** What looks after its users. */
  readonly users: UsersWatch;
  /**
   * Stops to listen at once; resolves when the last connection that was open then has come to its own end. It is
   * still to be closed.
   */
  drain(): Promise<void>;
  /** Ends it. */
  close(): Promise<void>;
}

/**
 * The application protocols for a carrier: none where they mean nothing to it.
 *
 * @throws {UsageError} if somebody asks for some there.
 */
function alpnFor(
  { alpn: use, name }: Carrier,
  { alpn, front, models: [{ description }] }: StandaloneServerOptions,
): readonly string[] | undefined {
  if (use !== false || alpn === undefined) return alpn;
  // The model's own, which was learned for another carrier, is nobody's wish.
  if (alpn.join() === alpnOf(description.protocol, front !== undefined)?.join()) return undefined;
  throw new UsageError(
    `application protocols (--alpn, in a torrc alpn=) mean nothing to the carrier ${name}: leave them out`,
  );
}

/**
 * Starts a server with its state, its decoy and its carrier.
 *
 * @throws {UserError} with one line that says what is wrong: the port, the state, the certificate.
 */
export async function startServer(options: StandaloneServerOptions): Promise<StandaloneServer> {
  const { certificate, decoy: foreign, front, models, name, onNote } = options;
  const ways: StandaloneServerOptions["ways"] & object = options.ways ??
    { listen: "--listen", advertise: "--advertise" };
  const carrierKind = carrierOf(options.carrier ?? models[0].description.carrier);
  const { name: carrierName, listen } = carrierKind;
  for (const model of models) checkCarrier(model, carrierName, options.carrier !== undefined);
  if (front !== undefined && carrierName !== "tls") {
    throw new UsageError(`an nginx in front is for the carrier tls, and this is ${carrierName}`);
  }
  const alpn = alpnFor(carrierKind, options);
  const state = await openServerState(options.state, {
    ...(front !== undefined
      ? { identity: await readFrontIdentity(front), front: true }
      : certificate === undefined
      ? {}
      : { identity: await readIdentity(certificate.cert, certificate.key) }),
    ...(name === undefined ? {} : { name }),
  });
  const { path } = state;
  const log = options.wireLog === undefined ? undefined : new WireLogFile(options.wireLog);
  const decoy = foreign === undefined ? startBuiltInDecoy(state.pages) : foreignDecoy(foreign);
  const server = new TmServer({
    secrets: state.secrets,
    models,
    decoy,
    lead: options.play?.master !== "client",
    ...(options.leadSeed === undefined ? {} : { leadSeed: options.leadSeed }),
    destinations: { allowPrivate: options.allowPrivate ?? false },
    ...(options.connect === undefined ? {} : { connect: options.connect }),
    ...(log === undefined ? {} : { onWire: log.add }),
    ...(onNote === undefined ? {} : { onNote }),
    unsafeNotes: options.unsafeNotes ?? false,
  });
  let carrier: CarrierServer;
  try {
    carrier = await listen({
      hostname: options.listen.host,
      port: options.listen.port,
      identity: state.identity,
      secrets: state.secrets,
      state: options.state,
      ...(alpn === undefined ? {} : { alpn }),
      ...(name === undefined ? {} : { name }),
      ...(foreign === undefined || foreign.plain ? {} : { genuine: foreign }),
      ...(path === undefined ? {} : { path }),
      ...(onNote === undefined ? {} : { onNote }),
      ...(options.onWarning === undefined ? {} : { onWarning: options.onWarning }),
    }, server.accept);
  } catch (error) {
    log?.close();
    await decoy.close();
    if (error instanceof ListenError) {
      throw new ListenError(formatAddress(options.listen), ways.listen, error.cause);
    }
    throw error;
  }
  warmUp(models[0]);
  const address = { host: carrier.hostname, port: carrier.port };
  const line: ServerLine = {
    address: options.advertise ?? address,
    cert: carrier.pin,
    secret: state.secrets[0]!,
    model: models[0].description.name,
    digest: models[0].description.digest,
    carrier: carrierName,
    ...(alpn === undefined ? {} : { alpn }),
    ...(name === undefined ? {} : { sni: name }),
    ...(carrier.login === undefined ? {} : { login: carrier.login }),
    ...(path === undefined ? {} : { path }),
    ...options.play,
  };
  const text = formatLine(line);
  const onWarning = options.onWarning ?? (() => {});
  if (foreign?.plain) {
    const fault = await faultOfPlainDecoy(foreign);
    if (fault !== undefined) {
      onWarning(`the decoy at http://${formatAddress(foreign)} ${fault}, which strangers notice`);
    }
  }
  for (const model of models) warnOfNoCover(model, onWarning);
  for (const file of await exposedFiles(options.state)) {
    onWarning(`${file} can be read by others of this machine, and holds a secret: chmod 600 it`);
  }
  const before = await lineBefore(options.state);
  if (before !== undefined && before.cert !== line.cert) {
    onWarning("the key is another than at the last start: users need their new line");
  }
  const anywhere = ["0.0.0.0", "::"].includes(address.host);
  if (options.advertise === undefined && ways.advertise !== undefined && anywhere) {
    onWarning(
      `the line says ${address.host}, which is no address to connect to: give yours with ${ways.advertise}`,
    );
  }
  const watch = new CertificateWatch({
    cert: front ?? certificate?.cert ?? `${options.state}/cert.pem`,
    ...(front === undefined ? { key: certificate?.key ?? `${options.state}/key.pem` } : {}),
    identity: state.identity,
    onRenewed: (identity) => {
      carrier.renew(identity);
      server.renewed(identity.digest);
    },
    onWarning,
  });
  watch.start();
  if (path !== undefined) {
    await writeFileAtomically(`${options.state}/nginx.conf`, nginxLocation(path, address), {
      mode: 0o600,
    });
  }
  const keepLine = (kept: string) =>
    writeFileAtomically(`${options.state}/line`, `${kept}\n`, { mode: 0o600 });
  const users = new UsersWatch({
    file: `${options.state}/secrets`,
    secrets: state.secrets,
    onChanged: async (secrets) => {
      server.renewUsers(secrets);
      carrier.renewUsers?.(secrets);
      const first = { ...line, secret: secrets[0]! };
      await keepLine(formatLine(first));
      await options.onFirstUser?.(first);
      onNote?.(`users were read anew: ${secrets.length}`);
    },
    onWarning,
  });
  users.start();
  await keepLine(text);
  return {
    line: text,
    parts: line,
    address,
    server,
    watch,
    users,
    drain: async () => {
      await carrier.close();
      await server.idle();
    },
    close: async () => {
      watch[Symbol.dispose]();
      users[Symbol.dispose]();
      await carrier.close();
      server.stop();
      await settle();
      log?.close();
      await Promise.race([decoy.close(), settle()]);
    },
  };
}

/** The line that the last start left in the state folder, if there is one. */
async function lineBefore(folder: string): Promise<ServerLine | undefined> {
  try {
    return parseLine(await Deno.readTextFile(`${folder}/line`));
  } catch (error) {
    if (error instanceof UserError || error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** A moment in which the operating system takes the last alerts and ends. */
function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 100));
}

/** What a carrier's client needs, by the server's line; `address` is where to connect. */
export function carrierOptionsOf(line: ServerLine, address: Address): CarrierClientOptions {
  return {
    hostname: address.host,
    port: address.port,
    pin: line.cert,
    secret: line.secret,
    ...(line.sni === undefined ? {} : { serverName: line.sni }),
    ...(line.login === undefined ? {} : { login: line.login }),
    ...(line.alpn === undefined ? {} : { alpn: line.alpn }),
    ...(line.path === undefined ? {} : { path: line.path }),
  };
}

/** A client that stands alone. */
export interface StandaloneClientOptions {
  /** What the server printed. */
  readonly line: ServerLine;
  /** Where to connect instead of the line's address. */
  readonly connect?: Address;
  /** What is played. */
  readonly model: CoverModel;
  /** Draws its plans from a key, perhaps in a worker. */
  readonly plans?: (key: Uint8Array) => PlanSource & Disposable;
  /** Whether a model learned for another carrier is allowed. */
  readonly insistOnCarrier?: boolean;
  /** 32 bytes that all cover is drawn from. */
  readonly seed: Uint8Array;
  /** Where the SOCKS door listens, if there is one. */
  readonly socks?: Address;
  /** Where the HTTP proxy door listens, if there is one. */
  readonly http?: Address;
  /** Forwarding doors. */
  readonly forwards?: readonly Forward[];
  /** Which end is master of the cover; as the line says, or the client, if absent. */
  readonly master?: End;
  /** Who decides when episodes start and of what kind; as the line says, or the model alone, if absent. */
  readonly schedule?: Scheduling;
  /** Model sessions at once, 1 to 16; as the line says, or one, if absent. */
  readonly sessions?: number;
  /** How plans reach the end that is not master; embedded where the line names another model. */
  readonly form?: PlanForm;
  /** Failed attempts at the start before giving up. */
  readonly attempts?: number;
  /** Resolves when somebody wants it to end, perhaps before it is ready: it then leaves nothing behind. */
  readonly asked?: Promise<void>;
  /** File for the wire log. */
  readonly wireLog?: string;
  /** Told in words of what goes wrong. */
  readonly onNote?: (text: string) => void;
  /** Whether notes may name destinations. */
  readonly unsafeNotes?: boolean;
}

/** A client that is running. */
export interface StandaloneClient {
  /** The doors: SOCKS, HTTP, then the forwarding ones. */
  readonly doors: readonly Door[];
  /** Rejects with what ends it; resolves when it is closed. */
  readonly done: Promise<void>;
  /** What the engine has counted. */
  readonly stats: EngineStats;
  /** Ends it. */
  close(): Promise<void>;
}

/**
 * Starts a client with its doors. Resolves once the server has proved itself and follows.
 *
 * @throws {UserError} with one line: a port in use, the server unreachable, the wrong key or secret.
 */
export async function startClient(options: StandaloneClientOptions): Promise<StandaloneClient> {
  const { attempts, line, model, onNote, plans, seed } = options;
  const master = options.master ?? line.master;
  const schedule = options.schedule ?? line.schedule;
  const sessions = options.sessions ?? line.sessions;
  checkCarrier(model, line.carrier, options.insistOnCarrier);
  warnOfNoCover(model, onNote ?? (() => {}));
  const look = carrierOf(line.carrier).clientNote?.();
  if (look !== undefined) onNote?.(look);
  const address = options.connect ?? line.address;
  const log = options.wireLog === undefined ? undefined : new WireLogFile(options.wireLog);
  const carrier = await carrierOf(line.carrier).client(carrierOptionsOf(line, address));
  const client = new TmClient({
    server: formatAddress(address),
    secret: line.secret,
    connect: carrier.connect,
    model,
    seed,
    ...(sessions === undefined ? {} : { sessions }),
    form: options.form ?? formOf(model, line),
    ...(plans === undefined ? {} : { plans }),
    ...(master === undefined ? {} : { master }),
    ...(schedule === undefined ? {} : { schedule }),
    ...(attempts === undefined ? {} : { attempts }),
    ...(log === undefined ? {} : { onWire: log.add }),
    ...(onNote === undefined ? {} : { onNote }),
  });
  const open: OpenStream = (destination) => {
    const stream = client.open(destination);
    stream.opened.catch((error: Error) => {
      if (!options.unsafeNotes) return;
      onNote?.(`${formatAddress(destination)} was not reached: ${error.message}`);
    });
    return stream;
  };
  const doors: Door[] = [];
  const close = async () => {
    const closing = doors.map((door) => door.close());
    await client.stop();
    await Promise.all(closing);
    await settle();
    await carrier.close();
    log?.close();
  };
  try {
    const budget = new TurnBudget();
    if (options.socks !== undefined) {
      doors.push(await listenSocks5(options.socks, open, budget));
    }
    if (options.http !== undefined) {
      doors.push(await listenHttp(options.http, open, budget));
    }
    for (const forward of options.forwards ?? []) {
      doors.push(await listenForward(forward, open, budget));
    }
    warmUp(model);
    client.start();
    const given = options.asked?.then(() => {
      throw new UserError("asked to end before the server had proved itself");
    });
    await Promise.race([client.ready, ...(given === undefined ? [] : [given])]);
    given?.catch(() => {});
  } catch (error) {
    await close();
    throw error;
  }
  return {
    doors,
    done: client.done,
    get stats() {
      return client.stats;
    },
    close,
  };
}
