import { LAB_LINK } from "../../lab/link_profile.ts";
import { Draws } from "../../plugins/attacks/draws.ts";
import { modelNamed } from "../constant_rates.ts";
import { shareOf } from "../metrics.ts";
import { type ToldByRun, toldByRun } from "./by_run.ts";
import { type Disguise, observe, type Scene, type Seen } from "./observe.ts";
import { TRACE_FEATURES, traceRows } from "./trace_features.ts";
import { drawPages, visitPage } from "./web_visits.ts";

/** How a website fingerprinting is done. */
export interface PagesJob {
  /** What lies between. */
  readonly disguise: Disguise;
  /** Pages of the closed world. */
  readonly pages: number;
  /** Visits of each page in each run. */
  readonly visits: number;
  /** Runs. */
  readonly runs: number;
  /** Milliseconds seen of each visit. */
  readonly window: number;
  /** Trees of the forest. */
  readonly trees: number;
  /** Unsigned 32-bit seed. */
  readonly seed: number;
}

/** What it came to. */
export interface PagesResult {
  /** How often the page is named. */
  readonly told: Omit<ToldByRun, "telling" | "confusion">;
  /** Columns that told most. */
  readonly telling: readonly string[];
  /** Share of visits that ended in the window. */
  readonly done: { readonly share: number; readonly ci95: readonly [number, number] };
  /** Packets seen in a window, on average. */
  readonly packets: number;
}

/** All that is seen of some classes of scenes in several runs, in an order of each run's own. */
export async function seenInRuns(
  scenes: readonly Scene[],
  options: {
    readonly disguise: Disguise;
    readonly times: number;
    readonly runs: number;
    readonly window: number;
    readonly seed: string;
  },
): Promise<{ readonly seen: readonly Seen[]; readonly runs: Uint16Array }> {
  const { disguise, times, window } = options;
  const model = disguise.how === "tunnel" ? { model: await modelNamed(disguise.model) } : {};
  const seen: Seen[] = [];
  const runs: number[] = [];
  for (let run = 0; run < options.runs; run++) {
    const order = new Draws(run + 1).shuffle(
      Array.from({ length: times }, () => scenes).flat(),
    );
    const seed = `${options.seed} run ${run}`;
    const own = observe(order, { disguise, ...model, link: LAB_LINK, window, seed });
    seen.push(...own);
    for (const _ of own) runs.push(run);
  }
  return { seen, runs: Uint16Array.from(runs) };
}

/** Website fingerprinting in a closed world: which of some pages was visited? */
export async function pages(job: PagesJob): Promise<PagesResult> {
  const { disguise, runs: count, seed, trees, visits: times, window } = job;
  const scenes = drawPages(job.pages, seed).map((page, label): Scene => ({
    label,
    perform: (stage, random) => visitPage(stage, page, random),
  }));
  const { runs, seen } = await seenInRuns(scenes, {
    disguise,
    times,
    runs: count,
    window,
    seed: `content pages ${seed}`,
  });
  const { confusion: _, telling, ...told } = toldByRun({
    rows: traceRows(seen.map(({ trace }) => trace), window),
    labels: Uint16Array.from(seen, ({ label }) => label),
    runs,
    classes: scenes.length,
  }, { trees, seed });
  const { ci95, share } = shareOf(seen.filter(({ took }) => took < Infinity).length, seen.length);
  return {
    told,
    telling: telling.map((column) => TRACE_FEATURES[column]!),
    done: { share, ci95 },
    packets: seen.reduce((sum, { trace }) => sum + trace.length, 0) / seen.length,
  };
}
