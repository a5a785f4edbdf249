import { UserError } from "../base/mod.ts";
import { Command, CommanderError } from "./command_line.ts";
import { note } from "./output.ts";
import { PROTOCOL_OPTION, withProtocolPlugins } from "./protocol_plugins.ts";

/** Name of each command, what it does, and how to load it. */
export type Commands = Record<
  string,
  {
    readonly summary: string;
    readonly load: () => Promise<{ command: () => Command }>;
    /** Whether it has to do with protocols, and shows the option that adds one. */
    readonly protocols?: boolean;
  }
>;

function overview(program: string, commands: Commands): Command {
  const all = new Command(program).description(
    "TrafficMimic: carries real data inside cover traffic that behaves like a real protocol.",
  ).usage("COMMAND [options]");
  for (const [name, { summary }] of Object.entries(commands)) {
    all.addCommand(new Command(name).description(summary));
  }
  return all;
}

/** Runs one of `commands`, which people start as `program COMMAND`; returns the process's exit code. */
export async function runCommand(
  program: string,
  commands: Commands,
  args: readonly string[],
): Promise<number> {
  const [name, ...rest] = args;
  const entry = name === undefined || !Object.hasOwn(commands, name) ? undefined : commands[name];
  try {
    if (entry === undefined) {
      const all = overview(program, commands).exitOverride();
      if (name === undefined || name === "--help" || name === "help") {
        all.outputHelp();
        return name === undefined ? 2 : 0;
      }
      note(`error: unknown command ${JSON.stringify(name)}: try --help`);
      return 2;
    }
    const own = await withProtocolPlugins(rest);
    const command = (await entry.load()).command().name(`${program} ${name}`);
    if (entry.protocols === true) {
      // Taken out above, before the command asked which protocols there are; here for its help.
      command.option(
        `${PROTOCOL_OPTION} <path>`,
        "a module that adds a protocol; it runs with all rights of this command; repeatable",
      );
    }
    command.exitOverride().configureOutput({ outputError: (text, write) => write(text) });
    await command.parseAsync(own, { from: "user" });
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
