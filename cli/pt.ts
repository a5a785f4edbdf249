import { Command } from "./command_line.ts";
import { UserError } from "../base/mod.ts";
import { loadModel, loadModelText } from "../models/mod.ts";
import { mimicClient, mimicServer } from "../transports/mimic/mod.ts";
import { runPluggableTransport } from "../transports/pt/mod.ts";

interface Options {
  readonly model?: string[];
  readonly unsafeLogging?: boolean;
}

/** `deno task pt`: the pluggable transport, as tor starts it. */
export function command(): Command {
  return new Command("deno task pt")
    .description(
      "The pluggable transport `mimic`, client or server as tor's environment says. Tor starts it: `ClientTransportPlugin mimic exec ...` or `ServerTransportPlugin mimic exec ...` in torrc. Standard output belongs to tor.",
    )
    .option(
      "--model <file>",
      "clients: a model file that bridge lines may name, besides the built-in models (repeatable)",
      (value: string, before: string[] | undefined) => [...before ?? [], value],
    )
    .option("--unsafe-logging", "log the addresses of clients and bridges")
    .action(run);
}

/** The texts of model files, by the models' own names. */
async function modelsIn(files: readonly string[]): Promise<Map<string, string>> {
  const texts = new Map<string, string>();
  for (const file of files) {
    const { name } = (await loadModel(file)).description;
    if (texts.has(name)) throw new UserError(`--model ${file}: another file holds ${name}, too`);
    texts.set(name, await loadModelText(file));
  }
  return texts;
}

async function run(options: Options): Promise<void> {
  const unsafeLogging = options.unsafeLogging ?? false;
  const client = mimicClient({ models: await modelsIn(options.model ?? []) });
  const code = await runPluggableTransport({
    implementation: { name: "trafficmimic", version: "0.1.0" },
    client: { mimic: client.transport },
    server: { mimic: mimicServer({ unsafeLogging }) },
    unsafeLogging,
  });
  await client.close();
  Deno.exit(code);
}
