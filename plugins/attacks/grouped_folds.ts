import type { LabelledSamples } from "../attack.ts";
import { Draws } from "./draws.ts";

/** Which samples are tested together, and what was kept together. */
export interface GroupedFolds {
  /** Fold of each sample, from 0. */
  readonly fold: Uint16Array;
  /** Number of folds, each with a sample in it. */
  readonly count: number;
  /**
   * `capture`: no capture has samples in two folds. `block`: a class had one capture only, whose
   * connections were cut into consecutive blocks; neighbours resemble each other, so that what is
   * measured is optimistic.
   */
  readonly grouping: "capture" | "block";
  /** Classes that had one capture only. */
  readonly singleCapture: readonly string[];
}

/** What samples need for being split. */
export type Splittable = Pick<
  LabelledSamples,
  "count" | "labels" | "labelNames" | "groups" | "groupNames"
>;

/**
 * Splits samples into at most `wanted` folds so that no capture is split and each class is spread over
 * the folds as evenly as its captures allow: large captures first, each to the fold where it unbalances
 * the classes least, ties by a seeded shuffle. The order of the samples does not matter, except to cut
 * the blocks of a class with a single capture.
 *
 * @example
 * ```ts
 * import { groupedFolds } from "./grouped_folds.ts";
 * const { fold } = groupedFolds({
 *   count: 4,
 *   labelNames: ["https"],
 *   labels: Uint16Array.of(0, 0, 0, 0),
 *   groupNames: ["a.pcap", "b.pcap"],
 *   groups: Uint16Array.of(0, 1, 0, 1),
 * }, 2, 1);
 * if (fold[0] !== fold[2] || fold[0] === fold[1]) throw new Error("a capture was split");
 * ```
 */
export function groupedFolds(samples: Splittable, wanted: number, seed: number): GroupedFolds {
  const { groups, groupCount, singleCapture } = splittableGroups(samples, wanted);
  const classes = samples.labelNames.length;
  const sizes = Array.from({ length: groupCount }, () => new Float64Array(classes));
  const totals = new Float64Array(classes);
  for (let i = 0; i < samples.count; i++) {
    sizes[groups[i]!]![samples.labels[i]!]!++;
    totals[samples.labels[i]!]!++;
  }
  const total = (group: number) => sizes[group]!.reduce((sum, size) => sum + size, 0);
  const order = new Draws(seed).shuffle(Array.from({ length: groupCount }, (_, group) => group))
    .filter((group) => total(group) > 0)
    .sort((a, b) => total(b) - total(a));
  const folds = Math.max(1, Math.min(wanted, order.length));
  const filled = Array.from({ length: folds }, () => new Float64Array(classes));
  const foldOfGroup = new Uint16Array(groupCount);
  for (const group of order) {
    let best = 0;
    let least = Infinity;
    for (let fold = 0; fold < folds; fold++) {
      let cost = 0;
      for (let c = 0; c < classes; c++) {
        // How much the sum of squared shares grows, plus a little for the fold's whole size.
        const share = sizes[group]![c]! / Math.max(1, totals[c]!);
        const held = filled[fold]![c]! / Math.max(1, totals[c]!);
        cost += share * (2 * held + share) + 1e-6 * held;
      }
      if (cost < least) [best, least] = [fold, cost];
    }
    foldOfGroup[group] = best;
    for (let c = 0; c < classes; c++) filled[best]![c]! += sizes[group]![c]!;
  }
  const used = [...new Set(order.map((group) => foldOfGroup[group]!))].sort((a, b) => a - b);
  const fold = Uint16Array.from(groups, (group) => used.indexOf(foldOfGroup[group]!));
  const grouping = singleCapture.length === 0 ? "capture" : "block";
  return { fold, count: used.length, grouping, singleCapture };
}

/** The captures, except that a class's only capture is cut into `blocks` blocks of neighbours. */
function splittableGroups(samples: Splittable, blocks: number): {
  groups: Uint32Array;
  groupCount: number;
  singleCapture: string[];
} {
  const classes = samples.labelNames.length;
  const captures = Array.from({ length: classes }, () => new Set<number>());
  for (let i = 0; i < samples.count; i++) {
    captures[samples.labels[i]!]!.add(samples.groups[i]!);
  }
  const groups = Uint32Array.from(samples.groups);
  let groupCount = samples.groupNames.length;
  const singleCapture: string[] = [];
  // A capture that holds several classes teaches about all of them: only pure ones are the case here.
  for (let c = 0; c < classes; c++) {
    if (captures[c]!.size !== 1) continue;
    const members: number[] = [];
    for (let i = 0; i < samples.count; i++) if (samples.labels[i] === c) members.push(i);
    singleCapture.push(samples.labelNames[c]!);
    const size = Math.ceil(members.length / blocks);
    members.forEach((i, position) => groups[i] = groupCount + Math.floor(position / size));
    groupCount += Math.ceil(members.length / size);
  }
  return { groups, groupCount, singleCapture };
}
