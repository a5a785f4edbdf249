import { createHash } from "node:crypto";
import { moduleBeside, UserError, writeFileAtomically } from "../../base/mod.ts";
import type { Job, JobKind, JobResults } from "./jobs.ts";

/** Kinds of jobs that take longest, longest first: begun last, one of them would run on alone. */
const LONG: readonly JobKind[] = [
  "content-connections",
  "content-pages",
  "content-users",
  "long-scales",
  "seed-attacks",
  "told-apart",
];

const rank = ({ kind }: Job) => LONG.includes(kind) ? LONG.indexOf(kind) : LONG.length;

/** A job failed: which, and why. */
export class JobFailed extends UserError {
  /** `job` is its name. */
  constructor(readonly job: string, reason: string) {
    super(`${job}: ${reason.split("\n")[0]}`);
  }
}

/** How {@linkcode runJobs} runs. */
export interface PoolOptions {
  /** The jobs. */
  readonly jobs: readonly Job[];
  /** Folder of finished results; a job whose result is there is not done again. */
  readonly folder: string;
  /** What a job's result depends on besides its arguments: version of the code, digests of what it reads. */
  readonly inputs: (job: Job) => unknown;
  /** Workers. */
  readonly workers: number;
  /** Jobs done so far, of how many, and which was the last; how many of them were there before. */
  readonly onProgress?: (done: number, total: number, last: string, before: number) => void;
}

/** The file that a job's result is kept in. */
export function resultFile(job: Job, inputs: unknown): string {
  const { args, kind } = job;
  const key = createHash("sha256").update(JSON.stringify({ inputs, kind, args })).digest("hex");
  return `${kind}-${key.slice(0, 24)}.json`;
}

/**
 * Does jobs in workers and keeps each result in a file of its own as soon as it is there, so that an evaluation that
 * was interrupted or killed goes on where it was. One evaluation at a time uses a folder. Returns the results in the jobs' order.
 *
 * @throws {JobFailed} for the first job that fails; what was finished before is kept.
 */
export async function runJobs(options: PoolOptions): Promise<JobResults[JobKind][]> {
  const { folder, inputs, jobs, onProgress } = options;
  await Deno.mkdir(folder, { recursive: true });
  // What a run that was killed was writing.
  for await (const { name } of Deno.readDir(folder)) {
    if (name.endsWith(".tmp")) await Deno.remove(`${folder}/${name}`);
  }
  const results: (JobResults[JobKind] | undefined)[] = [];
  const waiting: number[] = [];
  for (const [index, job] of jobs.entries()) {
    const before = await kept(`${folder}/${resultFile(job, inputs(job))}`);
    results.push(before);
    if (before === undefined) waiting.push(index);
  }
  waiting.sort((a, b) => rank(jobs[a]!) - rank(jobs[b]!));
  const before = jobs.length - waiting.length;
  let done = before;
  onProgress?.(done, jobs.length, "", before);
  let failed: unknown;
  const work = async () => {
    if (waiting.length === 0) return;
    using worker = new JobWorker();
    while (waiting.length > 0 && failed === undefined) {
      const index = waiting.shift()!;
      const job = jobs[index]!;
      try {
        const result = await worker.do(job);
        const { args, kind, name } = job;
        const read = inputs(job);
        const text = JSON.stringify({ name, kind, args, inputs: read, result }, undefined, 1);
        await writeFileAtomically(`${folder}/${resultFile(job, read)}`, `${text}\n`);
        results[index] = result;
        onProgress?.(++done, jobs.length, name, before);
      } catch (error) {
        failed ??= error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, options.workers) }, work));
  if (failed !== undefined) throw failed;
  return results as JobResults[JobKind][];
}

/** A result that was kept; undefined where there is none, or none that can be read. */
async function kept(path: string): Promise<JobResults[JobKind] | undefined> {
  try {
    const file: { result?: JobResults[JobKind] } = JSON.parse(await Deno.readTextFile(path));
    return file.result;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

class JobWorker {
  readonly #worker = new Worker(moduleBeside("./job_worker", import.meta.url), { type: "module" });

  do(job: Job): Promise<JobResults[JobKind]> {
    const { promise, reject, resolve } = Promise.withResolvers<JobResults[JobKind]>();
    this.#worker.onmessage = ({ data }: MessageEvent) => {
      if ("result" in data) resolve(data.result);
      else reject(new JobFailed(job.name, String(data.failed)));
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      reject(new JobFailed(job.name, event.message));
    };
    this.#worker.postMessage(job);
    return promise;
  }

  [Symbol.dispose]() {
    this.#worker.terminate();
  }
}
