import type { Scheduling } from "../../playback/mod.ts";
import type { Job } from "../experiments/jobs.ts";
import type { LabelledCaptures } from "../samples.ts";
import { type Disguise, nameOf } from "./observe.ts";

/** How much is watched. */
export interface ContentSizes {
  /** Pages of the closed world. */
  readonly pages: number;
  /** Visits of each page in each run. */
  readonly visits: number;
  /** Windows of each activity in each run. */
  readonly times: number;
  /** Visits of each page in each run whose connections are looked at. */
  readonly looks: number;
  /** Runs. */
  readonly runs: number;
  /** Milliseconds of a window. */
  readonly window: number;
  /** Trees of a forest. */
  readonly trees: number;
}

/** Sizes of the smaller evaluation and of the whole one: 20 pages, 50 visits each. */
export const CONTENT_SIZES: Readonly<Record<"quick" | "full", ContentSizes>> = {
  quick: { pages: 10, visits: 3, times: 3, looks: 1, runs: 3, window: 12_000, trees: 100 },
  full: { pages: 20, visits: 10, times: 10, looks: 2, runs: 5, window: 12_000, trees: 200 },
};

/** What is asked about content. */
export interface ContentPlan {
  /** Models of the tunnels; constant rate is added. */
  readonly models: readonly string[];
  /** Real traffic by protocol that attackers have. */
  readonly real: readonly LabelledCaptures[];
  /** Real traffic by protocol that models were learned from. */
  readonly learned: readonly LabelledCaptures[];
  /** More captures of real TLS connections to port 443, of headers if there is no more. */
  readonly tls: readonly string[];
  /** How much. */
  readonly sizes: ContentSizes;
  /** Unsigned 32-bit seed. */
  readonly seed: number;
}

/** The jobs, and what each is for. */
export interface PlannedContent {
  /** How much. */
  readonly sizes: ContentSizes;
  /** Website fingerprinting. */
  readonly pages: readonly { readonly disguise: Disguise; readonly job: number }[];
  /** Activities and keystrokes. */
  readonly users: readonly { readonly disguise: Disguise; readonly job: number }[];
  /** Single connections; undefined without real https. */
  readonly connections: number | undefined;
}

const SCHEDULES: readonly Scheduling[] = ["strict", "demand", "adaptive"];

/** Constant rate that is watched: the seed's poster's. */
const CONSTANT: Disguise = { how: "tunnel", model: "constant-rate:28", schedule: "strict" };

/**
 * Captures in two halves that share no run: by folder where there are several (a folder is a round of its own), else
 * file by file.
 */
export function halvesOf(
  files: readonly string[],
): readonly [readonly string[], readonly string[]] {
  const folder = (file: string) => file.replace(/[^/]*$/, "");
  const folders = new Set(files.map(folder));
  const keyOf = folders.size > 1 ? folder : (file: string) => file;
  const keys = [...new Set(files.map(keyOf))].sort();
  const first = new Set(keys.slice(0, keys.length + 1 >> 1));
  return [
    files.filter((file) => first.has(keyOf(file))),
    files.filter((file) => !first.has(keyOf(file))),
  ];
}

/** Plans the jobs that ask about content; `add` takes each and returns its number. */
export function planContent(plan: ContentPlan, add: (job: Job) => number): PlannedContent {
  const { seed, sizes } = plan;
  const { looks, pages, runs, times, trees, visits, window } = sizes;
  const under = (models: readonly string[]) =>
    models.flatMap((model) =>
      SCHEDULES.map((schedule): Disguise => ({ how: "tunnel", model, schedule }))
    );
  const disguises: Disguise[] = [{ how: "bare" }, CONSTANT, ...under(plan.models)];
  const filesOf = (list: readonly LabelledCaptures[], label: string) =>
    list.find((one) => one.label === label)?.captures.map(String) ?? [];
  const real = filesOf(plan.real, "https");
  const more = halvesOf(plan.tls);
  const learned = filesOf(plan.learned, "https");
  const own = learned.length > 0 ? [learned, real] as const : halvesOf(real);
  const plain = [[...own[0], ...more[0]], [...own[1], ...more[1]]] as const;
  return {
    sizes,
    pages: disguises.map((disguise) => ({
      disguise,
      job: add({
        kind: "content-pages",
        name: `which page is visited (${nameOf(disguise)})`,
        args: { disguise, pages, visits, runs, window, trees, seed },
      }),
    })),
    users: disguises.map((disguise) => ({
      disguise,
      job: add({
        kind: "content-users",
        name: `what a user does (${nameOf(disguise)})`,
        args: { disguise, times, runs, window, trees, seed },
      }),
    })),
    connections: real.length === 0 || plain.some((half) => half.length === 0) ? undefined : add({
      kind: "content-connections",
      name: "handshakes inside connections, and round trips",
      args: {
        plain,
        near: real,
        first: plan.real.map(({ captures, label }) => ({ label, files: captures.map(String) })),
        disguises: [{ how: "bare" }, { how: "relay" }, CONSTANT, ...under(plan.models)],
        pages,
        visits: looks,
        runs,
        window,
        seed,
      },
    }),
  };
}
