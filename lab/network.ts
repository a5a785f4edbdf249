import { UserError } from "../base/mod.ts";
import type { LinkProfile } from "./link_profile.ts";
import { endAllIn, removeNamespace, temporaryPrefix } from "./leftovers.ts";
import { run, Running, sleep, type StartOptions } from "./process.ts";
import type { TunLinkChange, TunLinkReport, TunLinkSettings } from "./tun_link.ts";

/** Interface at both ends of the link. */
export const LINK_DEVICE = "tun0";

/** Address of the client's end. */
export const CLIENT_ADDRESS = "10.99.0.1";

/** Address of the server's end. */
export const SERVER_ADDRESS = "10.99.0.2";

/** The two addresses between which one of several users talks. */
export interface UserEnds {
  /** The user's own address at the client's end. */
  readonly client: string;
  /** The server's address that this user asks for: the route to it sets the user's own address. */
  readonly server: string;
}

/** Most users of one network. */
export const MOST_USERS = 80;

/** Where user `k` (from 0) and the server meet. */
export function userEnds(k: number): UserEnds {
  return { client: `10.99.0.${10 + k}`, server: `10.99.0.${100 + k}` };
}

/** How the link is made: `netem` in the kernel, or `tun`, our own in user space. */
export type LinkKind = "netem" | "tun";

/** How to set up a {@linkcode LabNetwork}. */
export interface NetworkOptions {
  /** Delay, rate and queue, the same both ways. */
  readonly link: LinkProfile;
  /** Which kind of link; probed where left out. */
  readonly kind?: LinkKind;
  /** Share of packets lost at random, from 0 to 1 (default: the link's). */
  readonly loss?: number;
  /** Extra delay drawn from 0 to this many milliseconds (default: the link's). */
  readonly jitterMs?: number;
  /** Seeds loss and jitter of a `tun` link. */
  readonly seed?: number;
  /** Users with addresses of their own, {@linkcode userEnds}, from 0 (the default) to {@linkcode MOST_USERS}. */
  readonly users?: number;
}

/** The link could not be made. */
export class LinkFailed extends UserError {}

/** Whether the kernel has netem: tries it on the loopback interface of a namespace of its own. */
export async function hasNetem(): Promise<boolean> {
  const name = `${uniqueStem()}p`;
  await run(["ip", "netns", "add", name]);
  try {
    await run(
      ["ip", "netns", "exec", name, "tc", "qdisc", "add", "dev", "lo", "root"].concat(
        "netem",
        "delay",
        "1ms",
      ),
    );
    return true;
  } catch {
    return false;
  } finally {
    await run(["ip", "netns", "del", name]);
  }
}

/** Starts the program that joins two namespaces by a delayed link; returns when both interfaces are there. */
export async function startTunLink(settings: TunLinkSettings): Promise<Running> {
  const program = new URL("tun_link.ts", import.meta.url).pathname;
  const link = new Running([
    Deno.execPath(),
    ...["run", "--quiet", "--no-prompt", "--no-remote", "--cached-only", "--allow-ffi", program],
    JSON.stringify(settings),
  ], { env: { NO_COLOR: "1", HOME: "/nonexistent", ...denoCache() } });
  try {
    await link.said(/ready/, 20_000);
  } catch (error) {
    await link.stop("SIGKILL");
    throw error;
  }
  return link;
}

/** Several networks of one process may be up at once. */
function uniqueStem(): string {
  return `${temporaryPrefix()}${crypto.randomUUID().slice(0, 6)}`;
}

/**
 * Runs what follows with the least nice value, in a session of its own where the kernel shares the processor
 * out between sessions first (autogroup): there a nice value means nothing outside its session.
 */
const NICE = [
  ...["setsid", "sh", "-c"],
  '{ echo -20 > /proc/self/autogroup; } 2>/dev/null; exec nice -n -20 "$@"',
  "sh",
];

const inNamespace = (
  name: string,
  argv: readonly string[],
) => ["ip", "netns", "exec", name, ...argv];

/**
 * Two network namespaces with nothing but a link between them, the client's at
 * {@linkcode CLIENT_ADDRESS} and the server's at {@linkcode SERVER_ADDRESS}. No packet can leave
 * them. Dispose of it and everything that runs inside is ended, by process id.
 */
export class LabNetwork implements AsyncDisposable {
  readonly #options: NetworkOptions;
  #link: Running | undefined;
  #report: TunLinkReport | undefined;
  #middle: string | undefined;
  #realTime = false;

