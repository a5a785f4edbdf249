/**
 * The command line. Each command is a file of its own beside this one, loaded only when asked for.
 *
 * @module
 */
import { UserError } from "../base/mod.ts";
import { Command, CommanderError } from "commander";
import { note } from "./output.ts";

/** Name of each command, what it does, and how to load it. */
const COMMANDS: Record<
  string,
  { summary: string; load: () => Promise<{ command: () => Command }> }
> = {
  "attack": {
    summary: "train an attack on real captures and let it judge cover",
    load: () => import("./attack.ts"),
  },
  "bridge-line": {
    summary: "print the lines of a server's users again",
    load: () => import("./bridge_line.ts"),
  },
  "client": {
    summary: "carry connections through a tunnel in cover traffic",
    load: () => import("./client.ts"),
  },
  "demo": {
    summary: "carry data under cover of every model, attack the recordings, write a report",
    load: () => import("./demo.ts"),
  },
  "keygen": {
    summary: "make a secret for a user",
    load: () => import("./keygen.ts"),
  },
  "lab": {
    summary: "record real programs in network namespaces (needs root)",
    load: () => import("./lab.ts"),
  },
  "learn": {
    summary: "learn models of cover traffic from captures",
    load: () => import("./learn.ts"),
  },
  "learn:samples": {
    summary: "make the shipped models again from the samples",
    load: () => import("./learn_samples.ts"),
  },
  "server": {
    summary: "serve as the far end of tunnels in cover traffic",
    load: () => import("./server.ts"),
  },
  "test:captures": {
    summary: "read a folder of foreign captures and say how it went",
    load: () => import("./test_captures.ts"),
  },
};

function overview(): Command {
  const program = new Command("deno task").description(
    "TrafficMimic: carries real data inside cover traffic that behaves like a real protocol.",
  ).usage("COMMAND [options]");
  for (const [name, { summary }] of Object.entries(COMMANDS)) {
    program.addCommand(new Command(name).description(summary));
  }
  return program;
}

/** Runs one command and returns the process's exit code. */
export async function main(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  const entry = name === undefined ? undefined : COMMANDS[name];
  try {
    if (entry === undefined) {
      const program = overview().exitOverride();
      if (name === undefined || name === "--help" || name === "help") {
        program.outputHelp();
        return name === undefined ? 2 : 0;
      }
      note(`error: unknown command ${JSON.stringify(name)}: try --help`);
      return 2;
    }
    const command = (await entry.load()).command();
    command.exitOverride().configureOutput({ outputError: (text, write) => write(text) });
    await command.parseAsync(rest, { from: "user" });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (error instanceof UserError) {
      note(`error: ${error.message}`);
      return error.exitCode;
    }
    if (error instanceof Deno.errors.NotCapable) {
      note(`error: ${error.message.split("\n")[0]}`);
      return 1;
    }
    throw error;
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
