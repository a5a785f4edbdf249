import * as v from "valibot";
import { Bulk, bulkFile, bulkSchema } from "./bulk.ts";
import { ConditionalModel, conditionalSchema } from "./conditional.ts";
import { ConstantRate, constantRateFile, constantRateSchema } from "./constant_rate.ts";
import type { CoverModel, ModelDescription } from "./cover_model.ts";
import {
  firstIssue,
  type ModelFile,
  ModelFileError,
  MOST_MODEL_BYTES,
  parseModelFile,
  serialiseModel,
} from "./model_file.ts";
import { protocolOf } from "../protocols/mod.ts";
import { StructuralModel, structuralSchema } from "./structural.ts";

/** Makes the model of a file whose kind it is. */
type Kind = (file: ModelFile, source: string) => CoverModel;

function kind<Schema extends v.GenericSchema<unknown, object>>(
  schema: Schema,
  create: (content: v.InferOutput<Schema>, description: ModelDescription) => CoverModel,
): Kind {
  return (file, source) => {
    const parsed = v.safeParse(schema, file.content, { abortEarly: true });
    if (!parsed.success) {
      throw new ModelFileError(
        source,
        `not a valid ${file.kind} model: content.${firstIssue(parsed.issues)}`,
      );
    }
    const { name, kind, protocol, carrier } = file;
    const { digest } = serialiseModel({ ...file, content: parsed.output });
    return create(parsed.output, { name, kind, protocol, carrier, digest });
  };
}

/** The kinds of model that a model file may name. A new kind is one line here. */
const KINDS: ReadonlyMap<string, Kind> = new Map([
  ["bulk", kind(bulkSchema, (content, of) => new Bulk(content, of))],
  ["conditional", kind(conditionalSchema, (content, of) => new ConditionalModel(content, of))],
  ["constant-rate", kind(constantRateSchema, (content, of) => new ConstantRate(content, of))],
  ["structural", kind(structuralSchema, (content, of) => new StructuralModel(content, of))],
]);

/** Names of the models that ship with the product. */
export const BUILTIN_MODELS: readonly string[] = [
  "bulk",
  "constant-rate",
  "https",
  "https-structural",
  "https-users",
  "smtp",
  "smtp-structural",
  "smtp-users",
  "ssh",
  "ssh-structural",
  "ssh-users",
];

function create(file: ModelFile, source: string): CoverModel {
  const make = KINDS.get(file.kind);
  if (make === undefined) {
    throw new ModelFileError(
      source,
      `kind ${JSON.stringify(file.kind)} is unknown: this program plays ${
        [...KINDS.keys()].join(", ")
      }`,
    );
  }
  return make(file, source);
}

/**
 * Makes the model that a model file holds. `source` names the text in errors. The digest is that of the
 * file's canonical text, so that white space does not matter.
 *
 * @throws ModelFileError where the text is no model file, of another version, or of an unknown kind.
 *
 * @example
 * ```ts
 * import { modelFromFile } from "./registry.ts";
 * const model = modelFromFile(JSON.stringify({
 *   schema: "trafficmimic-model",
 *   version: 1,
 *   name: "slow",
 *   kind: "constant-rate",
 *   protocol: "constant-rate",
 *   carrier: "tls",
 *   content: { size: 1448, period: 2000, exchanges: 10 },
 * }));
 * if (model.description.name !== "slow") throw new Error("not the model of the file");
 * ```
 */
export function modelFromFile(text: string, source = "model file"): CoverModel {
  return create(parseModelFile(text, source), source);
}

/** Reads the text of a model file. Needs read access to `path`. */
async function readModelText(path: string | URL, source: string): Promise<string> {
  try {
    const { size } = await Deno.stat(path);
    if (size > MOST_MODEL_BYTES) {
      throw new ModelFileError(
        source,
        `${size} bytes: a model file has at most ${MOST_MODEL_BYTES}`,
      );
    }
    return await Deno.readTextFile(path);
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) {
      throw new ModelFileError(source, "no such model file", { cause });
    }
    if (cause instanceof Deno.errors.IsADirectory) {
      throw new ModelFileError(source, "a folder, not a model file", { cause });
    }
    throw cause;
  }
}

/**
 * The text of a model by name (one of {@linkcode BUILTIN_MODELS}) or by path, to hand to another process
 * or a worker; {@linkcode modelFromFile} makes the model of it.
 *
 * @throws ModelFileError where there is no such model or file.
 */
export async function loadModelText(nameOrPath: string): Promise<string> {
  if (nameOrPath === "bulk") return serialiseModel(bulkFile()).text;
  if (nameOrPath === "constant-rate") return serialiseModel(constantRateFile()).text;
  if (BUILTIN_MODELS.includes(nameOrPath)) {
    return await readModelText(
      new URL(`./learned/${nameOrPath}.json`, import.meta.url),
      nameOrPath,
    );
  }
  const registered = protocolOf(nameOrPath)?.model;
  if (registered !== undefined) return await readModelText(registered, nameOrPath);
  if (!/[./\\]/.test(nameOrPath)) {
    throw new ModelFileError(
      nameOrPath,
      `no such model: ${BUILTIN_MODELS.join(", ")}, or the path of a model file (./${nameOrPath})`,
    );
  }
  return await readModelText(nameOrPath, nameOrPath);
}

/**
 * Loads a model by name (one of {@linkcode BUILTIN_MODELS}) or by path. Needs read access to the file
 * or, for a name, to the package's own folder.
 *
 * @throws ModelFileError where there is no such model or file, or it is not valid.
 */
export async function loadModel(nameOrPath: string): Promise<CoverModel> {
  return modelFromFile(await loadModelText(nameOrPath), nameOrPath);
}

/** Loads one of {@linkcode BUILTIN_MODELS} by name. */
export async function builtinModel(name: string): Promise<CoverModel> {
  if (!BUILTIN_MODELS.includes(name)) {
    throw new ModelFileError(name, `no such model: choose ${BUILTIN_MODELS.join(", ")}`);
  }
  return await loadModel(name);
}
