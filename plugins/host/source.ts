import { createHash } from "node:crypto";
import { PluginError } from "./errors.ts";

/** A plugin's source: one module without imports, pinned by its digest. */
export interface PluginSource {
  /** The specifier it was asked for by. */
  readonly specifier: string;
  /** JavaScript, every import but `node:` ones bundled in. */
  readonly code: Uint8Array<ArrayBuffer>;
  /** Lower-case hexadecimal SHA-256 of {@linkcode PluginSource.code}. */
  readonly sha256: string;
}

/** How a plugin is asked for: what sort of specifier it is. */
export type SpecifierKind = "name" | "path" | "file" | "https" | "npm" | "jsr";

/**
 * Tells what sort of specifier `specifier` is. A word without `/`, `\` and a file ending is a name.
 *
 * @throws {PluginError} for a scheme that plugins cannot come by. Plain `http:` counts as `https` on
 * loopback only.
 */
export function specifierKind(specifier: string): SpecifierKind {
  const scheme = /^([a-z][a-z0-9+.-]+):/i.exec(specifier)?.[1]?.toLowerCase();
  switch (scheme) {
    case undefined:
      return /[/\\]|\.[cm]?[jt]sx?$/.test(specifier) ? "path" : "name";
    case "file":
    case "npm":
    case "jsr":
      return scheme;
    case "https":
      return "https";
    case "http": {
      const host = URL.parse(specifier)?.hostname;
      if (host === "127.0.0.1" || host === "localhost" || host === "[::1]") return "https";
      throw new PluginError(
        specifier,
        "not-found",
        "plain http is not safe to load code by: use https:",
      );
    }
    default:
      throw new PluginError(
        specifier,
        "not-found",
        `cannot be loaded by ${scheme}: (give a name, a path, or file:, https:, npm: or jsr:)`,
      );
  }
}

/** What may be asked of {@linkcode bundlePlugin}. */
export interface BundleOptions {
  /** `sha256-` and the digest in hexadecimal or base64: any other source is refused. */
  readonly integrity?: string;
  /** Milliseconds that resolving and bundling may take; 60,000 unless told. */
  readonly deadline?: number;
}

/**
 * Resolves a plugin with the host's own rights (its network, its npm cache), bundles it into one module
 * and pins that by SHA-256. No code of the plugin runs here. Needs leave to run this Deno.
 *
 * The digest is that of the bundle: it holds for one version of Deno and of everything imported.
 *
 * @throws {PluginError} if it is not there, does not parse, or is not what `integrity` says.
 */
export async function bundlePlugin(
  specifier: string,
  options: BundleOptions = {},
): Promise<PluginSource> {
  const kind = specifierKind(specifier);
  if (kind === "name") {
    throw new PluginError(specifier, "not-found", "is not a path: write ./NAME.ts for a file");
  }
  const place = await entryOf(specifier, kind);
  const args: string[] = [];
  if (place.host !== undefined) args.push(`--allow-import=${place.host}`);
  if (place.folder === undefined) args.push("--no-config");
  args.push(place.entry);
  const code = await bundleModule(specifier, args, place.folder, options.deadline);
  const digest = createHash("sha256").update(code).digest();
  const sha256 = digest.toString("hex");
  if (options.integrity !== undefined) {
    const wanted = /^sha256-(.+)$/.exec(options.integrity)?.[1];
    if (wanted?.toLowerCase() !== sha256 && wanted !== digest.toString("base64")) {
      throw new PluginError(
        specifier,
        "integrity",
        `its source is sha256-${sha256}, not ${options.integrity}: nothing was run`,
      );
    }
  }
  return { specifier, code, sha256 };
}

/** What to bundle, from which folder (a local one's, so that no path of the machine gets into it). */
async function entryOf(
  specifier: string,
  kind: SpecifierKind,
): Promise<{ entry: string; folder?: string; host?: string }> {
  if (kind === "https") return { entry: specifier, host: new URL(specifier).host };
  if (kind !== "path" && kind !== "file") return { entry: specifier };
  let path: string;
  try {
    path = await Deno.realPath(kind === "file" ? new URL(specifier) : specifier);
    if (!(await Deno.stat(path)).isFile) throw new Error("not a file");
  } catch (error) {
    throw new PluginError(specifier, "not-found", "there is no such file", { cause: error });
  }
  const cut = Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\"));
  return { entry: `.${path.slice(cut)}`, folder: path.slice(0, cut) || "/" };
}

/** Runs `deno bundle` with `args` in `cwd` and returns the module it made. */
export async function bundleModule(
  specifier: string,
  args: readonly string[],
  cwd?: string,
  deadline = 60_000,
): Promise<Uint8Array<ArrayBuffer>> {
  const child = startDeno(specifier, {
    args: ["bundle", "--quiet", "--no-lock", "--platform", "deno", ...args],
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    ...(cwd === undefined ? {} : { cwd }),
  });
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, deadline);
  try {
    const { success, stdout, stderr } = await child.output();
    if (success) return stdout;
    if (late) {
      throw new PluginError(specifier, "not-bundled", `not resolved within ${deadline} ms`);
    }
    throw new PluginError(specifier, "not-bundled", `cannot be loaded: ${reason(stderr)}`);
  } finally {
    clearTimeout(timer);
  }
}

function startDeno(specifier: string, options: Deno.CommandOptions): Deno.ChildProcess {
  try {
    return new Deno.Command(Deno.execPath(), options).spawn();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotCapable)) throw error;
    throw new PluginError(
      specifier,
      "sandbox",
      "plugins by others run in a process of their own, and this command may start none: use " +
        "deno task client:plugin for a model, deno task attack for an attack",
      { cause: error },
    );
  }
}

/** The line of the bundler's complaint that says what is wrong. */
function reason(stderr: Uint8Array): string {
  const lines = new TextDecoder().decode(stderr).split("\n").map((line) => line.trim());
  const first = lines.find((line) => /^error:/i.test(line)) ?? lines[0] ?? "";
  const at = lines.find((line) => /^at /.test(line));
  const text = first.replace(/^error:\s*/i, "")
    .replace(/^Do not know how to load path: (deno:)?(.*)/, "$2 is not to be had as a module")
    .slice(0, 250);
  return at === undefined ? text : `${text} (${at})`;
}