  /** Name of the client's namespace. */
  readonly client: string;
  /** Name of the server's namespace. */
  readonly server: string;

  private constructor(readonly kind: LinkKind, options: NetworkOptions) {
    this.#options = options;
    const stem = uniqueStem();
    this.client = `${stem}c`;
    this.server = `${stem}s`;
  }

  /** Makes the namespaces and the link. */
  static async up(options: NetworkOptions): Promise<LabNetwork> {
    const kind = options.kind ?? (await hasNetem() ? "netem" : "tun");
    const network = new LabNetwork(kind, options);
    try {
      await network.#up();
    } catch (error) {
      await network[Symbol.asyncDispose]();
      throw error;
    }
    return network;
  }

  async #up(): Promise<void> {
    this.#realTime = await run(["chrt", "-r", "1", "true"]).then(() => true, () => false);
    for (const name of [this.client, this.server]) {
      await run(["ip", "netns", "add", name]);
      // Each connection starts afresh, as if no other had been to this host before it.
      await run(
        inNamespace(name, ["sh", "-c"]).concat(
          "echo 1 > /proc/sys/net/ipv4/tcp_no_metrics_save; " +
            "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6 || true",
        ),
      );
    }
    await (this.kind === "tun" ? this.#tun() : this.#netem());
    const mtu = this.#options.link.mss + 52;
    for (
      const [name, address] of [
        [this.client, CLIENT_ADDRESS],
        [this.server, SERVER_ADDRESS],
      ] as const
    ) {
      const ip = (...args: string[]) => run(["ip", "-n", name, ...args]);
      await ip("addr", "add", `${address}/24`, "dev", LINK_DEVICE);
      await ip("link", "set", "lo", "up");
      await ip("link", "set", LINK_DEVICE, "up", "mtu", `${mtu}`, "txqueuelen", "1000");
      // A namespace may not choose its congestion control by sysctl; a route may.
      await ip(
        ..."route replace 10.99.0.0/24 proto kernel scope link congctl cubic".split(" "),
        ...["dev", LINK_DEVICE, "src", address],
      );
    }
    await this.#users();
  }

