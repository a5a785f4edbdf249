import { Buffer } from "node:buffer";
import net, { type Socket } from "node:net";
import { formatAddress, socketReason, UserError } from "../../base/mod.ts";
import type { CarrierClient, CarrierClientOptions, CarrierConnection, Command } from "./carrier.ts";
import { ConnectError, WrongCertificate } from "./errors.ts";
import { SFTP_ANSWER, SFTP_HELLO, SSH_GRID, SshConnection } from "./ssh_connection.ts";
import { type SshKey, userKeyOf } from "./ssh_keys.ts";
import { TAKEN } from "./ssh_launcher.ts";
import { checkAllowed, killProgram, launchSsh, readLines } from "./ssh_program.ts";
import { SecretRefused, SshStateError } from "./ssh_errors.ts";
import { PipeChannel } from "./ssh_pipes.ts";
import { LOGIN } from "./ssh_rendezvous.ts";

/** Milliseconds until an attempt is given up. */
const TIMEOUT = 30_000;
/** Connections at once at most: each is a process of about 9 MB. */
const MAX_CONNECTIONS = 64;
/** What the server is called among known hosts, however it is reached. */
const ALIAS = "server";
/**
 * Files of a client's folder, in which `ssh` is started: the folder's own name may hold what a shell or `ssh` would
 * read otherwise.
 */
const KEY = "key";
const KNOWN = "known";

/** What `ssh -vv` says when the server runs the command. */
const STARTED = /^debug2: exec request accepted on channel \d+/;

/** What `ssh -v` says also when all is well. */
const CHATTER = /^(?:debug[12]: |Transferred: |Bytes per second: )/;

/**
 * A client's end: each connection is a process of the system's `ssh`, which logs in with the key drawn from the
 * secret and begins a session as `sftp` and `scp` do.
 *
 * @throws {SshStateError} if a folder for its files cannot be made.
 * @throws {ProgramError} if programs may not be started.
 */
export async function sshClient(options: CarrierClientOptions): Promise<CarrierClient> {
  checkAllowed("ssh");
  const user = userKeyOf(options.secret);
  const folder = await keyFolder(options.folder, user);
  const open = new Set<() => void>();
  let serial = 0;
  return {
    connect: (command) => {
      if (open.size >= MAX_CONNECTIONS) {
        return Promise.reject(new ConnectError(addressOf(options), "too many connections at once"));
      }
      return new Dial(options, user, folder, serial++, open, command).connection;
    },
    close: async () => {
      for (const end of [...open]) end();
      await Deno.remove(folder, { recursive: true }).catch(() => {});
    },
  };
}

/** A new folder that holds the user's key, for us alone. */
async function keyFolder(parent: string | undefined, user: SshKey): Promise<string> {
  try {
    if (parent !== undefined) await Deno.mkdir(parent, { recursive: true, mode: 0o700 });
    const folder = await Deno.makeTempDir({
      prefix: "tm-ssh-",
      ...(parent === undefined ? {} : { dir: parent }),
    });
    await Deno.writeTextFile(`${folder}/${KEY}`, user.privateKey, { mode: 0o600 });
    return folder;
  } catch (error) {
    throw new SshStateError(parent ?? "the folder for temporary files", error);
  }
}

function addressOf({ hostname, port }: CarrierClientOptions): string {
  return formatAddress({ host: hostname, port });
}

/** One attempt: resolves with a connection that outlives it. */
class Dial {
  readonly connection: Promise<CarrierConnection>;
  readonly #settled = Promise.withResolvers<CarrierConnection>();
  readonly #options: CarrierClientOptions;
  readonly #address: string;
  readonly #id: string;
  readonly #open: Set<() => void>;
  readonly #deadline: ReturnType<typeof setTimeout>;
  readonly #end = () => this.#hangUp();
  #child: Deno.ChildProcess | undefined;
  #relay: net.Server | undefined;
  #failure: Error | undefined;
  #lastLine = "";
  #over = false;

