import { Buffer } from "node:buffer";
import { resolve } from "node:path";
import { formatAddress, ListenError, UserError, writeFileAtomically } from "../../base/mod.ts";
import type { CarrierConnection, CarrierServer, CarrierServerOptions } from "./carrier.ts";
import { nameIn, SshBridge } from "./ssh_bridge.ts";
import { SshConnection } from "./ssh_connection.ts";
import { digestOf, newHostKey, userKeyOf } from "./ssh_keys.ts";
import { checkPerl, killProgram, ProgramError, readLines, startProgram } from "./ssh_program.ts";
import { SshStateError } from "./ssh_errors.ts";
import { freePort, LOGIN } from "./ssh_rendezvous.ts";

/** Milliseconds that sshd may take to listen. */
const START_DEADLINE = 15_000;
/** Where the accounts of the machine are listed. */
const ACCOUNTS = "/etc/passwd";
/** Connections at most that sshd's sessions may have open to us. */
const MAX_CONNECTIONS = 4096;

/**
 * The genuine server: keys may be those of our users, who get a session that is joined to our server and nothing
 * else. Nothing here shows before somebody has logged in.
 */
function configuration(
  { hostname, port }: { readonly hostname: string; readonly port: number },
  folder: string,
  keys: string,
  command: string,
  pam: boolean,
): string {
  const quoted = (path: string) => `"${path.replaceAll(/["\\]/g, "\\$&")}"`;
  return `# Written anew at each start.
ListenAddress ${formatAddress({ host: hostname, port })}
HostKey ${quoted(`${folder}/host_key`)}
PidFile none
AuthorizedKeysFile ${quoted(keys.replaceAll("%", "%%"))}
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
StrictModes no
UsePAM ${pam ? "yes" : "no"}
UseDNS no
PrintMotd no
PrintLastLog no
Subsystem sftp internal-sftp
# Without this bash reads .bashrc, which may take its time or print something.
SetEnv SHLVL=2
ForceCommand ${command}
PermitTTY no
PermitUserRC no
PermitTunnel no
DisableForwarding yes
`;
}

/**
 * Listens by the system's `sshd`, whose users' sessions are joined to a socket of ours by a forced command.
 *
 * @throws {ListenError} if the address cannot be had.
 * @throws {ProgramError} if sshd cannot be started.
 * @throws {SshStateError} if its files cannot be made.
 */
export async function listenSsh(
  options: CarrierServerOptions,
  onConnection: (connection: CarrierConnection) => void,
): Promise<CarrierServer> {
  const { onNote } = options;
  await checkPerl();
  // sshd would look for what is not absolute elsewhere: below the account's home.
  const state = resolve(options.state);
  const folder = `${state}/ssh`;
  const digest = await keptHostKey(folder);
  const pin = Buffer.from(digest).toString("base64url");
  const login = await ownAccount();
  const account = await accountOf(login);
  const home = account?.home ?? (login === "root" ? "/root" : `/home/${login}`);
  const keys = keysFile(state, home);
  const bridge = await SshBridge.listen(
    `${folder}/bridge`,
    MAX_CONNECTIONS,
    // Who comes here has still to prove the secret.
    (peer, channel) => {
      const command = nameIn(peer.command);
      const named = command === undefined ? {} : { command };
      onConnection(
        new SshConnection(channel, { id: `ssh-${peer.port}`, digest, peer, ...named }),
      );
    },
  );
  try {
    const { hostname } = options;
    const port = options.port === 0 ? await freePort(hostname) : options.port;
    await write(`${folder}/bridge`, bridge.program);
    await writeUsers(keys, options.secrets);
    const daemon = new Daemon(
      { hostname, port },
      folder,
      keys,
      bridge.command,
      login === "nobody",
      onNote ?? (() => {}),
    );
    await daemon.start();
    return {
      hostname,
      port,
      pin,
      ...(login === LOGIN ? {} : { login }),
      renew: () => {},
      renewUsers: (secrets) => {
        writeUsers(keys, secrets).catch((error) => onNote?.((error as Error).message));
      },
      close: async () => {
        bridge.close();
        await daemon.stop();
      },
    };
  } catch (error) {
    bridge.close();
    throw error;
  }
}

/** The listening `sshd`; its sessions are processes of their own, and outlive it. */
class Daemon {
  readonly #listen: { readonly hostname: string; readonly port: number };
  readonly #folder: string;
  readonly #keys: string;
  readonly #command: string;
  readonly #onNote: (text: string) => void;
  #child: Deno.ChildProcess | undefined;
  #pam: boolean;
  #stopping = false;

  constructor(
    listen: { readonly hostname: string; readonly port: number },
    folder: string,
    keys: string,
    command: string,
    pam: boolean,
    onNote: (text: string) => void,
  ) {
    this.#listen = listen;
    this.#folder = folder;
    this.#keys = keys;
    this.#command = command;
    this.#pam = pam;
    this.#onNote = onNote;
  }

