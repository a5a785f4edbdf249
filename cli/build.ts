import { Command } from "./command_line.ts";
import { build } from "../packaging/build.ts";
import { INSTALLED } from "./installed.ts";
import { print } from "./output.ts";

/** `deno task build`: a copy to install. */
export function command(): Command {
  return new Command("deno task build")
    .description(
      "Makes a copy that installs and runs without this folder, a home, a network or a cache: bundles, models, a launcher with the permissions of each command, units and examples. `sh DIR/install.sh` installs it.",
    )
    .requiredOption("--out <folder>", "the folder to make; an earlier build is replaced")
    .option("--with-deno", "put this Deno into it, so that none is needed on PATH")
    .action(run);
}

async function run({ out, withDeno }: { out: string; withDeno?: boolean }): Promise<void> {
  await build({ out, commands: Object.keys(INSTALLED), withDeno: withDeno ?? false });
  print(`built: install it with  sh ${out}/install.sh  (default prefix: /usr/local)`);
}
