import { Command } from "./command_line.ts";
import { UserError } from "../base/mod.ts";
import { formatSecret, newSecret } from "../transports/mimic/mod.ts";
import { print } from "./output.ts";

/** `deno task keygen`: a new user's secret. */
export function command(): Command {
  return new Command("deno task keygen")
    .description(
      "Makes a secret for a user: prints it, or adds it to a server's file of secrets (STATE/secrets).",
    )
    .option("--append <file>", "add it to this file instead (mode 0600 if it is new)")
    .option("--json", "print it within a JSON object")
    .action(run);
}

async function run({ append, json }: { append?: string; json?: boolean }): Promise<void> {
  const secret = formatSecret(newSecret());
  if (append !== undefined) {
    try {
      // The line before may lack its end; empty lines are nobody's.
      await Deno.writeTextFile(append, `\n${secret}\n`, { append: true, mode: 0o600 });
    } catch (cause) {
      if (cause instanceof Deno.errors.NotCapable) throw cause;
      throw new UserError(`${append}: cannot be written: ${(cause as Error).message}`, { cause });
    }
  }
  print(json ? JSON.stringify({ secret }) : secret);
}
