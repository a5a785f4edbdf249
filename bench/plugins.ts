/**
 * How long a sandboxed plugin takes to start, and one plan of a model that is code, beside an empty
 * program in the same runtime: `deno run -A bench/plugins.ts`.
 *
 * @module
 */
import { SeededRandom, substream } from "../models/mod.ts";
import { bundlePlugin, loadModelPlugin, SandboxedPlugin } from "../plugins/mod.ts";

const RUNS = 31;
const template = new URL("../plugins/templates/model.ts", import.meta.url).pathname;

/** Least, median and 90th percentile, in milliseconds. */
function summary(times: number[]): string {
  times.sort((a, b) => a - b);
  const at = (share: number) => times[Math.floor(share * (times.length - 1))]!.toFixed(1);
  return `${at(0)} / ${at(0.5)} / ${at(0.9)}`;
}

async function timed(body: () => unknown): Promise<number> {
  const start = performance.now();
  await body();
  return performance.now() - start;
}

const source = await bundlePlugin(template);
// The runner is bundled once in a process.
await (await SandboxedPlugin.start(source))[Symbol.asyncDispose]();
const empty = await Deno.makeTempFile({ suffix: ".js" });
const times = { empty: [] as number[], plugin: [] as number[], bundle: [] as number[] };
for (let run = 0; run < RUNS; run++) {
  times.empty.push(
    await timed(() => new Deno.Command(Deno.execPath(), { args: ["run", empty] }).output()),
  );
  times.plugin.push(
    await timed(async () => {
      await using _plugin = await SandboxedPlugin.start(source);
    }),
  );
  if (run % 6 === 0) times.bundle.push(await timed(() => bundlePlugin(template)));
}
await Deno.remove(empty);

using model = await loadModelPlugin(template);
const key = new Uint8Array(32);
const draws: number[] = [];
for (let serial = 0; serial < 1000; serial++) {
  const random = new SeededRandom(substream(key, serial));
  draws.push(await timed(() => model.connection(random)));
}
const rows = [
  ["an empty program, start to end", summary(times.empty)],
  ["a sandboxed plugin, start to loaded to killed", summary(times.plugin)],
  ["bundling it before", summary(times.bundle)],
  ["one plan, asked for and waited for", summary(draws)],
];
const text = rows.map(([what, figures]) => `${what!.padEnd(48)}${figures} ms\n`).join("");
await Deno.stdout.write(
  new TextEncoder().encode(
    `least / median / 90th percentile; load ${Deno.loadavg()[0]!.toFixed(1)}\n${text}`,
  ),
);
