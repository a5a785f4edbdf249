import { ACTIVITIES, perform } from "./activities.ts";
import { type ToldByRun, toldByRun } from "./by_run.ts";
import { type Keystrokes, recoverKeystrokes } from "./keystrokes.ts";
import type { Disguise, Scene } from "./observe.ts";
import { seenInRuns } from "./pages.ts";
import { TRACE_FEATURES, traceRows } from "./trace_features.ts";

/** How it is asked what a user does. */
export interface UsersJob {
  /** What lies between. */
  readonly disguise: Disguise;
  /** Windows of each activity in each run. */
  readonly times: number;
  /** Runs. */
  readonly runs: number;
  /** Milliseconds of a window. */
  readonly window: number;
  /** Trees of the forest. */
  readonly trees: number;
  /** Unsigned 32-bit seed. */
  readonly seed: number;
}

/** What it came to. */
export interface UsersResult {
  /** How often the activity is named. */
  readonly activities: Omit<ToldByRun, "telling">;
  /** Columns that told most. */
  readonly telling: readonly string[];
  /** Whether somebody types, against nobody does anything. */
  readonly typing: { readonly value: number; readonly ci95: readonly [number, number] };
  /** What is recovered of the keys. */
  readonly keystrokes: Keystrokes;
}

/** What does a user do, if anything? Which keys are pressed, and when? */
export async function users(job: UsersJob): Promise<UsersResult> {
  const { disguise, seed, times, trees, window } = job;
  const scenes = ACTIVITIES.map((activity, label): Scene => ({
    label,
    perform: (stage, random, onKey) => perform(activity, stage, random, onKey),
  }));
  const { runs, seen } = await seenInRuns(scenes, {
    disguise,
    times,
    runs: job.runs,
    window,
    seed: `content users ${seed}`,
  });
  const told = (wanted: readonly number[], labels: readonly number[]) =>
    toldByRun({
      rows: traceRows(wanted.map((i) => seen[i]!.trace), window),
      labels: Uint16Array.from(labels),
      runs: Uint16Array.from(wanted, (i) => runs[i]!),
      classes: Math.max(...labels) + 1,
    }, { trees, seed });
  const all = seen.map((_, i) => i);
  const { telling, ...activities } = told(all, seen.map(({ label }) => label));
  const typing = ACTIVITIES.indexOf("ssh-typing");
  const quiet = ACTIVITIES.indexOf("nothing");
  const two = all.filter((i) => seen[i]!.label === typing || seen[i]!.label === quiet);
  const typed = all.filter((i) => seen[i]!.label === typing);
  return {
    activities,
    telling: telling.map((column) => TRACE_FEATURES[column]!),
    typing: told(two, two.map((i) => +(seen[i]!.label === typing))).auc!,
    keystrokes: recoverKeystrokes(
      typed.map((i) => seen[i]!),
      typed.map((i) => runs[i]!),
      window,
      seed,
    ),
  };
}
