import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { UserError } from "../base/mod.ts";
import { thirdPartyNotices } from "./notices.ts";

const root = fileURLToPath(new URL("../", import.meta.url));

/** The bundles of a build, and the modules they are made of. */
const BUNDLES: Readonly<Record<string, string>> = {
  "main.js": "cli/installed.ts",
  // Started by their URLs, so each is a file of its own beside the main one.
  "blocking_worker.js": "plugins/host/blocking_worker.ts",
  "built_in_worker.js": "plugins/built_in_worker.ts",
  "forest_worker.js": "plugins/attacks/forest_worker.ts",
  "model_worker.js": "models/model_worker.ts",
  "runner.js": "plugins/host/runner.ts",
};

/** A build that failed. */
export class BuildError extends UserError {}

/** How to build. */
export interface BuildOptions {
  /** The folder to make; it must not exist, be empty, or hold an earlier build. */
  readonly out: string;
  /** Names of the commands that are installed. */
  readonly commands: readonly string[];
  /** Also copy the Deno that runs this, so that none is needed on PATH. */
  readonly withDeno?: boolean;
}

async function bundle(module: string, file: string): Promise<void> {
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["bundle", "--quiet", "--minify", "--platform", "deno", "--output", file, module],
    cwd: root,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  if (success) return;
  const said = new TextDecoder().decode(stderr).trim().split("\n").at(0) ?? "";
  throw new BuildError(`${module} was not bundled: ${said}`);
}

/**
 * The launcher's `case` lines: each command with the permissions of its task, and what the task tells V8.
 *
 * @example
 * ```ts
 * import { launcherCases } from "./build.ts";
 * const cases = launcherCases({ keygen: "deno run --no-prompt --allow-write cli/main.ts keygen" });
 * if (!cases.includes('keygen) set -- --allow-write "$main" "$@" ;;')) throw new Error(cases);
 * ```
 */
export function launcherCases(tasks: Readonly<Record<string, string>>): string {
  return Object.entries(tasks).map(([name, task]) => {
    const own = "$(deno eval 'console.log(Deno.execPath())')";
    const runs = task.includes(own);
    const command = /(?:^|&& )(deno run --no-prompt .*)$/.exec(task)?.[1] ?? "";
    const flags = command.replaceAll(own, "@DENO@").split(" ")
      .filter((word) => /^--(allow-|v8-flags=)/.test(word));
    if (!flags.some((flag) => flag.startsWith("--allow-"))) {
      throw new BuildError(`deno.json: the task ${name} does not state its permissions`);
    }
    // What tor tells a transport says what it has to reach: less than its task can know.
    const narrowed = name.split(":")[0] === "pt";
    const words = flags.map((flag) => {
      const what = narrowed && /^--allow-(ffi|net|read|write)\b/.exec(flag)?.[1];
      if (what === "ffi" || what === "net") return `"$${what}"`;
      if (what) return `"--allow-${what}=$${what}"`;
      return flag.replace(/^(.*)@DENO@$/, '"$1$deno"');
    });
    const line = `${narrowed ? 'narrow "$@"; ' : ""}set -- ${words.join(" ")} "$main" "$@"`;
    // Deno may be started through a link or a script: what it calls itself is what it may run.
    return runs
      ? `  ${name}) cache= && deno=$("$deno" eval --no-config 'console.log(Deno.execPath())') && ${line} ;;`
      : `  ${name}) ${line} ;;`;
  }).join("\n");
}

async function copyFolder(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    if (isDirectory) await copyFolder(join(from, name), join(to, name));
    else await Deno.copyFile(join(from, name), join(to, name));
  }
}

/** Whether a folder may be replaced: it is not there, empty, or an earlier build. */
async function replaceable(folder: string): Promise<boolean> {
  try {
    const names = [...Deno.readDirSync(folder)].map(({ name }) => name);
    return names.length === 0 ||
      await Deno.stat(join(folder, "lib/trafficmimic/main.js")).then(() => true, () => false);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return true;
    throw new BuildError(`${folder}: cannot be used: ${(error as Error).message}`);
  }
}

/**
 * Makes a copy of the product that installs and runs without this folder, laid out as below a prefix:
 * `bin/trafficmimic` (the launcher), `lib/trafficmimic` (bundles, models), `share/trafficmimic` (units,
 * examples, licence and those of bundled packages), and `install.sh`. Written under another name first, so that it is whole or not
 * there.
 *
 * @throws {BuildError} if it cannot be made.
 */
export async function build({ out, commands, withDeno }: BuildOptions): Promise<void> {
  if (!await replaceable(out)) {
    throw new BuildError(`${out}: not empty, and not an earlier build: choose another with --out`);
  }
  const { tasks } = JSON.parse(await Deno.readTextFile(join(root, "deno.json")));
  const permissions = Object.fromEntries(commands.map((name) => [name, tasks[name] ?? ""]));
  const partial = `${out.replace(/\/+$/, "")}.partial`;
  try {
    await Deno.remove(partial, { recursive: true }).catch(() => {});
    const [lib, share] = [join(partial, "lib/trafficmimic"), join(partial, "share/trafficmimic")];
    for (const folder of [lib, share, join(partial, "bin")]) {
      await Deno.mkdir(folder, { recursive: true });
    }
    for (const [file, module] of Object.entries(BUNDLES)) await bundle(module, join(lib, file));
    await copyFolder(join(root, "models/learned"), join(lib, "learned"));
    if (withDeno) await Deno.copyFile(Deno.execPath(), join(lib, "deno"));
    const launcher = await Deno.readTextFile(join(root, "packaging/trafficmimic.sh"));
    const file = join(partial, "bin/trafficmimic");
    await Deno.writeTextFile(file, launcher.replace("@CASES@", () => launcherCases(permissions)));
    await Deno.chmod(file, 0o755);
    await copyFolder(join(root, "packaging/systemd"), join(share, "systemd"));
    await copyFolder(join(root, "packaging/tor"), join(share, "tor"));
    await copyFolder(join(root, "packaging/apparmor"), join(share, "apparmor"));
    await Deno.copyFile(join(root, "LICENSE"), join(share, "LICENSE"));
    await Deno.writeTextFile(
      join(share, "THIRD-PARTY-NOTICES"),
      await thirdPartyNotices(root, Object.values(BUNDLES), withDeno),
    );
    await Deno.copyFile(join(root, "packaging/install.sh"), join(partial, "install.sh"));
    await Deno.chmod(join(partial, "install.sh"), 0o755);
    await Deno.remove(out, { recursive: true }).catch(() => {});
    await Deno.mkdir(dirname(out), { recursive: true });
    await Deno.rename(partial, out);
  } catch (cause) {
    await Deno.remove(partial, { recursive: true }).catch(() => {});
    if (cause instanceof UserError || cause instanceof Deno.errors.NotCapable) throw cause;
    throw new BuildError(`${out}: cannot be made: ${(cause as Error).message}`, { cause });
  }
}
