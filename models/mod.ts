/**
 * Cover models: what a model is, the kinds that ship, model files, and plans drawn from them.
 *
 * @module
 */
export { BadPlanError } from "./bad_plan.ts";
export { Bulk, type BulkContent, bulkFile, hidesNothing } from "./bulk.ts";
export {
  type ConditionalContent,
  ConditionalModel,
  type ConnectionRow,
  type ExchangeRow,
  type MessageRow,
} from "./conditional.ts";
export {
  ConstantRate,
  type ConstantRateContent,
  constantRateFile,
  SEED_CONSTANT_RATE,
} from "./constant_rate.ts";
export * from "./cover_model.ts";
export { LayeredModel } from "./layered_model.ts";
export { drawConnectionGap, drawEpisode, drawPause, drawSession, type Layers } from "./layers.ts";
export {
  MODEL_VERSION,
  type ModelFile,
  ModelFileError,
  MOST_MODEL_BYTES,
  parseModelFile,
  type Provenance,
  serialiseModel,
} from "./model_file.ts";
export * from "./plans.ts";
export * from "./plans_ahead.ts";
export {
  drawFrom,
  type LinearTable,
  linearTable,
  type StepTable,
  stepTable,
} from "./quantile_table.ts";
export * from "./random.ts";
export { LEAST_SIZE, type RecordPattern } from "./records.ts";
export {
  BUILTIN_MODELS,
  builtinModel,
  loadModel,
  loadModelText,
  modelFromFile,
} from "./registry.ts";
export { type CloseTable, type StructuralContent, StructuralModel } from "./structural.ts";
