/**
 * How well strong attackers tell a model's simulated cover from real traffic that it was not learned from, and by what:
 * the loop of whoever works on a model.
 *
 *     deno run --allow-read --allow-write bench/model_attack.ts MODEL [--claims PROTOCOL] [--connections N] [--clock MS]
 *       [--attacks gradient-boosting,...] [--worst N] [--floor] [--cover FILE...]
 *
 * Three seeds of cover, attackers trained on all runs but the one that is judged. Beside each worst column: its
 * quantiles in real traffic, in the runs that were learned, and in cover.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { parseArgs } from "node:util";
import { largestGap } from "../base/largest_gap.ts";
import { Table } from "../base/table.ts";
import type { CaptureSource } from "../capture/mod.ts";
import { coverSeed } from "../evaluation/demo/play.ts";
import { attackInThisThread } from "../evaluation/experiments/local_attack.ts";
import { toldApart } from "../evaluation/experiments/told_apart.ts";
import { LEARNED_RUNS } from "../evaluation/sample_roles.ts";
import { readSamples } from "../evaluation/samples.ts";
import {
  linkLateness,
  simulateCapture,
  SIMULATED_LINKS,
  simulatedSource,
} from "../evaluation/simulation/mod.ts";
import { type CoverModel, loadModel, modelFromFile } from "../models/mod.ts";
import { LEARNABLE_PROTOCOLS, learnFromCaptures } from "../models/learn/mod.ts";
import type { LabelledSamples } from "../plugins/attack.ts";
import { firstMessageNames, firstMessageRows } from "../plugins/attacks/first_messages.ts";
import { messageColumnNames, messageRows } from "../plugins/attacks/message_features.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    attacks: { type: "string", default: "gradient-boosting,random-forest,first-messages" },
    claims: { type: "string" },
    clock: { type: "string", default: "0" },
    connections: { type: "string", default: "80" },
    cover: { type: "string", multiple: true },
    floor: { type: "boolean", default: false },
    worst: { type: "string", default: "12" },
  },
});
const [name = "https"] = positionals;
const clock = Number(values.clock);
const PROTOCOLS = ["https", "smtp", "ssh"];
/** The samples' runs. */
const ALL_RUNS = Array.from({ length: 15 }, (_, k) => k + 1);
const QUANTILES = [0.05, 0.25, 0.5, 0.75, 0.95];
/** Neighbours label everything: an area needs a score for each. */
const NONE_UNKNOWN = 1e6;

// deno-lint-ignore no-console
const say = (text: string) => console.log(text);

/** A model by name or path; `learn:PROTOCOL:KIND` learns it here and now from the runs that models learn. */
async function modelOf(specifier: string): Promise<CoverModel> {
  const [what, protocol, kind = "conditional"] = specifier.split(":");
  if (what !== "learn") return await loadModel(specifier);
  const { protocols } = await learnFromCaptures(
    LEARNED_RUNS.map((run) => `samples/${protocol}/run-${run}.pcap.gz`),
    {
      protocols: LEARNABLE_PROTOCOLS.filter((one) => one.name === protocol),
      byPort: false,
      kind,
      seed: 1,
    },
  );
  const { text } = protocols[0]!.model!;
  say(`${specifier}: ${text.length} bytes`);
  return modelFromFile(text);
}

const model = await modelOf(name);
const protocol = values.claims ?? PROTOCOLS.find((one) => model.description.protocol === one) ??
  "https";

function runs(wanted: (run: number) => boolean): string[] {
  return ALL_RUNS.filter(wanted).map((run) => `samples/${protocol}/run-${run}.pcap.gz`);
}

async function simulated(): Promise<CaptureSource[]> {
  const lateness = await linkLateness(
    runs((run) => LEARNED_RUNS.includes(run)),
    SIMULATED_LINKS.lab!,
  );
  return [0, 1, 2].map((run) => {
    const capture = simulateCapture({
      model,
      link: SIMULATED_LINKS.lab!,
      seed: new Uint8Array(Buffer.from(coverSeed(`attack ${run}`, name), "hex")),
      connections: Number(values.connections),
      lateness,
    });
    if (capture.faults.length > 0) say(`faults: ${capture.faults.slice(0, 3).join("; ")}`);
    return simulatedSource(capture, `simulated-${run}.pcap`);
  });
}

async function read(captures: CaptureSource[]): Promise<LabelledSamples> {
  return (await readSamples([{ label: protocol, captures }], { reads: "messages" })).samples;
}

/** Columns of all attackers, by name. */
function columnsOf(samples: LabelledSamples): Map<string, number[]> {
  const columns = new Map<string, number[]>();
  const add = (
    names: readonly string[],
    { count, values, width }: ReturnType<typeof messageRows>,
  ) =>
    names.forEach((name, at) =>
      columns.set(name, Array.from({ length: count }, (_, i) => values[i * width + at]!))
    );
  add(firstMessageNames(16), firstMessageRows(samples, 16, clock));
  add([...samples.featureNames, ...messageColumnNames()], messageRows(samples, clock));
  return columns;
}

