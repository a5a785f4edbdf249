import { UserError } from "../base/mod.ts";

/** The notices of bundled packages could not be collected. */
export class NoticesError extends UserError {}

/** Files of a package that have to go where it goes. */
const NOTICE = /^(licen[cs]e|copying|notice|copyright|copyrightnotice)(\W|$)/i;

interface Info {
  readonly modules: readonly { readonly kind: string; readonly npmPackage?: string }[];
  readonly npmPackages: Readonly<
    Record<string, { readonly name: string; readonly version: string; dependencies: string[] }>
  >;
}

async function info<T>(cwd: string, ...args: string[]): Promise<T> {
  const { success, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", ...args],
    cwd,
    stdin: "null",
    stderr: "null",
  }).output();
  if (!success) throw new NoticesError(`deno info --json ${args.join(" ")} failed`);
  return JSON.parse(new TextDecoder().decode(stdout));
}

/** The npm packages that `modules` are bundled from, with all that these depend on: `name@version`. */
export async function bundledPackages(
  root: string,
  modules: readonly string[],
): Promise<ReadonlyMap<string, { readonly name: string; readonly version: string }>> {
  const found = new Map<string, { name: string; version: string }>();
  for (const module of modules) {
    const { modules: parts, npmPackages } = await info<Info>(root, module);
    const left = parts.flatMap(({ kind, npmPackage }) =>
      kind === "npm" && npmPackage !== undefined ? [npmPackage] : []
    );
    for (let id; (id = left.pop()) !== undefined;) {
      const { name, version, dependencies } = npmPackages[id]!;
      if (found.has(`${name}@${version}`)) continue;
      found.set(`${name}@${version}`, { name, version });
      left.push(...dependencies);
    }
  }
  return found;
}

/** The licence texts of one package, from Deno's cache; what its `package.json` says where it brings none. */
async function noticeOf(folder: string, id: string): Promise<string> {
  const texts: string[] = [];
  let described: { license?: unknown; author?: unknown };
  try {
    for (const { name } of [...Deno.readDirSync(folder)].sort((a, b) => a.name < b.name ? -1 : 1)) {
      if (NOTICE.test(name)) texts.push((await Deno.readTextFile(`${folder}/${name}`)).trim());
    }
    described = JSON.parse(await Deno.readTextFile(`${folder}/package.json`));
  } catch (cause) {
    throw new NoticesError(`${id}: its licence cannot be read in ${folder}`, { cause });
  }
  const { license, author } = described;
  if (typeof license !== "string") throw new NoticesError(`${id}: package.json names no licence`);
  const by = typeof author === "string" ? author : (author as { name?: string } | undefined)?.name;
  if (texts.length === 0) texts.push(`${license}${by === undefined ? "" : `, by ${by}`}`);
  return `${RULE}\n${id} (${license})\n${RULE}\n\n${texts.join("\n\n")}\n`;
}

const RULE = "=".repeat(79);

/** Deno itself, for builds that contain it. */
const DENO = `${RULE}
Deno (MIT), lib/trafficmimic/deno; what it is made of: https://github.com/denoland/deno
${RULE}

MIT License

Copyright 2018-2026 the Deno authors

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation
the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and
to permit persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of
the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO
THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF
CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS
IN THE SOFTWARE.
`;

/**
 * The text of `THIRD-PARTY-NOTICES`: the licences of all npm packages that `modules` (paths below `root`) are
 * bundled from, and Deno's, if it goes along.
 *
 * @throws {NoticesError} if a package names no licence.
 */
export async function thirdPartyNotices(
  root: string,
  modules: readonly string[],
  withDeno = false,
): Promise<string> {
  const { npmCache } = await info<{ npmCache: string }>(root);
  const packages = [...await bundledPackages(root, modules)].sort(([a], [b]) => a < b ? -1 : 1);
  const notices = await Promise.all(
    packages.map(([id, { name, version }]) =>
      noticeOf(`${npmCache}/registry.npmjs.org/${name}/${version}`, id)
    ),
  );
  return "The programs in lib/trafficmimic contain parts of these packages.\n\n" +
    [...notices, ...(withDeno ? [DENO] : [])].join("\n");
}
