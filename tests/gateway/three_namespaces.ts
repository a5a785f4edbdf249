import { fileURLToPath } from "node:url";

/** The repository's folder. */
export const root = fileURLToPath(new URL("../../", import.meta.url));

/** How a program ended. */
export interface Ended {
  readonly code: number;
  readonly output: string;
  readonly errors: string;
}

/** Runs a program to its end. */
export async function run(
  argv: readonly string[],
  env: Record<string, string> = {},
): Promise<Ended> {
  const { code, stdout, stderr } = await new Deno.Command(argv[0]!, {
    args: argv.slice(1),
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    env,
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, output: text(stdout), errors: text(stderr) };
}

async function must(argv: readonly string[]): Promise<string> {
  const { code, output, errors } = await run(argv);
  if (code !== 0) throw new Error(`${argv.join(" ")}: ${errors}`);
  return output;
}

/** Address of the host outside. */
export const OUTSIDE = "198.51.100.2";
/** The gateway's address on its WAN. */
export const WAN_ADDRESS = "198.51.100.1";

/**
 * A client, a gateway (interfaces `lan0`, `wan0`) and a host outside, each in a namespace of its own. The
 * client has no address; the host outside has no route to the LAN, so that only NAT can reach it.
 */
export class ThreeNamespaces implements AsyncDisposable {
  readonly #stem = `tmgw-${Deno.pid}-${crypto.randomUUID().slice(0, 4)}`;
  readonly #children: Deno.ChildProcess[] = [];
  readonly client = `${this.#stem}c`;
  readonly gateway = `${this.#stem}g`;
  readonly outside = `${this.#stem}o`;
  readonly folder = Deno.makeTempDirSync({ prefix: "tmgw-" });
  readonly state = `${this.folder}/state`;

  static async up(options: { lanUp?: boolean } = {}): Promise<ThreeNamespaces> {
    const three = new ThreeNamespaces();
    try {
      await three.#up(options.lanUp ?? false);
    } catch (error) {
      await three[Symbol.asyncDispose]();
      throw error;
    }
    return three;
  }

  async #up(lanUp: boolean): Promise<void> {
    const ip = (ns: string, text: string) => must(["ip", "-n", ns, ...text.split(" ")]);
    for (const name of [this.client, this.gateway, this.outside]) {
      await must(["ip", "netns", "add", name]);
      // Duplicate address detection would make two snapshots differ by their moment.
      await must(
        ["ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0"],
      );
      await ip(name, "link set lo up");
    }
    await ip(this.gateway, `link add lan0 type veth peer name eth0 netns ${this.client}`);
    await ip(this.gateway, `link add wan0 type veth peer name eth0 netns ${this.outside}`);
    await ip(this.client, "link set eth0 up");
    await ip(this.outside, "link set eth0 up");
    await ip(this.outside, `addr add ${OUTSIDE}/24 dev eth0`);
    await ip(this.gateway, "link set wan0 up");
    await ip(this.gateway, `addr add ${WAN_ADDRESS}/24 dev wan0`);
    if (lanUp) await ip(this.gateway, "link set lan0 up");
    // The kernel gives each interface its IPv6 address a moment after it is set up.
    for (let tries = 0; tries < 100; tries++) {
      const { output } = await run(["ip", "-n", this.gateway, "-o", "-6", "addr", "show"]);
      if (output.includes("wan0") && output.includes("lan0") === lanUp) break;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Runs a program in a namespace. */
  in(name: string, argv: readonly string[], env?: Record<string, string>): Promise<Ended> {
    return run(["ip", "netns", "exec", name, ...argv], env);
  }

  /** One of our commands, with the rights of its task. */
  async task(name: string, ...args: string[]): Promise<string[]> {
    const { tasks } = JSON.parse(await Deno.readTextFile(`${root}deno.json`));
    const [program, ...words] = (tasks[name] as string).split(" ");
    if (program !== "deno" || words[0] !== "run") throw new Error(`deno.json: ${name}`);
    const own = words.map((word) => word.replace(/^cli\//, `${root}cli/`));
    return [Deno.execPath(), own[0]!, "--quiet", "--cached-only", ...own.slice(1), ...args];
  }

  /** The gateway command, with the rights of its task (and no more) for this state folder. */
  command(...args: string[]): string[] {
    return [
      ...[Deno.execPath(), "run", "--quiet", "--no-prompt", "--cached-only"],
      ...[`--allow-read=${this.state}`, `--allow-write=${this.state}`],
      "--allow-run=ip,nft,sysctl,dnsmasq,pgrep,pkill",
      "--allow-env=NO_COLOR,FORCE_COLOR,CLICOLOR_FORCE",
      ...[`${root}cli/main.ts`, "gateway", ...args, "--state", this.state],
    ];
  }

  /** Runs the gateway command in the gateway's namespace. */
  run(...args: string[]): Promise<Ended> {
    return this.in(this.gateway, this.command(...args));
  }

  /** `gateway up` from lan0 to wan0. */
  up(...more: string[]): Promise<Ended> {
    return this.run("up", "--lan", "lan0", "--wan", "wan0", ...more);
  }

  /** A folder to put before others in PATH, with a script for each of `programs` around the real one. */
  async wrappers(programs: readonly string[], body: (real: string) => string): Promise<string> {
    const folder = await Deno.makeTempDir({ dir: this.folder });
    for (const program of programs) {
      const real = (await run(["which", program])).output.trim();
      await Deno.writeTextFile(`${folder}/${program}`, `#!/bin/sh\n${body(real)}`, { mode: 0o755 });
    }
    return folder;
  }

  /** `gateway up` with other programs before the real ones in PATH. */
  upAmong(folder: string, env: Record<string, string> = {}): Promise<Ended> {
    return this.in(this.gateway, [
      ...["env", `PATH=${folder}:${Deno.env.get("PATH")}`],
      ...Object.entries(env).map(([name, value]) => `${name}=${value}`),
      ...this.command("up", "--lan", "lan0", "--wan", "wan0"),
    ]);
  }

  /** Starts a program in a namespace that runs until the end; its standard output. */
  start(name: string, argv: readonly string[]): Deno.ChildProcess {
    const child = new Deno.Command("ip", {
      args: ["netns", "exec", name, ...argv],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
      env: { NO_COLOR: "1" },
    }).spawn();
    this.#children.push(child);
    return child;
  }

  /** All that the gateway's namespace is: addresses, routes, rules, kernel settings and our processes. */
  async snapshot(): Promise<string> {
    const parts: string[] = [];
    for (
      const argv of [
        ["ip", "-o", "addr"],
        ["ip", "-4", "route", "show", "table", "all"],
        ["ip", "-6", "route", "show", "table", "all"],
        ["ip", "rule"],
        ["nft", "list", "ruleset"],
        ["sysctl", "-a", "-r", "^net[.](ipv4|ipv6)[.]"],
      ]
    ) {
      parts.push((await this.in(this.gateway, argv)).output);
    }
    parts.push(String((await this.pids()).length));
    // The kernel makes one up when it is first listened with TCP, whoever does.
    return parts.join("--\n").replace(/^net.ipv4.tcp_fastopen_key = .*$/m, "");
  }

  /** Process ids in the gateway's namespace. */
  async pids(): Promise<number[]> {
    const { output } = await run(["ip", "netns", "pids", this.gateway]);
    return output.split("\n").filter((line) => line !== "").map(Number);
  }

  /** Has a real DHCP client get an address in the client's namespace; what it was told. */
  async dhcp(): Promise<Record<string, string>> {
    const script = `${this.folder}/udhcpc.sh`;
    await Deno.writeTextFile(
      script,
      `#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr replace "$ip/$mask" dev "$interface"
ip route replace default via "$router" dev "$interface"
for name in ip mask router dns domain lease; do eval "echo $name=\\$$name"; done > ${this.folder}/told
`,
      { mode: 0o755 },
    );
    const argv = ["udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "8", "-T", "1", "-s", script];
    const { code, errors } = await this.in(this.client, argv);
    if (code !== 0) throw new Error(`udhcpc: ${errors}`);
    const told = await Deno.readTextFile(`${this.folder}/told`);
    return Object.fromEntries(told.trim().split("\n").map((line) => line.split("=")));
  }

  /** Starts the server outside, and waits until it listens. */
  async serve(): Promise<void> {
    const server = this.start(this.outside, [
      ...[Deno.execPath(), "run", "--quiet", "--no-prompt", "--allow-net"],
      fileURLToPath(new URL("echo_server.ts", import.meta.url)),
    ]);
    const reader = server.stdout.getReader();
    await reader.read();
    reader.releaseLock();
  }

  /** What a fetch by the client brings; undefined if it fails. */
  async fetch(): Promise<string | undefined> {
    const argv = ["curl", "-s", "-m", "4", `http://${OUTSIDE}:8080/`];
    const { code, output } = await this.in(this.client, argv);
    return code === 0 ? output : undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of [this.client, this.gateway, this.outside]) {
      const { output } = await run(["ip", "netns", "pids", name]);
      for (const id of output.split("\n").filter((line) => line !== "")) {
        try {
          Deno.kill(Number(id), "SIGKILL");
        } catch {
          // It ended by itself.
        }
      }
    }
    for (const child of this.#children) {
      await child.stdout.cancel().catch(() => {});
      await child.status;
    }
    for (const name of [this.client, this.gateway, this.outside]) {
      await run(["ip", "netns", "del", name]);
    }
    await Deno.remove(this.folder, { recursive: true });
  }
}