  /** Resolves when it listens. */
  async start(): Promise<void> {
    const file = `${this.#folder}/sshd_config`;
    await write(
      file,
      configuration(this.#listen, this.#folder, this.#keys, this.#command, this.#pam),
    );
    const child = startProgram("sshd", ["-D", "-e", "-f", file], {
      stdin: "null",
      stdout: "null",
    });
    this.#child = child;
    const listening = Promise.withResolvers<void>();
    let said = "";
    const lines = readLines(child.stderr, (line) => {
      if (line.startsWith("Server listening on ")) listening.resolve();
      else if (/^User \S+ not allowed because account is locked/.test(line)) this.#onLocked();
      // What strangers do is theirs alone.
      else if (said.length < 1000) said += `${line}\n`;
    });
    child.status.then(async ({ code }) => {
      await lines.catch(() => {});
      listening.reject(sshdError(this.#listen, said, code));
      if (this.#child !== child) return;
      this.#child = undefined;
      if (!this.#stopping) this.#onNote("sshd has ended: nobody can connect");
    });
    const deadline = setTimeout(
      () => listening.reject(new ProgramError("sshd", "it does not listen in time")),
      START_DEADLINE,
    );
    try {
      await listening.promise;
    } catch (error) {
      await this.stop();
      throw error;
    } finally {
      clearTimeout(deadline);
    }
  }

  /** Resolves when it has ended. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#end();
  }

  async #end(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined) return;
    killProgram(child, "SIGTERM");
    await child.status;
  }

  /**
   * Some accounts count as locked although they are not (`nobody`, and those that systemd makes for a service):
   * sshd leaves that to PAM if it may use it.
   */
  #onLocked(): void {
    if (this.#stopping) return;
    if (this.#pam) {
      this.#onNote("sshd lets nobody in: the account that it runs under is locked");
      return;
    }
    this.#pam = true;
    this.#end().then(() => this.#stopping ? undefined : this.start())
      .catch((error) => this.#onNote((error as Error).message));
  }
}

/**
 * The account that we run under, and sshd with us: without root's rights it can let in nobody else.
 *
 * @throws {ProgramError} if `ssh`, which is asked, does not say.
 */
async function ownAccount(): Promise<string> {
  const child = startProgram("ssh", ["-F", "none", "-G", "localhost"], {
    stdin: "null",
    stdout: "piped",
  });
  const { stdout } = await child.output();
  const user = /^user (\S+)$/m.exec(new TextDecoder().decode(stdout))?.[1];
  if (user === undefined) throw new ProgramError("ssh", "it does not say which account this is");
  return user;
}

/**
 * What the machine knows of an account, if it is in its list.
 *
 * @throws {SshStateError} if its shell refuses to be used: sshd hands a forced command to that.
 */
async function accountOf(login: string): Promise<{ readonly home: string } | undefined> {
  const accounts = await Deno.readTextFile(ACCOUNTS).catch(() => "");
  const fields = accounts.split("\n").find((line) => line.startsWith(`${login}:`))?.split(":");
  if (fields === undefined) return undefined;
  const [home = "", shell = ""] = fields.slice(5);
  if (/\/(?:nologin|false)$/.test(shell)) {
    const why = `the account ${login}, that users log in to, has no shell (${shell}): ` +
      `usermod --shell /bin/sh ${login}, or use another account`;
    throw new SshStateError(ACCOUNTS, new Error(why));
  }
  return { home };
}

/**
 * Where users' keys are. sshd tells whoever logs in, encrypted, in which file his key was found, and so the length of
 * its path is seen: it is that of the account's own `~/.ssh/authorized_keys` if the state folder's is short enough.
 */
function keysFile(state: string, home: string): string {
  const usual = Buffer.byteLength(`${home}/.ssh/authorized_keys`);
  for (const name of ["ssh/authorized_keys", "keys", "k"]) {
    const more = usual - Buffer.byteLength(`${state}/${name}`);
    // More slashes than one mean the same.
    if (more >= 0) return `${state}/${"/".repeat(more)}${name}`;
  }
  return `${state}/k`;
}

/** Reads the host key's digest from the folder, making key and folder at the first start. */
async function keptHostKey(folder: string): Promise<Uint8Array> {
  const file = `${folder}/host_key`;
  try {
    await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
    return digestOf(await Deno.readTextFile(`${file}.pub`));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw new SshStateError(`${file}.pub`, error);
  }
  const key = newHostKey();
  await write(file, key.privateKey);
  await write(`${file}.pub`, `${key.publicKey}\n`);
  return key.digest;
}

async function writeUsers(file: string, secrets: readonly Uint8Array[]): Promise<void> {
  const lines = secrets.map((secret) => `${userKeyOf(secret).publicKey}\n`);
  await write(file, lines.join(""));
}

async function write(file: string, text: string): Promise<void> {
  try {
    await writeFileAtomically(file, text, { mode: 0o600 });
  } catch (error) {
    throw error instanceof UserError ? error : new SshStateError(file, error);
  }
}

/** Why sshd ended instead of listening. */
function sshdError(
  { hostname, port }: { readonly hostname: string; readonly port: number },
  said: string,
  code: number,
): Error {
  const bind = /Bind to port .*: (.+)\./.exec(said);
  if (bind !== null) {
    const codes: Record<string, string> = {
      "Address already in use": "EADDRINUSE",
      "Permission denied": "EACCES",
      "Cannot assign requested address": "EADDRNOTAVAIL",
    };
    const cause = Object.assign(new Error(bind[1]), { code: codes[bind[1]!] });
    return new ListenError(formatAddress({ host: hostname, port }), "--listen", cause);
  }
  const last = said.trim().split("\n").pop();
  return new ProgramError("sshd", last || `it ended with ${code}`);
}
