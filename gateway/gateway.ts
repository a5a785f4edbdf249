import { UserError } from "../base/mod.ts";
import { DNSMASQ_FILES, dnsmasqConfiguration, type Lease, parseLeases } from "./dnsmasq.ts";
import { formatSubnet, overlap, parseSubnet } from "./ipv4.ts";
import { type Journal, readJournal, removeJournal, writeJournal } from "./journal.ts";
import { GatewayNeeds, type Machine } from "./machine.ts";
import { ruleset, TABLE } from "./ruleset.ts";
import type { GatewaySettings } from "./settings.ts";
import {
  dnsmasqRuns,
  hasTable,
  inForce,
  must,
  perform,
  readForwarding,
  readInterfaces,
  type Step,
  takeBack,
} from "./steps.ts";

/** The machine is not in a state in which the gateway can be set up. */
export class CannotSetUp extends UserError {}

/** What `up` did. */
export interface UpResult {
  /** `up`: set up now; `already up`: nothing was to be done; `repaired`: something of it was missing. */
  readonly result: "up" | "already up" | "repaired";
  /** The changes that make the gateway. */
  readonly steps: readonly Step[];
  /** What a person should know. */
  readonly notes: readonly string[];
}

/** What `down` did. */
export interface DownResult {
  /** `already down`: there was nothing to take back. */
  readonly result: "down" | "already down";
  /** The changes that were taken back, last first. */
  readonly steps: readonly Step[];
}

/** How the gateway is. */
export interface GatewayStatus {
  /** `crashed`: `up` or `down` was interrupted; `broken`: something of it is missing. */
  readonly state: "up" | "down" | "crashed" | "broken";
  /** What it was asked to be, unless it is down. */
  readonly settings?: GatewaySettings;
  /** Each change, and whether it is in force. */
  readonly steps: readonly { readonly step: Step; readonly inForce: boolean }[];
  /** Clients with an address. */
  readonly leases: readonly Lease[];
}

/** What has been planned. */
export interface Plan {
  /** Every change, in order, with the former values. */
  readonly steps: readonly Step[];
  /** What a person should know. */
  readonly notes: readonly string[];
}

async function bootOf(machine: Machine): Promise<string> {
  return (await must(machine, { program: "sysctl", args: ["-n", "kernel.random.boot_id"] })).trim();
}

async function refuseOverlaps(machine: Machine, settings: GatewaySettings): Promise<void> {
  const wanted = parseSubnet(settings.address, "--address");
  const complain = (what: string, device: string) => {
    throw new CannotSetUp(
      `--address ${settings.address}: ${what} on ${device} overlaps with ${
        formatSubnet(wanted)
      }: ` +
        "choose another with --address",
    );
  };
  for (const { name, addresses } of await readInterfaces(machine)) {
    for (const address of addresses) {
      if (name === settings.lan && address === settings.address) continue;
      if (overlap(wanted, parseSubnet(address, "address"))) complain(address, name);
    }
  }
  const text = await must(machine, { program: "ip", args: ["-json", "-4", "route", "show"] });
  for (const { dst, dev } of JSON.parse(text || "[]") as { dst: string; dev?: string }[]) {
    if (!/^[\d.]+(\/\d+)?$/.test(dst) || dev === settings.lan) continue;
    const route = parseSubnet(dst.includes("/") ? dst : `${dst}/32`, "route");
    // A wider one, such as a default route's half, only serves what the LAN's own does not.
    if (route.prefix >= wanted.prefix && overlap(wanted, route)) {
      complain(`the route to ${dst}`, dev ?? "?");
    }
  }
}

/** Chains of others through which nothing passes that they do not know: ours cannot overrule them. */
async function strangersThatDrop(machine: Machine): Promise<string[]> {
  interface Chain {
    family: string;
    table: string;
    name: string;
    hook?: string;
    policy?: string;
  }
  const text = await must(machine, { program: "nft", args: ["-j", "list", "chains"] });
  return (JSON.parse(text) as { nftables: { chain?: Chain }[] }).nftables
    .flatMap(({ chain }) => chain === undefined ? [] : [chain])
    .filter(({ hook, policy, table }) => hook === "forward" && policy === "drop" && table !== TABLE)
    .map(({ family, table, name }) =>
      `the chain ${name} of the table ${family} ${table} drops what it does not know: ` +
      "it must let the gateway's packets pass"
    );
}

/**
 * Looks at the machine and says what would have to be changed, with the former values. Throws
 * {@linkcode CannotSetUp} if it cannot be done.
 */
