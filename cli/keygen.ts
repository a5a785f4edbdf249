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
      await appendLine(append, secret);
    } catch (cause) {
      if (cause instanceof Deno.errors.NotCapable) throw cause;
      throw new UserError(`${append}: cannot be written: ${(cause as Error).message}`, { cause });
    }
  }
  print(json ? JSON.stringify({ secret }) : secret);
}

/** Adds a line to a file, on a line of its own and without an empty one: a user's number is then the line's. */
async function appendLine(path: string, line: string): Promise<void> {
  using file = await Deno.open(path, { read: true, append: true, create: true, mode: 0o600 });
  const last = new Uint8Array(1);
  const { size } = await file.stat();
  if (size > 0) {
    await file.seek(-1, Deno.SeekMode.End);
    await file.read(last);
  }
  const text = size === 0 || last[0] === 10 ? `${line}\n` : `\n${line}\n`;
  await file.write(new TextEncoder().encode(text));
}
