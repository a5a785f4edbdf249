import { loadModel } from "../../models/mod.ts";
import type { EvaluationResult } from "../../report/evaluation_result.ts";
import type { Job } from "../experiments/jobs.ts";
import { runJobs } from "../experiments/pool.ts";
import { digestOf, EVALUATION_VERSION, namesIn } from "../experiments/run.ts";
import { type ContentPlan, planContent } from "./plan.ts";
import { contentSection } from "./section.ts";

/** How {@linkcode runContent} runs. */
export interface ContentOptions extends ContentPlan {
  /** Folder of finished results. */
  readonly folder: string;
  /** Workers. */
  readonly workers: number;
  /** Whether it is the smaller one. */
  readonly quick: boolean;
  /** When it is, as ISO 8601: it stands in the report. */
  readonly madeAt: string;
  /** Jobs done so far, of how many, the last one's name, and how many were there before. */
  readonly onProgress?: (done: number, total: number, last: string, before: number) => void;
}

/**
 * Asks about content alone: the same experiments as in the whole evaluation, kept by the same digests.
 *
 * @throws {JobFailed} for the first experiment that fails.
 */
export async function runContent(options: ContentOptions): Promise<EvaluationResult> {
  const { folder, learned, madeAt, models, onProgress, quick, real, seed, tls, workers } = options;
  const jobs: Job[] = [];
  const planned = planContent(options, (job) => jobs.push(job) - 1);
  const digests = new Map<string, string>();
  const captures = [...real, ...learned].flatMap((one) => one.captures.map(String));
  for (const path of new Set([...captures, ...tls])) digests.set(path, await digestOf(path));
  for (const model of models) digests.set(model, (await loadModel(model)).description.digest);
  const results = await runJobs({
    jobs,
    folder,
    inputs: ({ args }) => ({
      version: EVALUATION_VERSION,
      read: Object.fromEntries(
        [...namesIn(args)].filter((name) => digests.has(name)).sort()
          .map((name) => [name, digests.get(name)]),
      ),
    }),
    workers,
    ...(onProgress === undefined ? {} : { onProgress }),
  });
  return {
    title: "TrafficMimic: what content shows",
    madeAt,
    seed: String(seed),
    quick,
    sections: [contentSection(planned, results)],
    method: [{
      title: "Splits",
      text:
        "A run is a tunnel with a seed of its own (of bare traffic: draws of its own). No run is split: what is judged comes from another run than what was learned. Real TLS connections are parted by recording.",
    }, {
      title: "Simulated",
      text:
        "Users, links and both ends of the tunnel are simulated: the same engine, plans and sizes as on sockets; times are a model's, without the jitter of a machine. Real are the connections that false accusations are counted on, and the sizes of handshakes and packets.",
    }],
  };
}