function quantiles(column: readonly number[], digits = 2): string {
  const sorted = column.toSorted((a, b) => a - b);
  return QUANTILES.map((share) => {
    const value = sorted[Math.floor(share * (sorted.length - 1))]!;
    return Number(value.toFixed(Math.abs(value) < 100 ? digits : 0));
  }).join(" ");
}

/**
 * How near connections come to those that were learned: of cover, and of real ones that were not learned. Distances
 * are means over the columns of the attackers, each as ranks among the real values from 0 to 1.
 */
function memorised(
  real: LabelledSamples,
  learned: LabelledSamples,
  cover: LabelledSamples,
): string {
  const names = messageColumnNames();
  const sorted = [...columnsOf(real)].filter(([name]) => names.includes(name)).map(([name, own]) =>
    [name, Float64Array.from(own).sort()] as const
  );
  const ranked = (samples: LabelledSamples) => {
    const columns = columnsOf(samples);
    return sorted.map(([name, values]) => columns.get(name)!.map((x) => middleRank(values, x)));
  };
  const known = ranked(learned);
  const nearest = (columns: number[][], count: number) =>
    Array.from({ length: count }, (_, i) => {
      let best = Infinity;
      for (let k = 0; k < learned.count; k++) {
        let sum = 0;
        for (let c = 0; c < columns.length; c++) sum += Math.abs(columns[c]![i]! - known[c]![k]!);
        best = Math.min(best, sum / columns.length);
      }
      return best;
    });
  const ofReal = nearest(ranked(real), real.count);
  const ofCover = nearest(ranked(cover), cover.count);
  const low = ofReal.toSorted((a, b) => a - b)[Math.floor(0.05 * ofReal.length)]!;
  const sizes = ({ offsets, sizes }: LabelledSamples, i: number) =>
    sizes.subarray(offsets[i]!, offsets[i + 1]!).join();
  const texts = new Set(Array.from({ length: learned.count }, (_, i) => sizes(learned, i)));
  const repeated = (samples: LabelledSamples) => {
    let count = 0;
    for (let i = 0; i < samples.count; i++) if (texts.has(sizes(samples, i))) count++;
    return `${(100 * count / samples.count).toFixed(1)} %`;
  };
  return [
    `distance to the nearest learned connection: real ${quantiles(ofReal, 4)}; cover ${
      quantiles(ofCover, 4)
    }`,
    `nearer than 95 % of real ones are: ${
      (100 * ofCover.filter((x) => x < low).length / ofCover.length).toFixed(1)
    } % of cover`,
    `with the sizes of a learned one, message by message: real ${repeated(real)}, cover ${
      repeated(cover)
    }`,
  ].join("\n");
}

/** Where `x` stands in a sorted list, as a share; the middle of its equals. */
function middleRank(sorted: Float64Array, x: number): number {
  const below = (test: (value: number) => boolean) => {
    let low = 0;
    let high = sorted.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (test(sorted[middle]!)) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  return (below((value) => value < x) + below((value) => value <= x)) / (2 * sorted.length);
}

const started = performance.now();
const real = await read(runs((run) => !LEARNED_RUNS.includes(run)));
const learned = await read(runs((run) => LEARNED_RUNS.includes(run)));
const cover = await read(values.cover ?? await simulated());
say(
  `${name} as ${protocol}: ${real.count} real connections, ${cover.count} of cover; ` +
    `read after ${((performance.now() - started) / 1000).toFixed(1)} s`,
);
const results = new Table({
  head: ["attack", "AUC", "95 %", ...(values.floor ? ["floor"] : []), "told most by"],
});
for (const attack of values.attacks.split(",")) {
  const against = async (other: LabelledSamples) =>
    await toldApart({
      program: attackInThisThread(attack),
      real,
      other,
      seed: 1,
      most: 3,
      parameters: attack === "knn" ? { t: NONE_UNKNOWN } : { clock },
    });
  const { auc, ci95, telling } = await against(cover);
  results.push([
    attack,
    auc.toFixed(3),
    ci95.map((end) => end.toFixed(2)).join(" to "),
    ...(values.floor ? [(await against(learned)).auc.toFixed(3)] : []),
    telling.join(" "),
  ]);
}
say(results.toString());
const worst = new Table({ head: ["column", "KS", "floor", "real", "learned", "cover"] });
const [ofReal, ofLearned, ofCover] = [real, learned, cover].map(columnsOf) as [
  Map<string, number[]>,
  Map<string, number[]>,
  Map<string, number[]>,
];
[...ofReal].map(([column, own]) => ({
  column,
  own,
  gap: largestGap(own, ofCover.get(column)!),
  floor: largestGap(own, ofLearned.get(column)!),
})).sort((a, b) => b.gap - b.floor - (a.gap - a.floor)).slice(0, Number(values.worst)).forEach(
  ({ column, floor, gap, own }) =>
    worst.push([
      column,
      gap.toFixed(2),
      floor.toFixed(2),
      quantiles(own),
      quantiles(ofLearned.get(column)!),
      quantiles(ofCover.get(column)!),
    ]),
);
say(worst.toString());
say(memorised(real, learned, cover));
say(`${((performance.now() - started) / 1000).toFixed(1)} s`);
