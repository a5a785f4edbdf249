/**
 * Sends every probe to a genuine nginx and to our servers (native with that nginx as decoy, fronted by an nginx,
 * native with the built-in decoy) and prints who answers otherwise.
 *
 * ```sh
 * deno run -A bench/probe_table.ts [--json]
 * ```
 *
 * @module
 */
import { Table } from "../base/table.ts";
import { print } from "../cli/output.ts";
import { differences, type Outcome, type Probe } from "./probes.ts";
import { startProbeWorld } from "./probe_world.ts";

const PATIENCE = 2;
/** Times that each probe meets the genuine server, for its own spread. */
const TIMES = 4;
/** Probes under way at once. */
const AT_ONCE = 4;

await using world = await startProbeWorld(PATIENCE);

interface Row {
  readonly probe: string;
  readonly real: Outcome;
  readonly ours: Readonly<Record<string, string[]>>;
}

async function row(probe: Probe): Promise<Row> {
  const send = (port: number) => probe.send(port, PATIENCE * 1000);
  const seen: Outcome[] = [];
  for (let i = 0; i < TIMES; i++) seen.push(await send(world.real.port));
  const ours: Record<string, string[]> = {};
  for (const [name, port] of world.ours) {
    ours[name] = differences(seen, await send(port));
  }
  return { probe: probe.name, real: seen[0]!, ours };
}

const waiting = [...world.probes.entries()];
const rows: Row[] = [];
await Promise.all(Array.from({ length: AT_ONCE }, async () => {
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    rows[next[0]] = await row(next[1]);
  }
}));

if (Deno.args.includes("--json")) print(JSON.stringify(rows, null, 1));
else {
  const names = [...world.ours.keys()];
  const table = new Table({
    head: ["probe", "nginx", ...names],
    colWidths: [40, 34, ...names.map(() => 40)],
    wordWrap: true,
    style: { head: [], border: [] },
  });
  for (const { ours, probe, real } of rows) {
    const answer = real.answer.split("\r\n")[0]!.slice(0, 60) || "nothing";
    table.push([
      probe,
      `${answer}; ${real.end} after ${Math.round(real.after)} ms`,
      ...names.map((name) => ours[name]!.length === 0 ? "the same" : ours[name]!.join("; ")),
    ]);
  }
  print(table.toString());
  for (const name of names) {
    const same = rows.filter(({ ours }) => ours[name]!.length === 0).length;
    print(`${name}: ${same} of ${rows.length} as nginx`);
  }
}
Deno.exit();
