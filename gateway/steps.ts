import { UserError } from "../base/mod.ts";
import { DNSMASQ_FILES } from "./dnsmasq.ts";
import { GatewayNeeds, type Machine, type Program } from "./machine.ts";
import { TABLE } from "./ruleset.ts";

/** A program that the gateway ran failed. */
export class StepFailed extends UserError {}

/**
 * One change to the machine, with what is needed to take it back. Steps are data, so that the journal holds them:
 * a later process undoes them.
 */
export type Step =
  /** An interface that was down is set up. */
  | { readonly kind: "link"; readonly device: string }
  /** An address that the interface did not have, such as 192.168.12.1/24. */
  | { readonly kind: "address"; readonly device: string; readonly address: string }
  /** IPv4 forwarding of an interface, that was `before`. */
  | { readonly kind: "forwarding"; readonly device: string; readonly before: string }
  /** Our nftables table, which was not there. */
  | { readonly kind: "nft"; readonly rules: string }
  /** dnsmasq, with its configuration; none of ours ran. */
  | { readonly kind: "dnsmasq"; readonly configuration: string };

/** A command line. */
export interface CommandLine {
  /** What runs. */
  readonly program: Program;
  /** Its arguments. */
  readonly args: readonly string[];
  /** Its standard input. */
  readonly input?: string;
}

// With slashes: an interface's name may have dots in it, as eth0.100 does.
const forwardingKey = (device: string) => `net/ipv4/conf/${device}/forwarding`;

/** Whether an interface forwards IPv4: "0" or "1"; undefined if there is no such interface. */
export async function readForwarding(
  machine: Machine,
  device: string,
): Promise<string | undefined> {
  const { code, output } = await machine.run("sysctl", ["-n", forwardingKey(device)]);
  return code === 0 ? output.trim() : undefined;
}

/** Fails in words if a command did. */
export async function must(
  machine: Machine,
  { program, args, input }: CommandLine,
): Promise<string> {
  const { code, output, errors } = await machine.run(program, args, input);
  if (code === 0) return output;
  const said = errors.trim().split("\n")[0] || `exit code ${code}`;
  if (/not permitted|permission denied|must be root/i.test(errors)) {
    throw new GatewayNeeds(`${program}: ${said}: run it as root (it needs CAP_NET_ADMIN)`);
  }
  throw new StepFailed(`${program} ${args.join(" ")}: ${said}`);
}

/** An interface as `ip -json addr` has it. */
export interface Interface {
  /** Its name. */
  readonly name: string;
  /** Whether it is set up (not whether a cable is in it). */
  readonly up: boolean;
  /** Its IPv4 addresses with prefixes. */
  readonly addresses: readonly string[];
}

/** All interfaces of the machine. */
export async function readInterfaces(machine: Machine): Promise<Interface[]> {
  const text = await must(machine, { program: "ip", args: ["-json", "addr", "show"] });
  interface Entry {
    ifname?: string;
    flags?: string[];
    addr_info?: { family: string; local: string; prefixlen: number }[];
  }
  return (JSON.parse(text) as Entry[]).filter(({ ifname }) => ifname !== undefined).map((
    entry,
  ) => ({
    name: entry.ifname!,
    up: entry.flags?.includes("UP") ?? false,
    addresses: (entry.addr_info ?? []).filter(({ family }) => family === "inet")
      .map(({ local, prefixlen }) => `${local}/${prefixlen}`),
  }));
}

/** Whether our table is there. */
export async function hasTable(machine: Machine): Promise<boolean> {
  const text = await must(machine, { program: "nft", args: ["list", "tables"] });
  return text.split("\n").includes(`table inet ${TABLE}`);
}

/** What `pgrep -f` and `pkill -f` know our dnsmasq by: its whole command line, our own file in it. */
function dnsmasqPattern(machine: Machine): string {
  const path = machine.path("dnsmasq.conf").replaceAll(/[^A-Za-z0-9/_-]/g, "[$&]");
  return `^([^ ]*/)?dnsmasq --conf-file=${path}$`;
}

