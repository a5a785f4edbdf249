import { UsageError, UserError, writeFileAtomically } from "../base/mod.ts";

/** What kinds of plugin there are templates of. */
export type TemplateKind = "attack" | "model";

/** Files of a new plugin: names and contents. */
export type TemplateFiles = Readonly<Record<string, string>>;

const NAME = /^[a-z][a-z0-9-]{0,39}$/;

/** The folder is there already. */
export class FolderTaken extends UserError {
  /** `folder` is its path. */
  constructor(readonly folder: string) {
    super(`${folder}: is there already: nothing was changed; give another folder with --out`);
  }
}

async function textOf(path: string): Promise<string> {
  return await Deno.readTextFile(new URL(path, import.meta.url));
}

/** A module's text without its imports, and without examples that only run beside it. */
function alone(text: string): string {
  return text.replaceAll(/^import [^;]*;\n+/gm, "")
    .replaceAll(/ \*\n \* @example\n(?: \*.*\n)*?(?= \*\/)/g, "");
}

/** The contract as a text that imports nothing. */
async function contractOf(kind: TemplateKind): Promise<string> {
  const head = "// The contract, from TrafficMimic. Types only: nothing of it runs.\n\n";
  if (kind === "attack") return head + alone(await textOf("./attack.ts"));
  const random = /\/\*\*[^/]*\*\/\nexport interface Random \{[\s\S]*?\n\}\n/.exec(
    await textOf("../models/random.ts"),
  )![0];
  const plans = alone(await textOf("../models/cover_model.ts"));
  return `${head}${random}\n${plans}\n${alone(await textOf("./model.ts"))}`;
}

/**
 * The files of a new plugin named `name`: the module, its test, and the contract as types. They need
 * nothing else of ours: `deno test` runs in any folder.
 *
 * @throws {UsageError} for a name that is not lower-case letters, digits and `-`.
 *
 * @example
 * ```ts
 * import { templateOf } from "./templates.ts";
 * const files = await templateOf("model", "busy-office");
 * if (!("busy_office.ts" in files && "busy_office_test.ts" in files)) throw new Error("no files");
 * ```
 */
export async function templateOf(kind: TemplateKind, name: string): Promise<TemplateFiles> {
  if (!NAME.test(name)) {
    throw new UsageError(`${name}: a plugin's name is lower-case letters, digits and -`);
  }
  const file = name.replaceAll("-", "_");
  const named = (text: string) =>
    text.replaceAll(`my-${kind}`, name).replaceAll(`./${kind}.ts`, `./${file}.ts`);
  return {
    [`${file}.ts`]: named(await textOf(`./templates/${kind}.ts`)),
    [`${file}_test.ts`]: named(await textOf(`./templates/${kind}_proof.ts`)),
    "contract.ts": await contractOf(kind),
  };
}

/**
 * Writes a new plugin into `folder`, which must not exist.
 *
 * @throws {FolderTaken} if it does.
 */
export async function writeTemplate(
  kind: TemplateKind,
  name: string,
  folder: string,
): Promise<string[]> {
  const files = await templateOf(kind, name);
  try {
    await Deno.mkdir(folder);
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) throw new FolderTaken(folder);
    if (error instanceof Deno.errors.NotFound) {
      throw new UserError(`${folder}: the folder that it should lie in does not exist`);
    }
    throw error;
  }
  for (const [file, text] of Object.entries(files)) {
    await writeFileAtomically(`${folder}/${file}`, text);
  }
  return Object.keys(files);
}