  constructor(
    options: CarrierClientOptions,
    user: SshKey,
    folder: string,
    serial: number,
    open: Set<() => void>,
    command: Command | undefined,
  ) {
    this.#options = options;
    this.#address = addressOf(options);
    this.#id = `ssh-${serial}`;
    this.#open = open;
    this.connection = this.#settled.promise;
    this.#deadline = setTimeout(() => this.#fail("no answer in time"), TIMEOUT);
    open.add(this.#end);
    this.#start(user, folder, command).catch((error) => this.#fail(socketReason(error), error));
  }

  async #start(user: SshKey, folder: string, command: Command | undefined): Promise<void> {
    const { direct, hostname, open, pin, port } = this.#options;
    // A connection of its own has the marks of ssh's own: type of service, segments.
    const target = open === undefined || direct === true
      ? { hostname, port }
      : { hostname: "127.0.0.1", port: await this.#listenRelay(open) };
    if (this.#over) return;
    const { child, launched } = launchSsh([
      ...options({
        IdentityFile: KEY,
        ...knownHosts(folder, pin, user),
      }),
      ...[command === undefined ? "-v" : "-vv", "-T"],
      ...["-p", String(target.port), "-l", this.#options.login ?? LOGIN],
      ...(command === undefined
        ? ["-s", "--", target.hostname, "sftp"]
        : ["--", target.hostname, textOf(command)]),
    ], folder);
    this.#child = child;
    const hangUp = () => this.#hangUp();
    const channel = new PipeChannel(child, launched, hangUp);
    const errors = readLines(child.stderr, (line) => {
      if (line === TAKEN) channel.taken();
      else if (command !== undefined && STARTED.test(line)) this.#ready(connection);
      else this.#heard(line);
    });
    child.status.then(async () => {
      channel.programEnded();
      await errors.catch(() => {});
      this.#gone();
      channel.gone();
    });
    const digest = new Uint8Array(Buffer.from(pin, "base64url"));
    const named = command === undefined ? {} : { command: command.name };
    const connection = new SshConnection(channel, { id: this.#id, digest, hangUp, ...named });
    if (command !== undefined) return;
    connection.write(new Uint8Array(SFTP_HELLO));
    let missing = SFTP_ANSWER;
    connection.listener = {
      onData: (bytes) => {
        missing -= bytes.length;
        if (missing > 0) return;
        connection.listener = undefined;
        if (missing < 0) connection.unread(bytes.subarray(missing));
        this.#ready(connection);
      },
      onClose: () => {},
    };
  }

  /** The carrier's handshake has ended. */
  #ready(connection: SshConnection): void {
    connection.opened();
    clearTimeout(this.#deadline);
    this.#settled.resolve(connection);
  }

  /** What `ssh -v` says of the server's key, and why it ends. */
  #heard(line: string): void {
    const key = /Server host key: \S+ SHA256:([A-Za-z0-9+/]{43})/.exec(line);
    if (key !== null) {
      const seen = key[1]!.replaceAll("+", "-").replaceAll("/", "_");
      const { pin } = this.#options;
      if (seen !== pin) this.#failure = new WrongCertificate(this.#address, pin, seen);
    } else if (/^\S+: Permission denied \(/.test(line)) {
      this.#failure ??= new SecretRefused(this.#address);
    } else if (line !== "" && !CHATTER.test(line)) {
      this.#lastLine = line;
    }
  }

  /** The program has ended. */
  #gone(): void {
    this.#child = undefined;
    if (this.#failure !== undefined) this.#fail(this.#failure.message, undefined, this.#failure);
    else this.#fail(reasonIn(this.#lastLine));
    this.#hangUp();
  }

  #fail(why: string, cause?: unknown, error?: Error): void {
    clearTimeout(this.#deadline);
    const known = error ?? (cause instanceof UserError ? cause : undefined);
    this.#settled.reject(known ?? new ConnectError(this.#address, why, cause));
    this.#hangUp();
  }

  #hangUp(): void {
    this.#over = true;
    this.#open.delete(this.#end);
    clearTimeout(this.#deadline);
    this.#settled.reject(new ConnectError(this.#address, "closed"));
    this.#relay?.close();
    const child = this.#child;
    this.#child = undefined;
    if (child !== undefined) killProgram(child, "SIGKILL");
  }

  /**
   * Where somebody else opens the TCP connection, `ssh` is given a port of this machine that leads into it: the
   * first connection to it, and no other.
   */
  #listenRelay(open: () => Promise<Socket>): Promise<number> {
    return new Promise((resolve, reject) => {
      const relay = net.createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
        relay.close();
        near.on("error", () => far?.resetAndDestroy());
        let far: Socket | undefined;
        near.pause();
        open().then((opened) => {
          far = opened;
          if (this.#over || near.destroyed) return void opened.destroy();
          opened.on("error", () => near.destroy());
          opened.on("close", () => near.destroy());
          near.on("close", () => opened.destroySoon());
          near.pipe(opened);
          opened.pipe(near);
        }).catch((error) => this.#fail(socketReason(error), error));
      });
      this.#relay = relay;
      relay.once("error", reject);
      relay.listen(0, "127.0.0.1", () => resolve((relay.address() as net.AddressInfo).port));
    });
  }
}

/** What is asked to run: the name, and as many dots as the request's size needs. */
function textOf({ name, size }: Command): string {
  const { smallest } = SSH_GRID.opening!.command!;
  return name + ".".repeat(Math.max(0, size - smallest));
}

/** `-F none` and the options that make `ssh` independent of whoever runs it. */
function options(own: Record<string, string>): string[] {
  const all: Record<string, string> = {
    BatchMode: "yes",
    ClearAllForwardings: "yes",
    ConnectionAttempts: "1",
    GlobalKnownHostsFile: "none",
    IdentitiesOnly: "yes",
    IdentityAgent: "none",
    PreferredAuthentications: "publickey",
    ServerAliveInterval: "0",
    StrictHostKeyChecking: "yes",
    UpdateHostKeys: "no",
    UserKnownHostsFile: "none",
    ...own,
  };
  return [
    "-F",
    "none",
    ...Object.entries(all).flatMap(([key, value]) => ["-o", `${key}=${value}`]),
  ];
}

/**
 * By what `ssh` knows the server: at the first connection a command that prints its key if it is the pinned one, and
 * keeps it in a file in `folder`; from then on that file, for a command takes longer than looking one up. Asked which kinds of key
 * are known, the command names Ed25519, so that the offer of algorithms is that of somebody who knows the server.
 */
function knownHosts(folder: string, pin: string, user: SshKey): Record<string, string> {
  const alias = { HostKeyAlias: ALIAS };
  if (isFile(`${folder}/${KNOWN}`)) return { ...alias, UserKnownHostsFile: KNOWN };
  const digest = pin.replaceAll("-", "+").replaceAll("_", "/");
  const command = `case %I in ORDER) echo '%H ${user.publicKey}';; ` +
    `*) [ %f = SHA256:${digest} ] && echo '%H %t %K' | tee ${KNOWN}.$$ && mv ${KNOWN}.$$ ${KNOWN};; esac; true`;
  return { ...alias, KnownHostsCommand: `/bin/sh -c "${command}"` };
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

/** What `ssh` said last, without its own address before it. */
function reasonIn(line: string): string {
  const refused = /^ssh: .*: (.+)$/.exec(line);
  return (refused?.[1] ?? line).trim().toLowerCase() || "closed during the handshake";
}
