import { createHash } from "node:crypto";
import type { EvaluationResult } from "../../report/evaluation_result.ts";
import { loadModel } from "../../models/mod.ts";
import { assemble } from "./assemble.ts";
import { type EvaluationPlan, planJobs } from "./plan.ts";
import { runJobs } from "./pool.ts";

/** Results of another version are not taken for this one's: to be raised with every change that changes figures. */
export const EVALUATION_VERSION = 1;

/** How {@linkcode runEvaluation} runs. */
export interface EvaluationOptions extends EvaluationPlan {
  /** Folder of finished results. */
  readonly folder: string;
  /** Workers. */
  readonly workers: number;
  /** When it is, as ISO 8601: it stands in the report. */
  readonly madeAt: string;
  /** Jobs done so far, of how many, the last one's name, and how many were there before. */
  readonly onProgress?: (done: number, total: number, last: string, before: number) => void;
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  const file = await Deno.open(path);
  for await (const chunk of file.readable) hash.update(chunk);
  return hash.digest("hex");
}

/**
 * Runs the whole evaluation in workers; what was finished before, with the same inputs, is not done again.
 *
 * @throws {JobFailed} for the first experiment that fails.
 */
export async function runEvaluation(options: EvaluationOptions): Promise<EvaluationResult> {
  const captures = [options.real, options.learned, options.recorded].flat()
    .flatMap((labelled) => labelled.captures.map(String));
  const digests: string[] = [];
  for (const path of [...new Set(captures)].sort()) digests.push(`${path} ${await digestOf(path)}`);
  const models: string[] = [];
  for (const { model } of options.models) models.push((await loadModel(model)).description.digest);
  const planned = planJobs(options);
  const results = await runJobs({
    jobs: planned.jobs,
    folder: options.folder,
    inputs: {
      version: EVALUATION_VERSION,
      captures: createHash("sha256").update(digests.join("\n")).digest("hex"),
      models: createHash("sha256").update(models.join("\n")).digest("hex"),
    },
    workers: options.workers,
    ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
  });
  return assemble(options, planned, results, options.madeAt);
}