/** Whether our dnsmasq runs. */
export async function dnsmasqRuns(machine: Machine): Promise<boolean> {
  return (await machine.run("pgrep", ["-f", dnsmasqPattern(machine)])).code === 0;
}

/** The commands of a step, as they are run and as `--dry-run` prints them. */
export function commandOf(step: Step, path: Machine["path"]): CommandLine {
  switch (step.kind) {
    case "link":
      return { program: "ip", args: ["link", "set", "dev", step.device, "up"] };
    case "address":
      return {
        program: "ip",
        args: ["addr", "add", step.address, "broadcast", "+", "dev", step.device],
      };
    case "forwarding":
      return { program: "sysctl", args: ["-q", "-w", `${forwardingKey(step.device)}=1`] };
    case "nft":
      return { program: "nft", args: ["-f", "-"], input: step.rules };
    case "dnsmasq":
      return { program: "dnsmasq", args: [`--conf-file=${path("dnsmasq.conf")}`] };
  }
}

/** The command that takes a step back; the files of a dnsmasq are removed besides. */
export function undoCommandOf(step: Step, machine: Machine): CommandLine {
  switch (step.kind) {
    case "link":
      return { program: "ip", args: ["link", "set", "dev", step.device, "down"] };
    case "address":
      return { program: "ip", args: ["addr", "del", step.address, "dev", step.device] };
    case "forwarding":
      return {
        program: "sysctl",
        args: ["-q", "-w", `${forwardingKey(step.device)}=${step.before}`],
      };
    case "nft":
      return { program: "nft", args: ["delete", "table", "inet", TABLE] };
    case "dnsmasq":
      return { program: "pkill", args: ["-TERM", "-f", dnsmasqPattern(machine)] };
  }
}

/** Whether what the step does is in force now. */
export async function inForce(machine: Machine, step: Step): Promise<boolean> {
  const device = async (name: string) =>
    (await readInterfaces(machine)).find((each) => each.name === name);
  switch (step.kind) {
    case "link":
      return (await device(step.device))?.up ?? false;
    case "address":
      return (await device(step.device))?.addresses.includes(step.address) ?? false;
    case "forwarding":
      return await readForwarding(machine, step.device) === "1";
    case "nft":
      return await hasTable(machine);
    case "dnsmasq":
      return await dnsmasqRuns(machine);
  }
}

/** Makes a step's change. */
export async function perform(machine: Machine, step: Step): Promise<void> {
  if (step.kind === "dnsmasq") await machine.write("dnsmasq.conf", step.configuration);
  await must(machine, commandOf(step, (name) => machine.path(name)));
}

/**
 * Takes a step back, whether it was made, half made, not made at all or taken back before. What is gone by itself
 * (an interface that was pulled out) is no error.
 */
export async function takeBack(machine: Machine, step: Step): Promise<void> {
  if (step.kind === "forwarding") {
    const now = await readForwarding(machine, step.device);
    if (now === undefined || now === step.before) return;
  } else if (!await inForce(machine, step)) {
    if (step.kind === "dnsmasq") await removeDnsmasqFiles(machine);
    return;
  }
  if (step.kind === "dnsmasq") await endDnsmasq(machine);
  else await must(machine, undoCommandOf(step, machine));
}

async function endDnsmasq(machine: Machine): Promise<void> {
  for (const signal of ["-TERM", "-KILL"]) {
    await machine.run("pkill", [signal, "-f", dnsmasqPattern(machine)]);
    for (let tries = 0; tries < 100; tries++) {
      if (!await dnsmasqRuns(machine)) {
        await removeDnsmasqFiles(machine);
        return;
      }
      await machine.sleep(20);
    }
  }
  throw new StepFailed("dnsmasq does not end: see pgrep -af dnsmasq");
}

async function removeDnsmasqFiles(machine: Machine): Promise<void> {
  for (const name of DNSMASQ_FILES) await machine.remove(name);
}
