import * as v from "valibot";
import type { ConnectionPlan, CoverModel, ModelDescription } from "./cover_model.ts";
import { MODEL_VERSION, type ModelFile, serialiseModel } from "./model_file.ts";

/** The numbers of the model `bulk`: none. */
export type BulkContent = Record<string, never>;

/** Validates the content of a model file of kind `bulk`. */
export const bulkSchema: v.GenericSchema<unknown, BulkContent> = v.pipe(
  v.strictObject({}),
  v.transform((): BulkContent => ({})),
);

const BULK_DESCRIPTION = {
  name: "bulk",
  kind: "bulk",
  protocol: "bulk",
  carrier: "tls",
} as const;

/** The model file of the model `bulk`: nothing in it was learned. */
export function bulkFile(): ModelFile {
  return { schema: "trafficmimic-model", version: MODEL_VERSION, ...BULK_DESCRIPTION, content: {} };
}

/**
 * Whether a model hides nothing but the content: its connections carry user data as it comes, so that sizes,
 * times and volume are the user's own.
 */
export function hidesNothing({ kind }: Pick<ModelDescription, "kind">): boolean {
  return kind === "bulk";
}

/**
 * No cover at all: after one exchange, in which both ends prove themselves, a connection stays open and
 * carries what there is, at once, in full records, without padding. For measurement, and for users who want
 * the encryption and the hidden server only. See {@linkcode ConnectionPlan.free}.
 *
 * @example
 * ```ts
 * import { Bulk, hidesNothing } from "./bulk.ts";
 * const model = new Bulk();
 * if (!model.connection().free || !hidesNothing(model.description)) throw new Error("not free");
 * ```
 */
export class Bulk implements CoverModel {
  /** What it is. */
  readonly description: ModelDescription;

  /** `description` comes from the model file it was read from. */
  constructor(_content: BulkContent = {}, description?: ModelDescription) {
    this.description = description ?? {
      ...BULK_DESCRIPTION,
      digest: serialiseModel(bulkFile()).digest,
    };
  }

  /** No session layer. */
  session(): undefined {
    return undefined;
  }

  /** No episode layer. */
  episode(): undefined {
    return undefined;
  }

  /** The next connection takes the place of one that has ended. */
  connectionGap(): "close" {
    return "close";
  }

  /** Always the same plan. */
  connection(): ConnectionPlan {
    return {
      exchanges: [{
        request: { type: "data", size: 512, time: 0 },
        response: [{ type: "data", size: 256, time: 0 }],
      }],
      close: { by: "client", how: "fin", time: 0 },
      free: true,
    };
  }
}
