import { fileURLToPath } from "node:url";
import type { LinkProfile } from "../link_profile.ts";
import { endAllIn, removeNamespace, temporaryPrefix } from "../leftovers.ts";
import { denoCache, LinkFailed, startTunLink } from "../network.ts";
import { run, Running, sleep, type StartOptions } from "../process.ts";
import type { TunLinkReport } from "../tun_link.ts";

/** The gateway's interface towards the clients: a bridge with a port for each. */
export const LAN_DEVICE = "lan0";

/** The gateway's interface towards the hosts outside: the link. */
export const WAN_DEVICE = "wan0";

/** The gateway's address on the link. */
export const WAN_ADDRESS = "198.51.100.1";

/** The router's address at the far end of the link; the hosts outside are behind it. */
export const FAR_ADDRESS = "198.51.100.2";

/** Name server of the hosts outside. */
export const NAME_SERVER = "198.18.0.2";

/** How to set up an {@linkcode AppsNetwork}. */
export interface AppsNetworkOptions {
  /** The link between gateway and outside, shared by all clients. */
  readonly link: LinkProfile;
  /** Addresses of the hosts outside. */
  readonly outside: readonly string[];
  /** Names of the clients, each in a namespace of its own. */
  readonly clients: readonly string[];
  /** A folder for what the network needs; somebody else removes it. */
  readonly folder: string;
}

/**
 * Clients, each in a network namespace of its own, on a bridge that is the LAN of a gateway in another; a shaped
 * link from that to a namespace with all hosts outside. The gateway is set up by our own command, and clients
 * get their addresses from it by a real DHCP client. No packet can leave. Dispose of it and everything that
 * runs inside is ended, by process id.
 */
export class AppsNetwork implements AsyncDisposable {
  readonly #options: AppsNetworkOptions;
  readonly #stem = `${temporaryPrefix()}${crypto.randomUUID().slice(0, 6)}`;
  #link: Running | undefined;
  #report: TunLinkReport | undefined;

  private constructor(options: AppsNetworkOptions) {
    this.#options = options;
  }

  /** Makes the namespaces and the link; the gateway is not set up yet. */
  static async up(options: AppsNetworkOptions): Promise<AppsNetwork> {
    const network = new AppsNetwork(options);
    try {
      await network.#up();
    } catch (error) {
      await network[Symbol.asyncDispose]();
      throw error;
    }
    return network;
  }

  /** Namespace of the gateway. */
  get gateway(): string {
    return `${this.#stem}g`;
  }

  /** Namespace of the hosts outside. */
  get outside(): string {
    return `${this.#stem}o`;
  }

  /** Namespace of a client. */
  client(name: string): string {
    return `${this.#stem}c${this.#options.clients.indexOf(name)}`;
  }

  get #namespaces(): string[] {
    return [this.gateway, this.outside, ...this.#options.clients.map((name) => this.client(name))];
  }

