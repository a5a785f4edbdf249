import { Buffer } from "node:buffer";
import net, { type Socket } from "node:net";
import { formatAddress, socketReason, UserError } from "../../base/mod.ts";
import type { CarrierClient, CarrierClientOptions, CarrierConnection } from "./carrier.ts";
import { ConnectError, WrongCertificate } from "./errors.ts";
import { SshConnection } from "./ssh_connection.ts";
import { type SshKey, userKeyOf } from "./ssh_keys.ts";
import { checkAllowed, killProgram, readLines, startProgram } from "./ssh_program.ts";
import { SecretRefused, SshStateError } from "./ssh_errors.ts";
import { freePort, innerPortOf, LOGIN } from "./ssh_rendezvous.ts";

/** Milliseconds until an attempt is given up. */
const TIMEOUT = 30_000;
/** Milliseconds that are waited for ssh's word that the channel is open; a version that does not say it goes on then. */
const CHANNEL_DEADLINE = 5000;
/** Connections at once at most: each is a process of about 9 MB. */
const MAX_CONNECTIONS = 64;

/** SFTP's first message (SSH_FXP_INIT, version 3), as every client sends it, and the type of its answer. */
const SFTP_INIT = Buffer.from([0, 0, 0, 5, 1, 0, 0, 0, 3]);
const SFTP_VERSION = 2;

/**
 * A client's end: each connection is a process of the system's `ssh`, which logs in with the key drawn from the
 * secret, begins an SFTP session as `sftp` and `scp` do, and opens one forwarded channel for us.
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
    connect: () => {
      if (open.size >= MAX_CONNECTIONS) {
        return Promise.reject(new ConnectError(addressOf(options), "too many connections at once"));
      }
      return new Dial(options, user, folder, serial++, open).connection;
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
    await Deno.writeTextFile(`${folder}/key`, user.privateKey, { mode: 0o600 });
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
  readonly #channel = Promise.withResolvers<void>();
  #channelNumber: string | undefined;
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
  ) {
    this.#options = options;
    this.#address = addressOf(options);
    this.#id = `ssh-${serial}`;
    this.#open = open;
    this.connection = this.#settled.promise;
    this.#deadline = setTimeout(() => this.#fail("no answer in time"), TIMEOUT);
    open.add(this.#end);
    this.#start(user, folder).catch((error) => this.#fail(socketReason(error), error));
  }

  async #start(user: SshKey, folder: string): Promise<void> {
    const { direct, hostname, open, pin, port } = this.#options;
    // A connection of its own has the marks of ssh's own: type of service, segments.
    const target = open === undefined || direct === true
      ? { hostname, port }
      : { hostname: "127.0.0.1", port: await this.#listenRelay(open) };
    const near = await freePort("127.0.0.1");
    if (this.#over) return;
    const child = startProgram("ssh", [
      ...options({
        IdentityFile: `${folder}/key`,
        KnownHostsCommand: knownHosts(pin, user),
        LocalForward: `127.0.0.1:${near} 127.0.0.1:${innerPortOf(pin)}`,
      }),
      ...["-vv", "-T", "-p", String(target.port), "-l", this.#options.login ?? LOGIN],
      ...["-s", "--", target.hostname, "sftp"],
    ], { stdin: "piped", stdout: "piped" });
    this.#child = child;
    const errors = readLines(child.stderr, (line) => this.#heard(line));
    const input = child.stdin.getWriter();
    input.write(SFTP_INIT).catch(() => {});
    const version = this.#readVersion(child.stdout);
    child.status.then(async () => {
      await errors.catch(() => {});
      this.#gone();
    });
    await version;
    if (this.#over) return;
    const socket = net.connect({
      host: "127.0.0.1",
      port: near,
      noDelay: true,
      allowHalfOpen: true,
    });
    const failed = (error: Error) => this.#fail(socketReason(error), error);
    socket.once("error", failed);
    socket.once("connect", async () => {
      // Until the channel is open, ssh reads nothing: what is written to it meanwhile would become one packet.
      const deadline = setTimeout(() => this.#channel.resolve(), CHANNEL_DEADLINE);
      await this.#channel.promise;
      clearTimeout(deadline);
      if (this.#over) return void socket.destroy();
      clearTimeout(this.#deadline);
      socket.removeListener("error", failed);
      const digest = new Uint8Array(Buffer.from(pin, "base64url"));
      const hangUp = () => this.#hangUp();
      this.#settled.resolve(new SshConnection(socket, { id: this.#id, digest, hangUp }));
    });
  }

  /** Resolves when the server's SFTP has spoken: the session stands. Whatever else it says is dropped. */
  #readVersion(stdout: ReadableStream<Uint8Array>): Promise<void> {
    return new Promise((resolve, reject) => {
      let seen = 0;
      const read = async () => {
        for await (const bytes of stdout) {
          const type = bytes[4 - seen];
          seen += bytes.length;
          if (seen >= 5 && type !== undefined && type !== SFTP_VERSION) throw new Error("no SFTP");
          if (seen >= 5) resolve();
        }
      };
      read().catch(reject);
    });
  }

  /** What `ssh -vv` says of the server's key, that the channel is open, and why it ends. */
  #heard(line: string): void {
    const key = /Server host key: \S+ SHA256:([A-Za-z0-9+/]{43})/.exec(line);
    if (key !== null) {
      const seen = key[1]!.replaceAll("+", "-").replaceAll("/", "_");
      const { pin } = this.#options;
      if (seen !== pin) this.#failure = new WrongCertificate(this.#address, pin, seen);
    } else if (/^\S+: Permission denied \(/.test(line)) {
      this.#failure ??= new SecretRefused(this.#address);
    } else if (!this.#heardOfChannel(line) && line !== "" && !/^debug[12]: /.test(line)) {
      this.#lastLine = line;
    }
  }

  /** Whether the line is about our channel, which is not the session's. */
  #heardOfChannel(line: string): boolean {
    this.#channelNumber ??= /^debug1: channel (\d+): new .*\bdirect-tcpip\b/.exec(line)?.[1];
    const about = /^(?:debug2: )?channel (\d+): (open confirm |open failed: )(.*)/.exec(line);
    if (about === null || about[1] !== this.#channelNumber) return false;
    if (about[2] === "open confirm ") this.#channel.resolve();
    else this.#fail(about[3]!);
    return true;
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
    this.#channel.resolve();
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

/** `-F none` and the options that make `ssh` independent of whoever runs it. */
function options(own: Record<string, string>): string[] {
  const all: Record<string, string> = {
    BatchMode: "yes",
    ClearAllForwardings: "no",
    ConnectionAttempts: "1",
    ExitOnForwardFailure: "yes",
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
 * A command for `ssh` that prints the server's key if it is the pinned one. Asked which kinds of key are known,
 * it names Ed25519, so that the offer of algorithms is that of somebody who knows the server.
 */
function knownHosts(pin: string, user: SshKey): string {
  const digest = pin.replaceAll("-", "+").replaceAll("_", "/");
  return `/bin/sh -c "case %I in ORDER) echo '%H ${user.publicKey}';; ` +
    `*) [ %f = SHA256:${digest} ] && echo '%H %t %K';; esac; true"`;
}

/** What `ssh` said last, without its own address before it. */
function reasonIn(line: string): string {
  const refused = /^ssh: .*: (.+)$/.exec(line);
  return (refused?.[1] ?? line).trim().toLowerCase() || "closed during the handshake";
}
