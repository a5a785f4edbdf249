import { writeFileAtomically } from "../base/mod.ts";
import { type EvaluationResult, renderEvaluation, renderEvaluationText } from "../report/mod.ts";
import type { Command } from "./command_line.ts";
import { wholeNumber } from "./numbers.ts";
import { note, print, printJson, progress } from "./output.ts";

/** Told of finished experiments, of how many in all, what the last one was, and how many were there before. */
export type OnExperiment = (done: number, total: number, last: string, kept: number) => void;

/** What {@linkcode addReportOptions} adds. */
export interface ReportOptions {
  readonly out: string;
  readonly workers: number;
  readonly json?: boolean;
}

/** Adds what every evaluation asks: where the results go, how many experiments at once, JSON. */
export function addReportOptions(command: Command, out: string): Command {
  return command
    .option("--out <folder>", "where report and results go", out)
    .option(
      "--workers <n>",
      "experiments done at once (default: one a core)",
      wholeNumber(1, 64),
      navigator.hardwareConcurrency,
    )
    .option("--json", "print one JSON object");
}

/** Runs an evaluation with a progress bar; writes report, JSON and tables into `out`, and prints the result. */
export async function runAndReport(
  out: string,
  json: boolean,
  evaluate: (onProgress: OnExperiment) => Promise<EvaluationResult>,
): Promise<void> {
  await Deno.mkdir(out, { recursive: true });
  const bar = progress();
  const start = performance.now();
  let before = 0;
  try {
    const result = await evaluate((done, total, last, kept) => {
      before = kept;
      bar.update(done, total, last);
    });
    const report = `${out}/report.html`;
    await writeFileAtomically(report, await renderEvaluation(result));
    await writeFileAtomically(`${out}/result.json`, `${JSON.stringify(result, undefined, 1)}\n`);
    const text = renderEvaluationText(result);
    await writeFileAtomically(`${out}/tables.txt`, `${text}\n`);
    bar.stop();
    if (json) printJson(result);
    else print(text);
    const seconds = (performance.now() - start) / 1000;
    const there = before > 0 ? `, ${before} experiments were there before` : "";
    note(`${seconds.toFixed(0)} s${there}; report: ${report}`);
  } finally {
    bar.stop();
  }
}