  async #up(): Promise<void> {
    const ip = (name: string, text: string) => run(["ip", "-n", name, ...text.split(" ")]);
    for (const name of this.#namespaces) {
      await run(["ip", "netns", "add", name]);
      await run([
        ...["ip", "netns", "exec", name, "sh", "-c"],
        "echo 1 > /proc/sys/net/ipv4/tcp_no_metrics_save; " +
        "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6 || true; " +
        "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6 || true",
      ]);
      await ip(name, "link set lo up");
    }
    const { link, outside, clients } = this.#options;
    this.#link = await startTunLink({
      namespaces: [`/run/netns/${this.gateway}`, `/run/netns/${this.outside}`],
      device: WAN_DEVICE,
      delayMs: link.oneWayDelayMs,
      rateMbit: link.rateMbit,
      queueBytes: link.queueKB * 1024,
      loss: 0,
      jitterMs: 0,
      seed: 0,
    });
    for (const [name, address] of [[this.gateway, WAN_ADDRESS], [this.outside, FAR_ADDRESS]]) {
      await ip(name!, `addr add ${address}/24 dev ${WAN_DEVICE}`);
      await ip(name!, `link set ${WAN_DEVICE} up mtu ${link.mss + 52} txqueuelen 1000`);
    }
    await ip(this.gateway, `route add default via ${FAR_ADDRESS} dev ${WAN_DEVICE}`);
    // A namespace may not choose its congestion control by sysctl; a route may.
    await ip(
      this.outside,
      `route replace 198.51.100.0/24 proto kernel scope link congctl cubic dev ${WAN_DEVICE} src ${FAR_ADDRESS}`,
    );
    for (const address of [NAME_SERVER, ...outside]) {
      await ip(this.outside, `addr add ${address}/32 dev lo`);
    }
    await ip(this.gateway, `link add ${LAN_DEVICE} type bridge`);
    await ip(this.gateway, `link set ${LAN_DEVICE} up`);
    for (const [index, name] of clients.entries()) {
      const port = `port${index}`;
      await ip(
        this.gateway,
        `link add ${port} type veth peer name eth0 netns ${this.client(name)}`,
      );
      // Whole trains of segments would pass as one packet.
      await ip(this.gateway, `link set ${port} master ${LAN_DEVICE} up gso_max_segs 1`);
      await ip(this.client(name), "link set eth0 up gso_max_segs 1");
    }
  }

  /**
   * The argument list that runs `argv` in a namespace, before other programs of the machine: a wait for the
   * processor would look like the application's own time to think.
   */
  in(namespace: string, argv: readonly string[]): string[] {
    return ["ip", "netns", "exec", namespace, "nice", "-n", "-20", ...argv];
  }

  /** Starts `argv` in a namespace. */
  start(namespace: string, argv: readonly string[], options?: StartOptions): Running {
    return new Running(this.in(namespace, argv), options);
  }

  /** Waits until something listens on TCP `port` outside. */
  async listening(port: number, milliseconds = 20_000): Promise<void> {
    const deadline = performance.now() + milliseconds;
    while (performance.now() < deadline) {
      const argv = this.in(this.outside, ["ss", "-Hltn", "sport", "=", `:${port}`]);
      if ((await run(argv)).trim() !== "") return;
      await sleep(50);
    }
    throw new LinkFailed(`nothing listens on port ${port} after ${milliseconds} ms`);
  }

  /** Sets the gateway up by our own command, with the rights of its task. */
  async setUpGateway(): Promise<void> {
    const main = fileURLToPath(new URL("../../cli/main.ts", import.meta.url));
    const state = `${this.#options.folder}/gateway`;
    await run(
      this.in(this.gateway, [
        ...[Deno.execPath(), "run", "--quiet", "--no-prompt", "--no-remote", "--cached-only"],
        ...[`--allow-read=${state}`, `--allow-write=${state}`],
        "--allow-run=ip,nft,sysctl,dnsmasq,pgrep,pkill",
        "--allow-env=NO_COLOR,FORCE_COLOR,CLICOLOR_FORCE",
        ...[main, "gateway", "up", "--lan", LAN_DEVICE, "--wan", WAN_DEVICE],
        ...["--dns", NAME_SERVER, "--state", state],
      ]),
      30_000,
      { env: { NO_COLOR: "1", ...denoCache() } },
    );
  }

  /** Has a client get its address by DHCP; returns the address. */
  async lease(name: string): Promise<string> {
    const { folder } = this.#options;
    const script = `${folder}/udhcpc.sh`;
    await Deno.writeTextFile(
      script,
      '#!/bin/sh\n[ "$1" = bound ] || exit 0\n' +
        'ip addr replace "$ip/$mask" dev "$interface"\n' +
        'ip route replace default via "$router" dev "$interface" congctl cubic\n' +
        `echo "nameserver $dns" > "${folder}/$hostname.resolv"\necho "$ip" > "${folder}/$hostname.address"\n`,
      { mode: 0o755 },
    );
    await run(
      this.in(this.client(name), [
        ...["env", `hostname=${name}`, "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "8"],
        ...["-T", "1", "-x", `hostname:${name}`, "-s", script],
      ]),
      30_000,
    );
    return (await Deno.readTextFile(`${folder}/${name}.address`)).trim();
  }

  /** The argument list that runs `argv` as a client, which asks the name server that DHCP told it of. */
  asClient(name: string, argv: readonly string[]): string[] {
    const script = 'mount --bind "$1" /etc/resolv.conf && shift && exec "$@"';
    const file = `${this.#options.folder}/${name}.resolv`;
    return this.in(this.client(name), ["sh", "-c", script, "sh", file, ...argv]);
  }

  /** What the link forwarded and dropped: known after it was taken down. */
  get report(): TunLinkReport | undefined {
    return this.#report;
  }

  /** Ends all that runs inside, by process id, and removes the namespaces. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of this.#namespaces) await endAllIn(name, this.#link?.pid);
    if (this.#link !== undefined) {
      await this.#link.closeInput();
      await this.#link.ended(3000);
      const line = this.#link.output.split("\n").find((text) => text.startsWith("{"));
      if (line !== undefined) this.#report = JSON.parse(line) as TunLinkReport;
      this.#link = undefined;
    }
    for (const name of this.#namespaces) await removeNamespace(name);
  }
}
