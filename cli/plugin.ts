import { UsageError, UserError } from "../base/mod.ts";
import {
  type Conformance,
  conformance,
  LIMIT_NAMES,
  limitsOf,
  writeTemplate,
} from "../plugins/mod.ts";
import { Command } from "./command_line.ts";
import { print, printJson } from "./output.ts";

/** A plugin that does not do what it must. */
class NotConforming extends UserError {
  constructor({ checks, specifier }: Conformance) {
    const wrong = checks.filter((check) => check.wrong !== undefined).length;
    super(`${specifier}: ${wrong} of ${checks.length} checks failed`);
  }
}

const collect = (value: string, before: string[] = []) => [...before, value];

/** `deno task plugin`: makes plugins from templates, and tests them. */
export function command(): Command {
  const all = new Command("deno task plugin")
    .description("Makes plugins from templates that work, and tests whether a plugin conforms.");
  all.command("new")
    .description("Writes a new plugin with its test into a folder of its own.")
    .argument("<kind>", "attack or model")
    .argument("<name>", "its name: lower-case letters, digits and -")
    .option("--out <folder>", "the folder to make (default: ./NAME)")
    .option("--json", "print one JSON object")
    .action(async (kind: string, name: string, options: { out?: string; json?: boolean }) => {
      if (kind !== "attack" && kind !== "model") {
        throw new UsageError(`plugin new ${kind}: give attack or model`);
      }
      const folder = options.out ?? `./${name}`;
      const files = await writeTemplate(kind, name, folder);
      if (options.json === true) return printJson({ kind, name, folder, files });
      const path = `${folder}/${files[0]}`;
      print(`${folder}: ${files.join(", ")}`);
      print(`its own test:  deno test ${folder}`);
      print(`conformance:   deno task plugin test ${path}`);
      print(
        kind === "attack"
          ? `use it:        deno task attack --plugin ${path}`
          : `use it:        deno task client:plugin LINE --model ${path}`,
      );
    });
  all.command("test")
    .description(
      "Runs the conformance kit that our own plugins pass as well; fails if a check does.",
    )
    .argument("<plugin>", "a path, a specifier, a model file, or the name of one of our own")
    .option("--integrity <sha256-digest>", "refuse a plugin whose source has another digest")
    .option("--limit <name=value>", `what it may use: ${LIMIT_NAMES}; repeatable`, collect)
    .option("--json", "print one JSON object")
    .action(
      async (
        specifier: string,
        options: { integrity?: string; limit?: string[]; json?: boolean },
      ) => {
        const result = await conformance(specifier, {
          ...(options.integrity === undefined ? {} : { integrity: options.integrity }),
          ...(options.limit === undefined ? {} : { limits: limitsOf(options.limit) }),
        });
        if (options.json === true) printJson(result);
        else {
          print(`${result.kind} ${result.name ?? specifier}`);
          if (result.sha256 !== undefined) print(`source sha256-${result.sha256}`);
          for (const { name, wrong } of result.checks) {
            print(wrong === undefined ? `ok      ${name}` : `FAILED  ${name}: ${wrong}`);
          }
        }
        if (result.checks.some(({ wrong }) => wrong !== undefined)) throw new NotConforming(result);
      },
    );
  return all;
}
