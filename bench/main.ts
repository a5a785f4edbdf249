/**
 * Runs benchmarks and prints their tables: `deno task bench [NAME...]`. What they found last, and on what machine,
 * is in README.md beside this.
 *
 * @module
 */
import { UsageError } from "../base/mod.ts";
import { Table } from "../base/table.ts";
import { Command } from "../cli/command_line.ts";
import { note, print, printJson } from "../cli/output.ts";
import { runCommand } from "../cli/run.ts";
import type { Benchmark, ResultTable } from "./benchmark.ts";
import { load } from "./support/processor.ts";

/** Every benchmark: a new one is one line here. */
const BENCHMARKS: ReadonlyMap<string, () => Promise<{ readonly benchmark: Benchmark }>> = new Map([
  ["bulk", () => import("./bulk.ts")],
  ["goodput", () => import("./goodput.ts")],
  ["leak", () => import("./leak.ts")],
  ["leak-busy", () => import("./leak_busy.ts")],
  ["capacity", () => import("./capacity.ts")],
  ["lateness", () => import("./lateness.ts")],
  ["shaped", () => import("./shaped.ts")],
]);

interface Options {
  readonly quick?: boolean;
  readonly seed: string;
  readonly json?: boolean;
}

function draw({ head, rows, title }: ResultTable): string {
  const table = new Table({
    head: [...head],
    colAligns: head.map((_, i) => i === 0 ? "left" : "right"),
    style: { head: [], border: [] },
  });
  for (const row of rows) table.push([...row]);
  return `${title}\n${table.toString()}`;
}

async function run(names: string[], { json, quick, seed }: Options): Promise<void> {
  const chosen = names.length === 0 ? [...BENCHMARKS.keys()] : names;
  for (const name of chosen) {
    if (!BENCHMARKS.has(name)) {
      throw new UsageError(
        `no such benchmark: ${name}: choose ${[...BENCHMARKS.keys()].join(", ")}`,
      );
    }
  }
  const found: Record<string, unknown> = {};
  for (const name of chosen) {
    const { benchmark } = await BENCHMARKS.get(name)!();
    const before = await load();
    const { data, notes = [], tables } = await benchmark.run({
      quick: quick ?? false,
      seed,
      note: (text) => note(`${name}: ${text}`),
    });
    const loads = `Load of the machine before and after: ${before}; ${await load()}.`;
    found[name] = { data, notes, loads };
    if (json) continue;
    for (const table of tables) print(draw(table));
    for (const text of [...notes, loads]) print(text);
    print("");
  }
  if (json) printJson(found);
}

/** `deno task bench`. */
function command(): Command {
  return new Command("deno task bench")
    .usage("[NAME...] [options]")
    .description(
      "Measures, and prints tables. Without names: every benchmark, one after the other. Carriers have commands of their own, which start the genuine programs: deno task probe, and as root deno task lab:wire, bench/tls_records.ts and bench/fingerprints.ts.",
    )
    .argument("[name...]", `which: ${[...BENCHMARKS.keys()].join(", ")}`)
    .option("--quick", "less of everything: to see that it works, not to be quoted")
    .option("--seed <text>", "seed of what is drawn", "bench")
    .option("--json", "print the results as JSON")
    .action(run);
}

if (import.meta.main) {
  const bench = { summary: "measure", load: () => Promise.resolve({ command }) };
  Deno.exit(await runCommand("deno task", { bench }, ["bench", ...Deno.args]));
}
