import * as v from "valibot";
import { UserError, writeFileAtomically } from "../base/mod.ts";
import { FEATURE_SETS } from "../capture/mod.ts";
import { ByteReader, ByteWriter } from "../plugins/attacks/bytes.ts";
import { CLASSIFIER_KINDS } from "./kinds.ts";
import type { ClassifierModel } from "./model.ts";

/** A file that is not a classifier's model, or is damaged. */
export class ModelFileError extends UserError {
  /** `path` is the file. */
  constructor(readonly path: string, reason: string, options?: ErrorOptions) {
    super(`${path}: ${reason}: make one with the command train`, options);
  }
}

/** The first bytes of a model file. */
const MAGIC = new TextEncoder().encode("TMCLASS\n");
/** Version of the header. */
const SCHEMA = 1;

const count = v.pipe(v.number(), v.integer(), v.minValue(0));

const Header = v.object({
  schema: v.literal(SCHEMA),
  kind: v.string(),
  features: v.string(),
  columns: v.array(v.string()),
  labels: v.pipe(v.array(v.string()), v.minLength(1)),
  ambiguity: v.boolean(),
  settings: v.object({
    burstGap: v.pipe(v.number(), v.minValue(0)),
    maxPackets: count,
    minPackets: count,
  }),
  trainedOn: v.array(v.object({ flows: count, captures: v.array(v.string()) })),
  seed: count,
});

/**
 * A model as bytes: `TMCLASS\n`, the header's length (u32), the header as JSON (what the model is, the
 * columns it expects, what it learned from), then what the classifier learned. All numbers little-endian.
 */
export function encodeModel(model: ClassifierModel): Uint8Array<ArrayBuffer> {
  const { kind, features, labels, ambiguity, settings, trainedOn, seed } = model;
  const header = new TextEncoder().encode(JSON.stringify({
    schema: SCHEMA,
    kind,
    features,
    columns: FEATURE_SETS[features]!.columns,
    labels,
    ambiguity,
    settings,
    trainedOn,
    seed,
  }));
  const writer = new ByteWriter();
  writer.raw(MAGIC);
  writer.u32(header.length);
  writer.raw(header);
  writer.raw(model.classifier.encode());
  return writer.done();
}

/**
 * Reads what {@linkcode encodeModel} wrote; `path` is for messages.
 *
 * @throws {ModelFileError} if it is not that, or of a version or with features that are not known here.
 */
export function decodeModel(bytes: Uint8Array, path: string): ClassifierModel {
  try {
    const reader = new ByteReader(bytes);
    if (!MAGIC.every((byte, i) => bytes[i] === byte)) {
      throw new ModelFileError(path, "not a classifier's model");
    }
    reader.raw(MAGIC.length);
    const text = new TextDecoder("utf-8", { fatal: true }).decode(reader.raw(reader.u32()));
    const { columns, ...header } = v.parse(Header, JSON.parse(text));
    const kind = Object.hasOwn(CLASSIFIER_KINDS, header.kind)
      ? CLASSIFIER_KINDS[header.kind]
      : undefined;
    if (kind === undefined) throw new ModelFileError(path, `no classifier ${header.kind} here`);
    const set = Object.hasOwn(FEATURE_SETS, header.features)
      ? FEATURE_SETS[header.features]
      : undefined;
    if (set === undefined || set.columns.join() !== columns.join()) {
      throw new ModelFileError(
        path,
        `its features ${header.features} are not those of this version`,
      );
    }
    const classifier = kind.decode(reader.raw(reader.left));
    return { ...header, classifier };
  } catch (error) {
    if (error instanceof ModelFileError) throw error;
    if (
      error instanceof UserError || error instanceof SyntaxError || error instanceof TypeError ||
      v.isValiError(error)
    ) {
      throw new ModelFileError(path, `a damaged model (${error.message})`, { cause: error });
    }
    throw error;
  }
}

/** Writes a model, whole or not at all. */
export async function writeModel(path: string, model: ClassifierModel): Promise<void> {
  await writeFileAtomically(path, encodeModel(model));
}

/**
 * Reads a model.
 *
 * @throws {ModelFileError} if there is none, or it is not a model.
 */
export async function readModel(path: string): Promise<ClassifierModel> {
  let bytes: Uint8Array;
  try {
    bytes = await Deno.readFile(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new ModelFileError(path, "there is no such file");
  }
  return decodeModel(bytes, path);
}