export async function planGateway(machine: Machine, settings: GatewaySettings): Promise<Plan> {
  const { lan, wan } = settings;
  const interfaces = await readInterfaces(machine);
  for (const [option, name] of [["--lan", lan], ["--wan", wan]] as const) {
    if (!interfaces.some((each) => each.name === name)) {
      const others = interfaces.map((each) => each.name).filter((each) => each !== "lo");
      throw new CannotSetUp(
        `${option} ${name}: there is no such interface (there are: ${others.join(", ") || "none"})`,
      );
    }
  }
  await refuseOverlaps(machine, settings);
  if (await hasTable(machine)) {
    throw new CannotSetUp(
      `the nftables table inet ${TABLE} is there already, and not by this state folder: ` +
        `another gateway runs, or nft delete table inet ${TABLE}`,
    );
  }
  const forwarding = {
    lan: await readForwarding(machine, lan),
    wan: await readForwarding(machine, wan),
  };
  if (forwarding.lan === undefined || forwarding.wan === undefined) {
    throw new GatewayNeeds("sysctl: net.ipv4.conf.*.forwarding cannot be read: is there no IPv4?");
  }
  const device = interfaces.find(({ name }) => name === lan)!;
  const steps: Step[] = [];
  if (!device.up) steps.push({ kind: "link", device: lan });
  if (!device.addresses.includes(settings.address)) {
    steps.push({ kind: "address", device: lan, address: settings.address });
  }
  const before = { lan: forwarding.lan === "1", wan: forwarding.wan === "1" };
  // The rules come before forwarding does: there is no moment in which more is let through.
  steps.push({ kind: "nft", rules: ruleset(settings, before) });
  for (const [device, value] of [[lan, forwarding.lan], [wan, forwarding.wan]] as const) {
    if (value !== "1") steps.push({ kind: "forwarding", device, before: value });
  }
  const path = (name: string) => machine.path(name);
  steps.push({ kind: "dnsmasq", configuration: dnsmasqConfiguration(settings, path) });
  const notes = await strangersThatDrop(machine);
  if (interfaces.find(({ name }) => name === wan)!.addresses.length === 0) {
    notes.push(`${wan} has no IPv4 address yet: nothing gets out until it has`);
  }
  return { steps, notes };
}

/** Reads the journal of this boot; what an earlier boot left is removed, for nothing of it is in force. */
async function currentJournal(machine: Machine): Promise<Journal | undefined> {
  const journal = await readJournal(machine);
  if (journal === undefined || journal.boot === await bootOf(machine)) return journal;
  for (const name of DNSMASQ_FILES) await machine.remove(name);
  await removeJournal(machine);
  return undefined;
}

async function takeAllBack(machine: Machine, journal: Journal): Promise<Step[]> {
  await writeJournal(machine, { ...journal, phase: "going down" });
  const done = journal.steps.slice(0, journal.begun).reverse();
  for (const step of done) await takeBack(machine, step);
  await removeJournal(machine);
  return done;
}

async function healthy(machine: Machine, { steps }: Journal): Promise<boolean> {
  for (const step of steps) if (!await inForce(machine, step)) return false;
  return true;
}

async function setUp(machine: Machine, settings: GatewaySettings): Promise<Plan> {
  const plan = await planGateway(machine, settings);
  const boot = await bootOf(machine);
  let journal: Journal = { boot, phase: "going up", settings, steps: plan.steps, begun: 0 };
  try {
    for (const step of plan.steps) {
      journal = { ...journal, begun: journal.begun + 1 };
      await writeJournal(machine, journal);
      await perform(machine, step);
    }
    await writeJournal(machine, { ...journal, phase: "up" });
  } catch (error) {
    await takeAllBack(machine, journal);
    throw error;
  }
  return plan;
}

/**
 * Sets the gateway up. What a crashed `up` or `down` left is taken back first; a gateway that is up already with
 * the same settings is left alone, or repaired if something of it is missing; with other settings it is an
 * error. If a change fails, those before it are taken back.
 */
export function gatewayUp(machine: Machine, settings: GatewaySettings): Promise<UpResult> {
  return machine.exclusively(async () => {
    const journal = await currentJournal(machine);
    if (journal?.phase === "up") {
      const { lan, wan, address } = journal.settings;
      if (JSON.stringify(journal.settings) !== JSON.stringify(settings)) {
        throw new CannotSetUp(
          `a gateway is up already with other settings (${lan} to ${wan}, ${address}): gateway down first`,
        );
      }
      if (await healthy(machine, journal)) {
        return { result: "already up", steps: journal.steps, notes: [] };
      }
    }
    if (journal !== undefined) await takeAllBack(machine, journal);
    const plan = await setUp(machine, settings);
    return { result: journal?.phase === "up" ? "repaired" : "up", ...plan };
  });
}

/** Takes the gateway down: everything is as it was before `up`, whether that came to its end or not. */
export function gatewayDown(machine: Machine): Promise<DownResult> {
  return machine.exclusively(async () => {
    const journal = await currentJournal(machine);
    if (journal === undefined) return { result: "already down", steps: [] };
    return { result: "down", steps: await takeAllBack(machine, journal) };
  });
}

/** What `down` would take back, last first. */
export async function planDown(machine: Machine): Promise<readonly Step[]> {
  const journal = await readJournal(machine);
  if (journal === undefined || journal.boot !== await bootOf(machine)) return [];
  return journal.steps.slice(0, journal.begun).toReversed();
}

/** Says how the gateway is; changes nothing. */
export async function gatewayStatus(machine: Machine): Promise<GatewayStatus> {
  const journal = await readJournal(machine);
  if (journal === undefined || journal.boot !== await bootOf(machine)) {
    return { state: "down", steps: [], leases: [] };
  }
  const steps = [];
  for (const step of journal.steps) steps.push({ step, inForce: await inForce(machine, step) });
  const whole = steps.every((each) => each.inForce);
  const state = journal.phase !== "up" ? "crashed" : whole ? "up" : "broken";
  const leases = await dnsmasqRuns(machine)
    ? parseLeases(await machine.read("dnsmasq.leases") ?? "")
    : [];
  return { state, settings: journal.settings, steps, leases };
}
