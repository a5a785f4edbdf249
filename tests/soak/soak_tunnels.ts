/**
 * Fifty tunnels for twenty minutes over a link that loses, delays and slows down, while their cover
 * connections are killed. Not a part of the tests: `deno task soak:tunnels --help` (root).
 *
 * @module
 */
import { Command, InvalidArgumentError } from "../../cli/command_line.ts";
import { note, printJson } from "../../cli/output.ts";
import { runCommand } from "../../cli/run.ts";
import { writeFileAtomically } from "../../base/mod.ts";
import { demand } from "../../lab/needs.ts";
import { soak } from "./soak.ts";

interface Options {
  readonly tunnels: number;
  readonly minutes: number;
  readonly perProcess: number;
  readonly killEvery: number;
  readonly loss: number;
  readonly grace: number;
  readonly nice: number;
  readonly environment: Readonly<Record<string, string>>;
  readonly seed: string;
  readonly out?: string;
}

const positive = (text: string) => {
  const number = Number(text);
  if (number > 0 && Number.isFinite(number)) return number;
  throw new InvalidArgumentError("a number above 0");
};

const variable = (text: string, before: Readonly<Record<string, string>>) => {
  const [, name, value] = /^(\w+)=(.*)$/.exec(text) ?? [];
  if (name === undefined) throw new InvalidArgumentError("NAME=VALUE");
  return { ...before, [name]: value! };
};

function command(): Command {
  return new Command("deno task soak:tunnels")
    .description(
      "Carries compared streams through many tunnels while connections are killed and the link changes. Root; everything happens in two network namespaces. Prints JSON.",
    )
    .option("--tunnels <n>", "tunnels, each of a user of its own", positive, 50)
    .option("--minutes <n>", "minutes in which streams begin", positive, 20)
    .option("--per-process <n>", "tunnels of one client process", positive, 10)
    .option("--kill-every <seconds>", "mean time between two kills", positive, 2)
    .option("--loss <share>", "share of packets lost", Number, 0.02)
    .option("--grace <seconds>", "time for the last streams to end", positive, 240)
    .option("--nice <n>", "how the server's session ranks on a busy machine", Number, 0)
    .option(
      "--environment <name=value>",
      "a variable of the nodes' environment, such as MALLOC_ARENA_MAX=2; may be given again",
      variable,
      {},
    )
    .option("--seed <text>", "decides what happens when", "soak")
    .option("--out <file>", "write the JSON here as well")
    .action(async (options: Options) => {
      await demand(["ssh", "smtp"], ["nft", "ip", "ss"]);
      const abort = new AbortController();
      for (const signal of ["SIGINT", "SIGTERM"] as const) {
        Deno.addSignalListener(signal, () => abort.abort());
      }
      const report = await soak({
        ...options,
        seconds: 60 * options.minutes,
        carriers: ["smtp", "ssh"],
        onProgress: note,
        signal: abort.signal,
      });
      if (options.out !== undefined) {
        await writeFileAtomically(options.out, `${JSON.stringify(report, null, 2)}\n`);
      }
      printJson(report);
      if (report.streams.failed > 0) Deno.exitCode = 1;
    });
}

if (import.meta.main) {
  const soaking = { summary: "soak", load: () => Promise.resolve({ command }) };
  const code = await runCommand("deno task", { soak: soaking }, ["soak", ...Deno.args]);
  Deno.exit(code || Deno.exitCode);
}
