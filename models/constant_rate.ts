import * as v from "valibot";
import type {
  ConnectionPlan,
  CoverModel,
  EpisodePlan,
  ModelDescription,
  ModelRequest,
  SessionPlan,
} from "./cover_model.ts";
import { MODEL_VERSION, type ModelFile, serialiseModel } from "./model_file.ts";
import { timeSchema } from "./quantile_table.ts";
import type { Random } from "./random.ts";
import { sizeSchema } from "./records.ts";

/** The numbers of a constant-rate model. */
export interface ConstantRateContent {
  /** Bytes on the wire of each message, both ways. */
  readonly size: number;
  /** Milliseconds from one request to the next. */
  readonly period: number;
  /** Exchanges in each connection. */
  readonly exchanges: number;
}

/** Validates the content of a model file of kind `constant-rate`. */
export const constantRateSchema: v.GenericSchema<unknown, ConstantRateContent> = v.strictObject({
  size: sizeSchema,
  period: v.pipe(timeSchema, v.minValue(1)),
  exchanges: v.pipe(v.number(), v.safeInteger(), v.minValue(1), v.maxValue(10_000)),
});

/** The seed's: a full-size packet every 500 ms, ten exchanges a connection. */
export const SEED_CONSTANT_RATE: ConstantRateContent = { size: 1448, period: 500, exchanges: 10 };

const SEED_DESCRIPTION = {
  name: "constant-rate",
  kind: "constant-rate",
  protocol: "constant-rate",
  carrier: "tls",
} as const;

/** The model file of a constant-rate model: nothing in it was learned. */
export function constantRateFile(content: ConstantRateContent = SEED_CONSTANT_RATE): ModelFile {
  return { schema: "trafficmimic-model", version: MODEL_VERSION, ...SEED_DESCRIPTION, content };
}

/**
 * Constant-rate cover, the seed's baseline (its Evaluation section): the client sends 1448 bytes on the
 * wire every 500 ms, the server echoes each at once with the same size, and after ten exchanges the
 * connection closes and a new one takes its place.
 *
 * The period runs from request to request: each request's `lead` is all that the server was planned to
 * send before it, so that it waits for its own predecessor and never for an echo. The next connection
 * starts exchanges x period after this one started, so that the period also holds from one connection to
 * the next; the client closes as soon as the last echo has come. Nothing is drawn: every connection is
 * alike.
 *
 * @example
 * ```ts
 * import { ConstantRate } from "./constant_rate.ts";
 * const { exchanges } = new ConstantRate().connection();
 * if (exchanges.length !== 10 || exchanges[1]!.request.time !== 500) throw new Error("not the seed's");
 * ```
 */
export class ConstantRate implements CoverModel {
  /** What it is. */
  readonly description: ModelDescription;
  readonly #plan: ConnectionPlan;
  readonly #gap: number;

  /** The seed's numbers, or others; `description` comes from the model file it was read from. */
  constructor(content: ConstantRateContent = SEED_CONSTANT_RATE, description?: ModelDescription) {
    this.description = description ?? {
      ...SEED_DESCRIPTION,
      digest: serialiseModel(constantRateFile(content)).digest,
    };
    const exchanges: ModelRequest[] = [];
    for (let i = 0; i < content.exchanges; i++) {
      exchanges.push({
        request: {
          type: "data",
          size: content.size,
          time: i === 0 ? 0 : content.period,
          lead: i * content.size,
        },
        response: [{ type: "data", size: content.size, time: 0, lead: 0 }],
      });
    }
    this.#plan = { exchanges, close: { by: "client", how: "fin", time: 0 } };
    this.#gap = content.exchanges * content.period;
  }

  /** No session layer. */
  session(): SessionPlan | undefined {
    return undefined;
  }

  /** No episode layer. */
  episode(): EpisodePlan | undefined {
    return undefined;
  }

  /** The period times the exchanges of a connection. */
  connectionGap(_random?: Random): number {
    return this.#gap;
  }

  /** Always the same plan. */
  connection(_random?: Random): ConnectionPlan {
    return this.#plan;
  }
}
