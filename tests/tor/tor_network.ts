import { fileURLToPath } from "node:url";
import { temporaryPrefix } from "../../lab/leftovers.ts";
import { denoCache } from "../../lab/network.ts";
import { run, type Running, sleep } from "../../lab/process.ts";
import { type End, TwoEnds } from "./two_ends.ts";

/** Where the web server of the tests listens, at the relays' end. */
export const WEB_PORT = 8080;

/** From now to the network's first consensus, in seconds: the relays must have told of themselves by then. */
const LEAD = 10;

const INTERVAL = 10;

/** One tor and its files. */
export interface Tor {
  /** Its folder. */
  readonly folder: string;
  /** The program. */
  readonly program: Running;
  /** What it has logged. */
  log(): Promise<string>;
}

/** Something that did not happen in time. */
export class TooLate extends Error {}

/** Asks again and again until there is an answer, `milliseconds` at most. */
export async function until<T>(
  what: string,
  milliseconds: number,
  ask: () => Promise<T | undefined | false>,
): Promise<T> {
  const deadline = performance.now() + milliseconds;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer;
    if (performance.now() > deadline) throw new TooLate(`${what}: not within ${milliseconds} ms`);
    await sleep(100);
  }
}

/** The text of a file; empty while it is not there. */
export async function textOf(file: string): Promise<string> {
  return await Deno.readTextFile(file).catch(() => "");
}

/**
 * Builds an installed copy below `folder`; returns its program. What the tests then run is what users run, with the
 * permissions that the launcher gives.
 */
export async function installIn(folder: string): Promise<string> {
  const root = fileURLToPath(new URL("../../", import.meta.url));
  const deno = [Deno.execPath(), "run", "--no-prompt", "--no-check", "--quiet", "-A"];
  const built = `${folder}/build`;
  await run([...deno, `${root}cli/main.ts`, "build", "--with-deno", "--out", built], 120_000, {
    env: { HOME: folder, NO_COLOR: "1", ...denoCache() },
  });
  await run(["sh", `${built}/install.sh`, "--prefix", `${folder}/usr`]);
  await Deno.remove(built, { recursive: true });
  return `${folder}/usr/bin/trafficmimic`;
}

/**
 * A Tor network of one authority and one exit on loopback at the relays' end, with a web server beside them:
 * nothing at the clients' end reaches any of it but through a bridge.
 */
export class TorNetwork implements AsyncDisposable {
  readonly #authority: string[] = [];
  /** The two ends. */
  readonly ends: TwoEnds;
  /** Folder of all files. */
  readonly folder: string;

  private constructor(ends: TwoEnds, folder: string) {
    this.ends = ends;
    this.folder = folder;
  }

  /** Makes the network; returns when it has a consensus. `page` is what the web server serves. */
  static async up(page: Uint8Array): Promise<TorNetwork> {
    const ends = await TwoEnds.up();
    const folder = await Deno.makeTempDir({ prefix: temporaryPrefix() });
    const network = new TorNetwork(ends, folder);
    try {
      await network.#up(page);
    } catch (error) {
      await network[Symbol.asyncDispose]();
      throw error;
    }
    return network;
  }

