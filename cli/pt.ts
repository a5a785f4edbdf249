import { Command, repeated } from "./command_line.ts";
import { UserError } from "../base/mod.ts";
import { giveMemoryBack } from "../transports/mimic/freed_memory.ts";
import type { MimicClient } from "../transports/mimic/pt_client.ts";
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
      repeated,
    )
    .option("--unsafe-logging", "log the addresses of clients and bridges")
    .action(run);
}

/** The texts of model files, by the models' own names. */
async function modelsIn(files: readonly string[]): Promise<Map<string, string>> {
  const texts = new Map<string, string>();
  if (files.length === 0) return texts;
  const { loadModel, loadModelText } = await import("../models/mod.ts");
  for (const file of files) {
    const { name } = (await loadModel(file)).description;
    if (texts.has(name)) throw new UserError(`--model ${file}: another file holds ${name}, too`);
    texts.set(name, await loadModelText(file));
  }
  return texts;
}

async function run(options: Options): Promise<void> {
  const unsafeLogging = options.unsafeLogging ?? false;
  const models = await modelsIn(options.model ?? []);
  let client: Promise<MimicClient> | undefined;
  giveMemoryBack();
  const code = await runPluggableTransport({
    implementation: { name: "trafficmimic", version: "0.1.0" },
    client: {
      // Tor waits for the method; what plays the cover is loaded when tor wants a connection.
      mimic: async (connection) => {
        client ??= import("../transports/mimic/pt_client.ts")
          .then(({ mimicClient }) => mimicClient({ models }));
        await (await client).handler(connection);
      },
    },
    server: {
      mimic: {
        start: async (context) => {
          const { mimicServer } = await import("../transports/mimic/pt_server.ts");
          return await mimicServer({ unsafeLogging }).start(context);
        },
      },
    },
    unsafeLogging,
  });
  await (await client)?.close();
  Deno.exit(code);
}
