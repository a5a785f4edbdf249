/**
 * Sends every probe to a genuine nginx and to our servers (native with that nginx as decoy, fronted by an nginx,
 * native with the built-in decoy) and prints who answers otherwise.
 *
 * ```sh
 * deno task probe [--json | --markdown] [--only TEXT]
 * ```
 *
 * @module
 */
import { Table } from "../base/table.ts";
import { Command } from "../cli/command_line.ts";
import { print } from "../cli/output.ts";
import { runCommand } from "../cli/run.ts";
import { differences, type Outcome, type Probe } from "./probes.ts";
import { type ProbeWorld, startProbeWorld } from "./probe_world.ts";

const PATIENCE = 4;
/** Times that each probe meets the genuine server, for its own spread. */
const TIMES = 4;
/** Times that it meets ours: what differs each time differs. */
const TRIES = 3;
/** Probes under way at once. */
const AT_ONCE = 6;

interface Row {
  readonly probe: string;
  readonly real: Outcome;
  readonly ours: Readonly<Record<string, string[]>>;
}

async function row(world: ProbeWorld, probe: Probe): Promise<Row> {
  const send = (port: number) => probe.send(port, PATIENCE * 1000);
  const seen: Outcome[] = [];
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
  readonly only?: string;
  readonly markdown?: boolean;
  readonly json?: boolean;
}

async function run({ json, markdown, only = "" }: Options): Promise<void> {
  await using world = await startProbeWorld(PATIENCE);
  const waiting = [...world.probes.filter(({ name }) => name.includes(only)).entries()];
  const rows: Row[] = [];
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      rows[next[0]] = await row(world, next[1]);
    }
  }));

  const names = [...world.ours.keys()];
  const summary = names.map((name) => {
    const same = rows.filter(({ ours }) => ours[name]!.length === 0).length;
    return `${name}: ${same} of ${rows.length} as nginx`;
  });
  const said = ({ answer, after, end }: Outcome) =>
    `${answer.split("\r\n")[0]!.slice(0, 60) || "nothing"}; ${end} after ${
      (after / 1000).toFixed(1)
    } s`;

  if (json) print(JSON.stringify(rows, null, 1));
  else if (markdown) {
    const line = (cells: string[]) => `| ${cells.join(" | ")} |`;
    print(line(["probe", "nginx", ...names]));
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
      head: ["probe", "nginx", ...names],
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
      "Sends probes to a genuine nginx and to our servers on loopback, and says who answers otherwise. " +
        "Needs nginx and openssl; takes some minutes.",
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