  /**
   * An address at either end for each user. No program needs to be told where to talk from: the route to the
   * server's address says it, so that one browser can be many people.
   */
  async #users(): Promise<void> {
    for (const { client, server } of this.users) {
      await run(["ip", "-n", this.client, "addr", "add", `${client}/32`, "dev", LINK_DEVICE]);
      await run(["ip", "-n", this.server, "addr", "add", `${server}/32`, "dev", LINK_DEVICE]);
      await run([
        ...["ip", "-n", this.client, "route", "replace", `${server}/32`, "dev", LINK_DEVICE],
        ...["src", client, "congctl", "cubic"],
      ]);
    }
  }

  /** Users with addresses of their own. */
  get users(): readonly UserEnds[] {
    return Array.from({ length: this.#options.users ?? 0 }, (_, k) => userEnds(k));
  }

  /** Every address that servers listen on. */
  get serverAddresses(): readonly string[] {
    return [SERVER_ADDRESS, ...this.users.map(({ server }) => server)];
  }

  async #tun(): Promise<void> {
    const { link, loss = link.loss ?? 0, jitterMs = link.jitterMs ?? 0, seed = 0 } = this.#options;
    this.#link = await startTunLink({
      namespaces: [`/run/netns/${this.client}`, `/run/netns/${this.server}`],
      device: LINK_DEVICE,
      delayMs: link.oneWayDelayMs,
      rateMbit: link.rateMbit,
      queueBytes: link.queueKB * 1024,
      loss,
      jitterMs,
      seed,
    });
  }

  /**
   * netem in a namespace between the two, on both sides of a bridge: at the ends themselves it would
   * hold packets back before a capture there sees them.
   */
  async #netem(): Promise<void> {
    const { link, loss = link.loss ?? 0, jitterMs = link.jitterMs ?? 0 } = this.#options;
    const middle = this.#middle = `${this.client.slice(0, -1)}m`;
    await run(["ip", "netns", "add", middle]);
    const ip = (...args: string[]) => run(["ip", "-n", middle, ...args]);
    await ip("link", "add", "br0", "type", "bridge");
    await ip("link", "set", "br0", "up");
    const packets = Math.ceil(
      (link.queueKB * 1024 + link.rateMbit * 125 * link.oneWayDelayMs) / (link.mss + 52),
    );
    for (const [name, port] of [[this.client, "c"], [this.server, "s"]] as const) {
      await ip("link", "add", port, "type", "veth", "peer", LINK_DEVICE, "netns", name);
      await ip("link", "set", port, "master", "br0", "up", "gso_max_segs", "1");
      await run(["ip", "-n", name, "link", "set", LINK_DEVICE, "gso_max_segs", "1"]);
      await run(inNamespace(middle, [
        ...["tc", "qdisc", "add", "dev", port, "root", "netem", "limit", `${packets}`],
        ...["delay", `${link.oneWayDelayMs}ms`, ...(jitterMs > 0 ? [`${jitterMs / 2}ms`] : [])],
        ...(loss > 0 ? ["loss", `${loss * 100}%`] : []),
        ...(link.rateMbit > 0 ? ["rate", `${link.rateMbit}mbit`] : []),
      ]));
    }
  }

  /** How programs are run before others of the machine, in words. */
  get priority(): string {
    return this.#realTime ? "real-time class (round robin, 1); browsers: nice -20" : "nice -20";
  }

  /**
   * The argument list that runs `argv` in the client's or the server's namespace, before other programs of
   * the machine: a wait for the processor would look like the application's own time to think. A program
   * with `much` to compute, such as a browser, stays in the class of ordinary programs, so that it takes
   * turns with the others here.
   */
  inside(
    end: "client" | "server",
    argv: readonly string[],
    computes: "little" | "much" = "little",
  ): string[] {
    const name = end === "client" ? this.client : this.server;
    return inNamespace(
      name,
      this.#realTime && computes === "little" ? ["chrt", "-r", "1", ...argv] : [...NICE, ...argv],
    );
  }

  /** Starts `argv` in the client's or the server's namespace. */
  start(
    end: "client" | "server",
    argv: readonly string[],
    options?: StartOptions,
    computes?: "little" | "much",
  ): Running {
    return new Running(this.inside(end, argv, computes), options);
  }

  /** Waits until something listens on TCP `port` at the server's end (or, if asked, the client's). */
  async listening(
    port: number,
    milliseconds = 10_000,
    end: "client" | "server" = "server",
  ): Promise<void> {
    const deadline = performance.now() + milliseconds;
    while (performance.now() < deadline) {
      const sockets = await run(
        this.inside(end, ["ss", "-Hltn", "sport", "=", `:${port}`]),
      );
      if (sockets.trim() !== "") return;
      await sleep(50);
    }
    throw new LinkFailed(`nothing listens on port ${port} after ${milliseconds} ms`);
  }

  /** Waits until the client's end has no connection open; false if some were after `milliseconds`. */
  async quiet(milliseconds: number): Promise<boolean> {
    const deadline = performance.now() + milliseconds;
    while (performance.now() < deadline) {
      const sockets = await run(
        this.inside("client", ["ss", "-Htn", "exclude", "time-wait", "dst", "10.99.0.0/24"]),
      );
      if (sockets.trim() === "") return true;
      await sleep(100);
    }
    return false;
  }

  /**
   * Changes the link in both directions while it is up.
   *
   * @throws {LinkFailed} if it is not of the kind `tun`.
   */
  async change(link: TunLinkChange): Promise<void> {
    const took = await this.#link?.write(`${JSON.stringify(link)}\n`);
    if (took !== true) {
      throw new LinkFailed("only a link of the kind tun, while up, can be changed");
    }
  }

  /** What the link forwarded and dropped: known for a `tun` link after it was taken down. */
  get report(): TunLinkReport | undefined {
    return this.#report;
  }

  /** Ends all that runs inside, by process id, and removes the namespaces. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of [this.client, this.server]) await endAllIn(name, this.#link?.pid);
    if (this.#link !== undefined) {
      await this.#link.closeInput();
      await this.#link.ended(3000);
      const line = this.#link.output.split("\n").find((text) => text.startsWith("{"));
      if (line !== undefined) this.#report = JSON.parse(line) as TunLinkReport;
      this.#link = undefined;
    }
    for (const name of [this.client, this.server, this.#middle]) {
      if (name !== undefined) await removeNamespace(name);
    }
  }
}

/** Where the runtime keeps what it has downloaded and compiled; handed down so that it is found. */
export function denoCache(): Record<string, string> {
  const folder = Deno.env.get("DENO_DIR") ??
    (Deno.env.get("HOME") === undefined ? undefined : `${Deno.env.get("HOME")}/.cache/deno`);
  return folder === undefined ? {} : { DENO_DIR: folder };
}
