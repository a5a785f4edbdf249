import {
  ConstantRate,
  type ConstantRateContent,
  type CoverModel,
  loadModel,
  SEED_CONSTANT_RATE,
} from "../models/mod.ts";

/**
 * The numbers of constant rate by its name, as in `constant-rate:28`: the seed's messages, as often as makes so many
 * kbit/s each way. Undefined for any other name.
 *
 * @example
 * ```ts
 * import { constantRateNamed } from "./constant_rates.ts";
 * if (constantRateNamed("constant-rate:28")?.period !== 1448 * 8 / 28) throw new Error("another rate");
 * if (constantRateNamed("https") !== undefined) throw new Error("not constant");
 * ```
 */
export function constantRateNamed(name: string): ConstantRateContent | undefined {
  const rate = /^constant-rate:(\d+)$/.exec(name)?.[1];
  if (rate === undefined) return undefined;
  return { ...SEED_CONSTANT_RATE, period: SEED_CONSTANT_RATE.size * 8 / Number(rate) };
}

/**
 * The model of this name or path, or constant rate at some kbit/s.
 *
 * @throws {ModelFileError} where there is none.
 */
export async function modelNamed(name: string): Promise<CoverModel> {
  const constant = constantRateNamed(name);
  return constant === undefined ? await loadModel(name) : new ConstantRate(constant);
}