  async #up(page: Uint8Array): Promise<void> {
    const web = `${this.folder}/page`;
    await Deno.writeFile(web, page);
    await Deno.writeTextFile(`${this.folder}/resolv.conf`, "nameserver 127.0.0.1\n");
    await this.#makeAuthority();
    // The first consensus holds what the relays told before the vote, four seconds earlier.
    const offset = (Math.floor(Date.now() / 1000) % 86_400 + LEAD) % INTERVAL;
    await this.startTor("relays", "authority", [
      ...this.#relay("authority"),
      "ORPort 127.0.0.1:5001",
      "DirPort 127.0.0.1:7001",
      "AuthoritativeDirectory 1",
      "V3AuthoritativeDirectory 1",
      "ExitRelay 0",
      "ExitPolicy reject *:*",
      "AuthDirMaxServersPerAddr 0",
      `V3AuthVotingInterval ${INTERVAL}`,
      "V3AuthVoteDelay 2",
      "V3AuthDistDelay 2",
      `TestingV3AuthInitialVotingInterval ${INTERVAL}`,
      "TestingV3AuthInitialVoteDelay 2",
      "TestingV3AuthInitialDistDelay 2",
      `TestingV3AuthVotingStartOffset ${offset}`,
      "TestingDirAuthVoteGuard *",
      "TestingMinExitFlagThreshold 0",
    ]);
    await this.startTor("relays", "exit", [
      ...this.#relay("exit"),
      "ORPort 127.0.0.1:5101",
      "ExitRelay 1",
      "ExitPolicy accept *:*",
      "ExitPolicyRejectPrivate 0",
      "IPv6Exit 0",
      "DirCache 0",
      "RefuseUnknownExits 0",
    ]);
    const server = this.ends.start("relays", [
      Deno.execPath(),
      ...["run", "--no-prompt", "--no-check", "--quiet", "--allow-net=127.0.0.1"],
      `--allow-read=${web}`,
      fileURLToPath(new URL("web_server.ts", import.meta.url)),
      ...[`${WEB_PORT}`, web],
    ], { env: this.environment });
    await server.said(/listening/, 20_000);
    // A bridge that asks before there is a consensus waits long until it asks again.
    await until("a consensus of both relays", 60_000, async () => {
      const text = await textOf(`${this.folder}/authority/cached-microdesc-consensus`);
      return [...text.matchAll(/^r /gm)].length >= 2 && /^s .*Exit/m.test(text);
    });
  }

  async #makeAuthority(): Promise<void> {
    const folder = `${this.folder}/authority`;
    await Deno.mkdir(`${folder}/keys`, { recursive: true, mode: 0o700 });
    await Deno.chmod(folder, 0o700);
    const [identity, signing, certificate] = ["identity_key", "signing_key", "certificate"]
      .map((name) => `${folder}/keys/authority_${name}`) as [string, string, string];
    await run(
      ["sh", "-c", 'echo pass | exec "$@"', "sh", "tor-gencert", "--create-identity-key"].concat(
        ["--passphrase-fd", "0", "-m", "12", "-a", "127.0.0.1:7001"],
        ["-i", identity, "-s", signing, "-c", certificate],
      ),
      30_000,
    );
    await run([
      ...["tor", "--quiet", "--list-fingerprint", "-f", "/dev/null", "--ignore-missing-torrc"],
      ...["--defaults-torrc", "/dev/null", "--DataDirectory", folder, "--Nickname", "authority"],
      ...["--ORPort", "127.0.0.1:5001", "--DirAuthority", `x 127.0.0.1:1 ${"F".repeat(40)}`],
    ], 30_000);
    const v3 = /^fingerprint ([0-9A-F]{40})/m.exec(await Deno.readTextFile(certificate))![1]!;
    this.#authority.push(
      `DirAuthority authority orport=5001 no-v2 v3ident=${v3} 127.0.0.1:7001 ` +
        await this.fingerprint("authority"),
    );
  }

  /** A relay's fingerprint. */
  async fingerprint(name: string): Promise<string> {
    const text = await Deno.readTextFile(`${this.folder}/${name}/fingerprint`);
    return /[0-9A-F]{40}/.exec(text)![0];
  }

  #relay(nickname: string): string[] {
    return [
      `Nickname ${nickname}`,
      "SocksPort 0",
      "Address 127.0.0.1",
      "AssumeReachable 1",
      "ContactInfo none",
      "ShutdownWaitLength 0",
      `ServerDNSResolvConfFile ${this.folder}/resolv.conf`,
      "ServerDNSDetectHijacking 0",
      "ServerDNSTestAddresses",
      "ServerDNSAllowBrokenConfig 1",
    ];
  }

  /** What programs need of our own environment. */
  get environment(): Record<string, string> {
    return { HOME: this.folder, NO_COLOR: "1", ...denoCache() };
  }

  /** Starts a tor; lines of its torrc besides the common ones. */
  async startTor(end: End, name: string, lines: readonly string[]): Promise<Tor> {
    const folder = `${this.folder}/${name}`;
    await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
    const torrc = [
      "TestingTorNetwork 1",
      `DataDirectory ${folder}`,
      `Log notice file ${folder}/log`,
      `Log [net,general,pt]debug file ${folder}/net.log`,
      "SafeLogging 0",
      `__OwningControllerProcess ${Deno.pid}`,
      ...this.#authority,
      ...lines,
    ].join("\n");
    await Deno.writeTextFile(`${folder}/torrc`, `${torrc}\n`);
    // No cache of Deno's: what a transport keeps of compiled code, it keeps in its state folder.
    const program = this.ends.start(end, [
      ...["tor", "-f", `${folder}/torrc`, "--defaults-torrc", "/dev/null"],
    ], { env: { HOME: this.folder, NO_COLOR: "1" } });
    return { folder, program, log: () => textOf(`${folder}/log`) };
  }

  /**
   * Starts a bridge whose transport listens at `listen`; returns it with the line that its transport wrote,
   * once it can serve clients.
   */
  async startBridge(
    name: string,
    options: {
      readonly transport: string;
      readonly command: string;
      readonly listen: string;
      readonly orPort: number;
      readonly lines?: readonly string[];
    },
  ): Promise<Tor> {
    const tor = await this.startTor("relays", name, [
      ...this.#relay(name),
      `ORPort 127.0.0.1:${options.orPort}`,
      "ExitRelay 0",
      "ExitPolicy reject *:*",
      "BridgeRelay 1",
      "PublishServerDescriptor 0",
      "BridgeDistribution none",
      `ServerTransportPlugin ${options.transport} exec ${options.command}`,
      `ServerTransportListenAddr ${options.transport} ${options.listen}`,
      ...options.lines ?? [],
    ]);
    await until(`the bridge ${name} is ready`, 45_000, async () => {
      const descriptors = await textOf(`${tor.folder}/cached-microdescs.new`) +
        await textOf(`${tor.folder}/cached-microdescs`);
      return [...descriptors.matchAll(/^onion-key/gm)].length >= 2 &&
        (await textOf(`${tor.folder}/bridgelines`)).includes(`Bridge ${options.transport} `);
    });
    return tor;
  }

  /** Starts a client that knows one bridge; returns it when it has bootstrapped, and how long that took. */
  async startClient(
    name: string,
    options: {
      readonly transport: string;
      readonly command: string;
      readonly socksPort: number;
      readonly bridge: string;
      readonly lines?: readonly string[];
      readonly patience?: number;
    },
  ): Promise<Tor & { readonly bootstrap: number }> {
    const began = performance.now();
    const tor = await this.startTor("clients", name, [
      `SocksPort 127.0.0.1:${options.socksPort}`,
      "UseBridges 1",
      `ClientTransportPlugin ${options.transport} exec ${options.command}`,
      options.bridge,
      ...options.lines ?? [],
    ]);
    try {
      await until(
        `the client ${name} is bootstrapped`,
        options.patience ?? 60_000,
        async () => /Bootstrapped 100%/.test(await tor.log()),
      );
    } catch (error) {
      const log = (await tor.log()).split("\n").slice(-15).join("\n");
      throw new TooLate(`${(error as Error).message}; its log ends:\n${log}`);
    }
    return { ...tor, bootstrap: performance.now() - began };
  }

  /** Fetches the page through a client's SOCKS port. */
  fetch(
    socksPort: number,
    bytes: number,
    seconds = 60,
  ): Promise<{ readonly success: boolean; readonly body: Uint8Array }> {
    const args = this.ends.inside("clients", [
      ...["curl", "--silent", "--show-error", "--max-time", `${seconds}`],
      ...["--socks5-hostname", `127.0.0.1:${socksPort}`],
      `http://127.0.0.1:${WEB_PORT}/?bytes=${bytes}`,
    ]);
    return new Deno.Command("env", { args, stdin: "null", stderr: "null" }).output()
      .then(({ success, stdout }) => ({ success, body: stdout }));
  }

  /** Ends all programs and removes namespaces and files. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.ends[Symbol.asyncDispose]();
    await Deno.remove(this.folder, { recursive: true }).catch(() => {});
  }
}
