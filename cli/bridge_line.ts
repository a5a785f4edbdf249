import { Command, InvalidArgumentError } from "./command_line.ts";
import { UsageError } from "../base/mod.ts";
import { parseAddress } from "../transports/doors/mod.ts";
import { readLines } from "../transports/mimic/mod.ts";
import { print } from "./output.ts";

interface Options {
  readonly state: string;
  readonly advertise?: string;
  readonly user?: number;
  readonly json?: boolean;
}

/** `deno task bridge-line`: what users need, from a server's state. */
export function command(): Command {
  return new Command("deno task bridge-line")
    .description(
      "Prints the lines of a server's users again, in the order of STATE/secrets. Starts nothing; the server must have been started with this state once.",
    )
    .option("--state <folder>", "the server's state folder", "trafficmimic-server")
    .option("--advertise <host:port>", "another address in the lines")
    .option("--user <n>", "only the line of the secret on line N of STATE/secrets", userOf)
    .option("--json", "print them as a JSON array")
    .action(run);
}

function userOf(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("a whole number from 1");
}

async function run({ state, advertise, user, json }: Options): Promise<void> {
  const address = advertise === undefined ? undefined : parseAddress(advertise, "--advertise");
  const lines = (await readLines(state, address)).map((line, index) => ({ user: index + 1, line }));
  const wanted = lines.filter((one) => user === undefined || one.user === user);
  if (wanted.length === 0) {
    throw new UsageError(`--user ${user}: ${state}/secrets has ${lines.length}`);
  }
  if (json) print(JSON.stringify(wanted));
  else for (const { line } of wanted) print(line);
}
