/**
 * Sends every probe to a genuine server and to ours, and prints who answers otherwise: nginx and the carrier `tls`
 * (native with that nginx as decoy, fronted by an nginx, native with the built-in decoy), Postfix and the carrier
 * `smtp`, sshd and the carrier `ssh`.
 *
 * ```sh
 * deno task probe [--carrier tls|smtp|ssh] [--json | --markdown] [--only TEXT]
 * ```
 *
 * @module
 */
import { Table } from "../base/table.ts";
import { UsageError } from "../base/mod.ts";
import { Command, Option } from "../cli/command_line.ts";
import { note, print } from "../cli/output.ts";
import { runCommand } from "../cli/run.ts";
import { differences, type Outcome, type Probe } from "./probes.ts";
import { type ProbeWorld, startProbeWorld } from "./probe_world.ts";
import { startSmtpProbeWorld } from "./probe_world_smtp.ts";
import { startSshProbeWorld } from "./probe_world_ssh.ts";

/** Seconds that genuine servers wait for a silent peer, where they can be told to. */
const PATIENCE = 4;
const WORLDS = {
  tls: () => startProbeWorld(PATIENCE),
  smtp: () => startSmtpProbeWorld(PATIENCE),
  ssh: () => startSshProbeWorld(),
};
/** Times that each probe meets the genuine server, for its own spread. */
const TIMES = 4;
/** Times that it meets ours: what differs each time differs. */
const TRIES = 3;
/** Probes under way at once. */
const AT_ONCE = 6;
/** Milliseconds after which the command ends, whatever has been seen by then. */
const BOUND = 15 * 60_000;

interface Row {
  readonly probe: string;
  readonly real: Outcome;
  readonly ours: Readonly<Record<string, string[]>>;
}

async function row(world: ProbeWorld, probe: Probe): Promise<Row> {
  const send = (port: number) => probe.send(port, world.patience * 1000);
  const seen: Outcome[] = [];
  if (probe.once) {
    const [real, ...others] = await Promise.all(
      [world.real.port, ...world.ours.values()].map(send),
    );
    const ours = [...world.ours.keys()].map((name, i) => [name, differences([real!], others[i]!)]);
    return { probe: probe.name, real: real!, ours: Object.fromEntries(ours) };
  }
  for (let i = 0; i < TIMES; i++) seen.push(await send(world.real.port));
  const ours: Record<string, string[]> = {};
  for (const [name, port] of world.ours) {
    for (let i = 0; i < TRIES && ours[name]?.length !== 0; i++) {
      const found = differences(seen, await send(port));
      if (ours[name] === undefined || found.length < ours[name].length) ours[name] = found;
    }
  }
  return { probe: probe.name, real: seen[0]!, ours };
}

interface Options {
  readonly carrier: keyof typeof WORLDS;
  readonly only?: string;
  readonly markdown?: boolean;
  readonly json?: boolean;
}

async function run({ carrier, json, markdown, only = "" }: Options): Promise<void> {
  await using world = await WORLDS[carrier]();
  const chosen = world.probes.filter(({ name }) => name.includes(only));
  if (chosen.length === 0) {
    const names = world.probes.map(({ name }) => JSON.stringify(name)).join(", ");
    throw new UsageError(`--only ${JSON.stringify(only)}: no probe has this in its name: ${names}`);
  }
  // The long ones first, for the others fit beside them.
  const waiting = [...chosen.entries()].sort(([, a], [, b]) => Number(b.once) - Number(a.once));
  const rows: Row[] = [];
  const bound = setTimeout(() => {
    note(`after ${BOUND / 60_000} minutes: ${waiting.length} probes were not sent`);
    waiting.length = 0;
  }, BOUND);
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      rows[next[0]] = await row(world, next[1]);
    }
  }));
  clearTimeout(bound);

  const names = [...world.ours.keys()];
  const summary = names.map((name) => {
    const same = rows.filter(({ ours }) => ours[name]!.length === 0).length;
    return `${name}: ${same} of ${rows.length} as ${world.genuine}`;
  });
  const line = world.told === "first" ? 0 : -1;
  const said = ({ answer, after, end }: Outcome) => {
    const text = answer.split(/\r?\n/).filter((text) => text !== "").at(line) ?? "nothing";
    return `${text.slice(0, 60).replaceAll("|", "\\|")}; ${end} after ${
      (after / 1000).toFixed(1)
    } s`;
  };

  if (json) print(JSON.stringify(rows, null, 1));
  else if (markdown) {
    const line = (cells: string[]) => `| ${cells.join(" | ")} |`;
    print(line(["probe", world.genuine, ...names]));
    print(line(["---", "---", ...names.map(() => "---")]));
    for (const { ours, probe, real } of rows) {
      const cells = names.map((name) => {
        const found = ours[name]!;
        // Where the answer differs, so do its records.
        const told = found.filter((text, _, all) =>
          !(text.startsWith("records") && all[0]!.startsWith("answers"))
        );
        return told.length === 0
          ? "same"
          : told.map((text) => text.replace(/ for .*/, "")).join("; ");
      });
      print(line([probe, said(real), ...cells]));
    }
    print(summary.join("\n"));
  } else {
    const table = new Table({
      head: ["probe", world.genuine, ...names],
      colWidths: [40, 34, ...names.map(() => 40)],
      wordWrap: true,
      style: { head: [], border: [] },
    });
    for (const { ours, probe, real } of rows) {
      const cells = names.map((name) =>
        ours[name]!.length === 0 ? "the same" : ours[name]!.join("; ")
      );
      table.push([probe, said(real), ...cells]);
    }
    print(table.toString());
    print(summary.join("\n"));
  }
}

/** `deno task probe`. */
function command(): Command {
  return new Command("deno task probe")
    .description(
      "Sends probes to a genuine server and to ours on loopback, and says who answers otherwise. " +
        "Needs openssl and nginx, Postfix (root) or OpenSSH; takes some minutes.",
    )
    .addOption(
      new Option("--carrier <name>", "tls: nginx; smtp: Postfix; ssh: sshd")
        .choices(["tls", "smtp", "ssh"])
        .default("tls"),
    )
    .option("--only <text>", "only the probes whose name has this in it")
    .option("--markdown", "print the table as Markdown")
    .option("--json", "print everything as JSON")
    .action(run);
}

if (import.meta.main) {
  const probe = { summary: "probe", load: () => Promise.resolve({ command }) };
  Deno.exit(await runCommand("deno task", { probe }, ["probe", ...Deno.args]));
}
