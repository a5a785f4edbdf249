import { Table } from "../base/table.ts";
import {
  type CommandLine,
  commandOf,
  DEFAULT_ADDRESS,
  gatewayDown,
  type GatewayOptions,
  gatewaySettings,
  gatewayStatus,
  gatewayUp,
  planDown,
  planGateway,
  type Step,
  SystemMachine,
  undoCommandOf,
} from "../gateway/mod.ts";
import { Command } from "./command_line.ts";
import { note, print, printJson } from "./output.ts";

/** Gone after a reboot, as is what it speaks of. */
const STATE = "/run/trafficmimic-gateway";

/** `deno task gateway`: this machine as the gateway of a network of clients. */
export function command(): Command {
  const gateway = new Command("gateway").description(
    "Makes this machine the gateway of the clients behind an interface (address, forwarding, NAT, DHCP), " +
      "and puts everything back as it was. Needs root, Linux, nftables and dnsmasq. IPv4 only: the " +
      "clients' IPv6 is not forwarded.",
  ).exitOverride();
  const sub = (name: string) =>
    gateway.command(name).option("--state <dir>", "folder of the journal", STATE)
      .option("--json", "print the result as JSON");
  sub("up")
    .description("set the gateway up; a crashed one is taken back first")
    .requiredOption("--lan <if>", "interface towards the clients")
    .requiredOption("--wan <if>", "interface towards the Internet")
    .option("--address <address/prefix>", "static address on the LAN", DEFAULT_ADDRESS)
    .option("--range <first-last>", "addresses for DHCP (default: the 100th to the 200th)")
    .option("--router <address>", "router that clients are told of (default: the gateway)")
    .option("--dns <addresses>", "name servers that clients are told of, parted by commas")
    .option("--domain <name>", "domain that clients are told of", "lan")
    .option("--lease <time>", "how long a lease lasts: seconds, 45m, 12h, 7d", "12h")
    .option("--dry-run", "print what would be done, and do nothing")
    .action(up);
  sub("down")
    .description("put everything back as it was")
    .option("--dry-run", "print what would be done, and do nothing")
    .action(down);
  sub("status").description("say how the gateway is, and who has an address").action(status);
  return gateway;
}

interface Flags {
  readonly state: string;
  readonly json?: boolean;
  readonly dryRun?: boolean;
}

function words({ program, args, input }: CommandLine): string {
  const quoted = args.map((arg) => /^[\w@%+=:,./-]+$/.test(arg) ? arg : `'${arg}'`);
  const line = [program, ...quoted].join(" ");
  return input === undefined ? line : `${line} <<'END'\n${input}END`;
}

/** A step as a shell would have it. */
function script(step: Step, machine: SystemMachine): string {
  const line = words(commandOf(step, (name) => machine.path(name)));
  if (step.kind !== "dnsmasq") return line;
  return `cat > ${machine.path("dnsmasq.conf")} <<'END'\n${step.configuration}END\n${line}`;
}

async function up(flags: Flags & GatewayOptions): Promise<void> {
  const settings = gatewaySettings(flags);
  const machine = new SystemMachine(flags.state);
  if (flags.dryRun) {
    const { state } = await gatewayStatus(machine);
    if (state !== "down") {
      const undo = (await planDown(machine)).map((step) => words(undoCommandOf(step, machine)));
      if (flags.json) return printJson({ state, undo });
      for (const line of undo) print(line);
      note(`a gateway is there (${state}): the above would be taken back first if it is not whole`);
      return;
    }
    const plan = await planGateway(machine, settings);
    if (flags.json) {
      return printJson({
        settings,
        steps: plan.steps,
        commands: plan.steps.map((step) => script(step, machine)),
        notes: plan.notes,
      });
    }
    for (const step of plan.steps) print(script(step, machine));
    for (const line of plan.notes) note(`note: ${line}`);
    return;
  }
  const result = await gatewayUp(machine, settings);
  if (flags.json) return printJson({ settings, ...result });
  for (const line of result.notes) note(`note: ${line}`);
  print(
    `${result.result}: ${settings.address} on ${settings.lan}, to ${settings.wan}, ` +
      `DHCP ${settings.rangeStart} to ${settings.rangeEnd}`,
  );
}

async function down(flags: Flags): Promise<void> {
  const machine = new SystemMachine(flags.state);
  if (flags.dryRun) {
    const commands = (await planDown(machine)).map((step) => words(undoCommandOf(step, machine)));
    if (flags.json) return printJson({ commands });
    for (const line of commands) print(line);
    return;
  }
  const result = await gatewayDown(machine);
  if (flags.json) return printJson(result);
  print(`${result.result}: ${result.steps.length} changes taken back`);
}

const WHAT: Record<Step["kind"], (step: Step) => string> = {
  link: () => "interface set up",
  address: (step) => step.kind === "address" ? `address ${step.address}` : "",
  forwarding: (step) => step.kind === "forwarding" ? `forwarding on ${step.device}` : "",
  nft: () => "NAT and filter (nftables)",
  dnsmasq: () => "DHCP (dnsmasq)",
};

async function status(flags: Flags): Promise<void> {
  const found = await gatewayStatus(new SystemMachine(flags.state));
  if (flags.json) return printJson(found);
  const { state, settings, steps, leases } = found;
  print(settings === undefined ? state : `${state}: ${settings.lan} to ${settings.wan}`);
  if (steps.length > 0) {
    const table = new Table({ head: ["change", "in force"] });
    for (const { step, inForce } of steps) {
      table.push([WHAT[step.kind](step), inForce ? "yes" : "no"]);
    }
    print(table.toString());
  }
  if (leases.length > 0) {
    const table = new Table({ head: ["client", "hardware address", "name", "lease ends"] });
    for (const { address, hardware, name, ends } of leases) {
      const until = ends === undefined ? "never" : new Date(ends).toISOString();
      table.push([address, hardware, name ?? "", until]);
    }
    print(table.toString());
  }
  if (state === "crashed" || state === "broken") {
    note(`the gateway is ${state}: gateway up mends it, gateway down puts everything back`);
  }
}
