import { UserError } from "../base/mod.ts";
import * as v from "valibot";
import { canonicalText, sha256Hex } from "./canonical.ts";

/** The version of the model file's schema that this code writes and reads. */
export const MODEL_VERSION = 1;

/** The most bytes that a model file may have. */
export const MOST_MODEL_BYTES = 1_000_000;

/** A model file that cannot be used: names the file and what is wrong. */
export class ModelFileError extends UserError {
  /** `source` is the file's path or another name for the text. */
  constructor(readonly source: string, problem: string, options?: ErrorOptions) {
    super(`${source}: ${problem}`, options);
  }
}

/** Where a learned model comes from. Holds no addresses, and file names without their folders. */
export interface Provenance {
  /** Version of the learner. */
  readonly learner: string;
  /** The number given as seed: with it the same captures give the same file. */
  readonly seed: number;
  /** The captures, in the order given. */
  readonly captures: readonly {
    /** File name without folders, with whatever looks like an address taken out. */
    readonly name: string;
    /** SHA-256 of the file, lower-case hex. */
    readonly sha256: string;
    /** TCP connections in it, of any protocol. */
    readonly connections: number;
    /** Connections observed. */
    readonly used: number;
    /** Day of its first connection (UTC, `2026-11-22`). */
    readonly first: string | null;
    /** Day of its last packet. */
    readonly last: string | null;
  }[];
  /** Connections left out, by reason. */
  readonly leftOut: Readonly<Record<string, number>>;
}

const name = v.pipe(v.string(), v.regex(/^[a-z0-9][a-z0-9-]{0,63}$/));
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const date = v.pipe(v.string(), v.regex(/^\d{4}-\d{2}-\d{2}$/));

const provenanceSchema: v.GenericSchema<unknown, Provenance> = v.strictObject({
  learner: v.pipe(v.string(), v.regex(/^[0-9A-Za-z.+-]{1,32}$/)),
  seed: count,
  captures: v.array(v.strictObject({
    name: v.pipe(v.string(), v.maxLength(255), v.regex(/^[^/\\\p{C}]*$/u)),
    sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
    connections: count,
    used: count,
    first: v.nullable(date),
    last: v.nullable(date),
  })),
  leftOut: v.record(v.pipe(v.string(), v.maxLength(100)), count),
});

const fileSchema = v.strictObject({
  schema: v.literal("trafficmimic-model"),
  version: v.literal(MODEL_VERSION),
  name,
  kind: name,
  protocol: name,
  carrier: name,
  provenance: v.optional(provenanceSchema),
  content: v.looseObject({}),
});

/** What a model file holds, before its kind has looked at `content`. */
export interface ModelFile {
  /** Always `trafficmimic-model`. */
  readonly schema: "trafficmimic-model";
  /** {@linkcode MODEL_VERSION}. */
  readonly version: typeof MODEL_VERSION;
  /** The model's name, such as `https`. */
  readonly name: string;
  /** How it draws: a name in the registry of kinds. */
  readonly kind: string;
  /** The protocol that it imitates. */
  readonly protocol: string;
  /** The carrier that it fits. */
  readonly carrier: string;
  /** What it was learned from; absent where nothing was learned. */
  readonly provenance?: Provenance | undefined;
  /** The kind's own part. */
  readonly content: object;
}

/** The first thing a schema complains about, as one line: `content.pairs.n: Expected ...`. */
export function firstIssue(issues: readonly v.BaseIssue<unknown>[]): string {
  const issue = issues[0]!;
  const path = v.getDotPath(issue);
  const message = issue.message.replaceAll(/\s+/g, " ").slice(0, 160);
  return path === null ? message : `${path}: ${message}`;
}

/**
 * Reads the common part of a model file. `source` names it in errors.
 *
 * @throws ModelFileError where the text is no model file, or one of another version.
 */
export function parseModelFile(text: string, source = "model file"): ModelFile {
  if (text.length > MOST_MODEL_BYTES) {
    throw new ModelFileError(source, `longer than ${MOST_MODEL_BYTES} bytes: not a model file`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new ModelFileError(source, "not a model file: it is not JSON", { cause });
  }
  if (
    typeof value !== "object" || value === null || !("schema" in value) ||
    value.schema !== "trafficmimic-model"
  ) {
    throw new ModelFileError(
      source,
      `not a model file: "schema" is not "trafficmimic-model"; make one with deno task learn`,
    );
  }
  const version = "version" in value ? value.version : undefined;
  if (version !== MODEL_VERSION) {
    throw new ModelFileError(
      source,
      `model file version ${
        JSON.stringify(version)?.slice(0, 40) ?? "missing"
      }, this program reads version ` +
        `${MODEL_VERSION}: learn it again with deno task learn`,
    );
  }
  const parsed = v.safeParse(fileSchema, value);
  if (!parsed.success) {
    throw new ModelFileError(source, `not a valid model file: ${firstIssue(parsed.issues)}`);
  }
  return parsed.output;
}

/** The one text of a model file, and its SHA-256 as lower-case hex: the model's digest. */
export function serialiseModel(file: ModelFile): { text: string; digest: string } {
  const text = canonicalText({
    schema: file.schema,
    version: file.version,
    name: file.name,
    kind: file.kind,
    protocol: file.protocol,
    carrier: file.carrier,
    provenance: file.provenance,
    content: file.content,
  });
  return { text, digest: sha256Hex(text) };
}
