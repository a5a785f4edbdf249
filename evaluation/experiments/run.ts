import { createHash } from "node:crypto";
import { UserError } from "../../base/mod.ts";
import type { EvaluationResult } from "../../report/evaluation_result.ts";
import { loadModel } from "../../models/mod.ts";
import { assemble } from "./assemble.ts";
import { type EvaluationPlan, planJobs } from "./plan.ts";
import { runJobs } from "./pool.ts";

/** Results of another version are not taken for this one's: to be raised with every change that changes figures. */
export const EVALUATION_VERSION = 8;

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

/** Every text in plain data: paths of captures and names of models are among them. */
export function namesIn(data: unknown): Set<string> {
  if (typeof data === "string") return new Set([data]);
  if (typeof data !== "object" || data === null) return new Set();
  return Object.values(data).reduce((all: Set<string>, one) => all.union(namesIn(one)), new Set());
}

/**
 * The SHA-256 of a file, in hexadecimal.
 *
 * @throws {UserError} if it cannot be read.
 */
export async function digestOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  try {
    const file = await Deno.open(path);
    for await (const chunk of file.readable) hash.update(chunk);
  } catch (cause) {
    const why = cause instanceof Deno.errors.NotFound ? "there is no such file" : "cannot be read";
    throw new UserError(`${path}: ${why}`, { cause });
  }
  return hash.digest("hex");
}

/**
 * Runs the whole evaluation in workers; what was finished before, with the same inputs, is not done again.
 *
 * @throws {JobFailed} for the first experiment that fails.
 */
export async function runEvaluation(options: EvaluationOptions): Promise<EvaluationResult> {
  const { moreReal = [], users = [] } = options;
  const captures = [options.real, moreReal, options.learned, options.recorded, users].flat()
    .flatMap((labelled) => labelled.captures.map(String));
  const digests = new Map<string, string>();
  for (const path of new Set([...captures, ...options.tls ?? []])) {
    digests.set(path, await digestOf(path));
  }
  for (
    const model of [
      ...options.models.map(({ model }) => model),
      ...users.map(({ label }) => label),
    ]
  ) {
    digests.set(model, (await loadModel(model)).description.digest);
  }
  const planned = planJobs(options);
  const results = await runJobs({
    jobs: planned.jobs,
    folder: options.folder,
    inputs: ({ args }) => ({
      version: EVALUATION_VERSION,
      read: Object.fromEntries(
        [...namesIn(args)].filter((name) => digests.has(name)).sort().map((
          name,
        ) => [name, digests.get(name)]),
      ),
    }),
    workers: options.workers,
    ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
  });
  return assemble(options, planned, results, options.madeAt);
}
