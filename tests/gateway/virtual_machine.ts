import type { Machine, Outcome, Program } from "../../gateway/mod.ts";

/** Thrown by a {@linkcode VirtualMachine} at the moment of a crash. */
export class Crash extends Error {}

/** What a {@linkcode VirtualMachine} is. */
export interface VirtualState {
  /** Interfaces by name. */
  links: Record<string, { up: boolean; addresses: string[]; forwarding: string }>;
  /** nftables tables. */
  tables: string[];
  /** Configuration files of the dnsmasq processes that run. */
  dnsmasq: string[];
}

const done = (output = ""): Outcome => ({ code: 0, output, errors: "" });
const failed = (errors: string): Outcome => ({ code: 1, output: "", errors });

/** A machine in memory, which can be told to crash before or after any of its changes. */
export class VirtualMachine implements Machine {
  readonly files = new Map<string, string>();
  /** Changes (commands and writes) until the crash. */
  fuse = Infinity;
  boot = "first";

  constructor(readonly state: VirtualState) {}

  /** Counts a change; a crash comes just before it, or just after it. */
  #change<T>(make: () => T): T {
    if (--this.fuse === 0) throw new Crash();
    const result = make();
    if (--this.fuse === 0) throw new Crash();
    return result;
  }

  run(program: Program, args: readonly string[], input = ""): Promise<Outcome> {
    return Promise.resolve(this.#run(program, args, input));
  }

  #run(program: Program, args: readonly string[], input: string): Outcome {
    const { links, tables, dnsmasq } = this.state;
    const line = `${program} ${args.join(" ")}`;
    const device = () => links[args[args.indexOf("dev") + 1]!];
    if (line === "ip -json addr show") {
      return done(JSON.stringify(
        Object.entries(links).map(([ifname, { up, addresses }]) => ({
          ifname,
          flags: up ? ["UP"] : [],
          addr_info: addresses.map((text) => ({
            family: "inet",
            local: text.split("/")[0],
            prefixlen: Number(text.split("/")[1]),
          })),
        })),
      ));
    }
    if (line === "ip -json -4 route show") return done("[]");
    if (line.startsWith("ip link set dev ")) {
      return this.#change(() => {
        device()!.up = args.at(-1) === "up";
        return done();
      });
    }
    if (line.startsWith("ip addr add ")) {
      return this.#change(() => {
        if (device()!.addresses.includes(args[2]!)) return failed("RTNETLINK: File exists");
        device()!.addresses.push(args[2]!);
        return done();
      });
    }
    if (line.startsWith("ip addr del ")) {
      return this.#change(() => {
        const at = device()!.addresses.indexOf(args[2]!);
        if (at < 0) return failed("RTNETLINK: Cannot assign requested address");
        device()!.addresses.splice(at, 1);
        return done();
      });
    }
    if (line === "sysctl -n kernel.random.boot_id") return done(`${this.boot}\n`);
    const key = /net\/ipv4\/conf\/(.+)\/forwarding(?:=([01]))?$/.exec(line);
    if (key !== null) {
      const link = links[key[1]!];
      if (link === undefined) return failed("No such file or directory");
      if (key[2] === undefined) return done(`${link.forwarding}\n`);
      return this.#change(() => {
        link.forwarding = key[2]!;
        return done();
      });
    }
    if (line === "nft list tables") return done(tables.map((name) => `table ${name}\n`).join(""));
    if (line === "nft -j list chains") return done('{"nftables":[]}');
    if (line === "nft -f -") {
      return this.#change(() => {
        tables.push(/^table (.*) \{/.exec(input)![1]!);
        return done();
      });
    }
    if (line.startsWith("nft delete table ")) {
      return this.#change(() => {
        const at = tables.indexOf(args.slice(2).join(" "));
        if (at < 0) return failed("No such file or directory");
        tables.splice(at, 1);
        return done();
      });
    }
    if (program === "dnsmasq") {
      return this.#change(() => {
        const name = args[0]!.replace("--conf-file=", "");
        if (!this.files.has(name.slice(1))) return failed("cannot read the configuration");
        this.files.set("dnsmasq.pid", "1\n");
        dnsmasq.push(`dnsmasq ${args[0]}`);
        return done();
      });
    }
    const ours = () => dnsmasq.findIndex((command) => new RegExp(args.at(-1)!).test(command));
    if (program === "pgrep") return ours() < 0 ? failed("") : done("1\n");
    if (program === "pkill") {
      return this.#change(() => {
        if (ours() < 0) return failed("");
        dnsmasq.splice(ours(), 1);
        return done();
      });
    }
    throw new Error(`an unexpected command: ${line}`);
  }

  read(name: string): Promise<string | undefined> {
    return Promise.resolve(this.files.get(name));
  }

  // deno-lint-ignore require-await -- a crash is a rejection
  async write(name: string, text: string): Promise<void> {
    this.#change(() => this.files.set(name, text));
  }

  // deno-lint-ignore require-await -- a crash is a rejection
  async remove(name: string): Promise<void> {
    this.#change(() => this.files.delete(name));
  }

  exclusively<T>(work: () => Promise<T>): Promise<T> {
    return work();
  }

  path(name: string): string {
    return `/${name}`;
  }

  sleep(): Promise<void> {
    return Promise.resolve();
  }
}
