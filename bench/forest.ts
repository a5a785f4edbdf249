/**
 * Our random forest beside scikit-learn's: the same rows, the same split, the same number of trees, two
 * threads each, in turns in one run. README.md beside this file has the command and the figures.
 *
 * @module
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { Table } from "../base/table.ts";
import { print } from "../cli/output.ts";
import { FEATURE_SETS, type FlowRecord } from "../capture/mod.ts";
import { readFlowData, selectFlows } from "../classifier/mod.ts";
import { parseLabelledCaptures } from "../evaluation/labelled_captures.ts";
import { Draws } from "../plugins/attacks/draws.ts";
import { growForest } from "../plugins/attacks/forest_workers.ts";
import { groupedFolds } from "../plugins/attacks/grouped_folds.ts";
import type { Rows } from "../plugins/attacks/scaler.ts";
import { TextLineStream } from "../tests/transports/text_lines.ts";

const { values: options, positionals } = parseArgs({
  args: Deno.args,
  allowPositionals: true,
  options: {
    rows: { type: "string", default: "50000" },
    tested: { type: "string", default: "10000" },
    classes: { type: "string", default: "7" },
    features: { type: "string", default: "appscanner54" },
    trees: { type: "string", default: "100" },
    seeds: { type: "string", default: "10" },
    runs: { type: "string", default: "3" },
    python: { type: "string", default: "/usr/bin/python3" },
  },
});

interface Labelled {
  readonly rows: Rows;
  readonly labels: Uint16Array;
}

/** How one sort of flow behaves. */
interface Sort {
  readonly packets: number;
  readonly turn: number;
  readonly sent: readonly [number, number];
  readonly received: readonly [number, number];
  readonly full: number;
}

/**
 * Flows made packet by packet: each application is a mixture of sorts of flow, one of which every
 * application has, so that part of the flows cannot be told apart; features are computed from the packets
 * and so hang together as those of real flows do; one label in twenty is wrong.
 */
function madeFlows(count: number, classes: number, features: string, seed: number): Labelled {
  const set = FEATURE_SETS[features]!;
  const width = set.columns.length;
  const world = new Draws(7);
  const sort = (): Sort => ({
    packets: 4 + world.integer(40),
    turn: 0.1 + 0.8 * world.float(),
    sent: [60 + world.integer(500), 10 + world.integer(200)],
    received: [100 + world.integer(900), 10 + world.integer(300)],
    full: world.float(),
  });
  const common = [sort()];
  const own = Array.from(
    { length: classes },
    () => [sort(), sort(), sort(), sort(), sort(), ...common],
  );
  const draws = new Draws(seed);
  const normal = () =>
    Math.sqrt(-2 * Math.log(1 - draws.float())) * Math.cos(2 * Math.PI * draws.float());
  const values = new Float64Array(count * width);
  const labels = new Uint16Array(count);
  for (let i = 0; i < count; i++) {
    const label = draws.integer(classes);
    const sorts = own[label]!;
    const { packets, turn, sent, received, full } = sorts[draws.integer(sorts.length)]!;
    const size = Math.max(1, Math.round(packets * Math.exp(0.7 * normal())));
    const lengths = new Int32Array(size);
    const times = new Float64Array(size);
    let up = true;
    let now = 0;
    for (let p = 0; p < size; p++) {
      const [mean, deviation] = up ? sent : received;
      const length = !up && draws.float() < full
        ? 1500
        : draws.float() < 0.2
        ? 52
        : Math.min(1500, Math.max(52, Math.round(mean + deviation * normal())));
      lengths[p] = up ? length : -length;
      times[p] = now;
      now += 20 * Math.exp(1.5 * normal());
      if (draws.float() < turn) up = !up;
    }
    const sum = (sign: number) => lengths.reduce((all, own) => all + Math.max(0, sign * own), 0);
    const upward = lengths.reduce((all, own) => all + +(own > 0), 0);
    const flow: FlowRecord = {
      burst: 0,
      first: 0,
      last: times[size - 1]!,
      version: 4,
      protocol: 6,
      end: "burst",
      sourceAddress: "",
      destinationAddress: "",
      sourcePort: 1,
      destinationPort: 2,
      packetsSent: upward,
      packetsReceived: size - upward,
      bytesSent: sum(1),
      bytesReceived: sum(-1),
      lengths,
      times,
    };
    set.fill(flow, values, i * width);
    labels[i] = draws.float() < 0.05 ? draws.integer(classes) : label;
  }
  return { rows: { count, width, values }, labels };
}

interface Cost {
  readonly wall: number;
  readonly cpu: number;
}

interface Result {
  readonly train: Cost;
  readonly predict: Cost;
  readonly accuracy: number;
  readonly nodes: number;
}

/** scikit-learn in a process of its own, asked one thing at a time. */
class ScikitLearn {
  readonly #child: Deno.ChildProcess;
  readonly #lines: ReadableStreamDefaultReader<string>;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #folder = Deno.makeTempDirSync();

  constructor(python: string) {
    this.#child = new Deno.Command(python, {
      args: [decodeURIComponent(new URL("./forest_sklearn.py", import.meta.url).pathname)],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    this.#lines = this.#child.stdout.pipeThrough(new TextDecoderStream())
      .pipeThrough(new TextLineStream()).getReader();
    this.#input = this.#child.stdin.getWriter();
  }

  async answer(): Promise<Record<string, unknown>> {
    const { value, done } = await this.#lines.read();
    if (done) throw new Error("scikit-learn ended: is python3-sklearn installed?");
    return JSON.parse(value);
  }

  async run(train: Labelled, test: Labelled, trees: number, seed: number): Promise<Result> {
    const write = (name: string, { rows, labels }: Labelled) => {
      const bytes = (array: Float64Array | Uint16Array) =>
        new Uint8Array(array.buffer as ArrayBuffer, array.byteOffset, array.byteLength);
      Deno.writeFileSync(`${this.#folder}/${name}.x`, bytes(rows.values));
      Deno.writeFileSync(`${this.#folder}/${name}.y`, bytes(labels));
      return `${this.#folder}/${name}`;
    };
    const job = {
      train: write("train", train),
      test: write("test", test),
      width: train.rows.width,
      trees,
      seed,
    };
    await this.#input.write(new TextEncoder().encode(`${JSON.stringify(job)}\n`));
    return await this.answer() as unknown as Result;
  }

  async end(): Promise<void> {
    await this.#input.close();
    await this.#child.status;
    Deno.removeSync(this.#folder, { recursive: true });
  }
}

async function ours(
  train: Labelled,
  test: Labelled,
  classes: number,
  trees: number,
  seed: number,
): Promise<Result> {
  const cpuNow = () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  };
  let [wall, cpu] = [performance.now(), cpuNow()];
  const forest = await growForest(train.rows, train.labels, classes, { trees, seed }, {
    workers: 2,
  });
  const grown = { wall: performance.now() - wall, cpu: cpuNow() - cpu };
  [wall, cpu] = [performance.now(), cpuNow()];
  const shares = forest.shares(test.rows);
  const predict = { wall: performance.now() - wall, cpu: cpuNow() - cpu };
  let right = 0;
  for (let i = 0; i < test.rows.count; i++) {
    let best = 0;
    for (let c = 1; c < classes; c++) {
      if (shares[i * classes + c]! > shares[i * classes + best]!) best = c;
    }
    right += +(best === test.labels[i]);
  }
  return {
    train: grown,
    predict,
    accuracy: right / test.rows.count,
    nodes: forest.parts.trees.reduce((sum, { column }) => sum + column.length, 0),
  };
}

const median = (values: number[]) => {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
};
const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
const style = { head: [], border: [] };
const milliseconds = (value: number) => `${value.toFixed(value < 100 ? 1 : 0)} ms`;

/** Both in turns: what each costs, as medians. */
async function compareSpeed(
  name: string,
  train: Labelled,
  test: Labelled,
  classes: number,
  trees: number,
  runs: number,
): Promise<void> {
  const mine: Result[] = [];
  const theirs: Result[] = [];
  for (let run = 0; run < runs; run++) {
    mine.push(await ours(train, test, classes, trees, run));
    theirs.push(await sklearn.run(train, test, trees, run));
  }
  print(
    `${name}: ${train.rows.count} x ${train.rows.width}, ${classes} classes, ${trees} trees, ` +
      `${test.rows.count} predicted; medians of ${runs} runs, load ${
        Deno.loadavg()[0]!.toFixed(1)
      }`,
  );
  const table = new Table({ head: ["", "ours", "scikit-learn", "ratio"], style });
  for (const [what, of] of [["training", "train"], ["prediction", "predict"]] as const) {
    for (const clock of ["wall", "cpu"] as const) {
      const a = median(mine.map((own) => own[of][clock]));
      const b = median(theirs.map((own) => own[of][clock]));
      const ratios = mine.map((own, i) => theirs[i]![of][clock] / own[of][clock]);
      const label = clock === "wall" ? what : `${what}, processor time`;
      table.push([label, milliseconds(a), milliseconds(b), median(ratios).toFixed(2)]);
    }
  }
  table.push([
    "accuracy",
    mean(mine.map((own) => own.accuracy)).toFixed(4),
    mean(theirs.map((own) => own.accuracy)).toFixed(4),
    "",
  ]);
  table.push([
    "nodes a tree",
    Math.round(mine[0]!.nodes / trees),
    Math.round(theirs[0]!.nodes / trees),
    "",
  ]);
  print(table.toString());
}

/** Accuracies of both over seeds, and whether their difference is noise. */
function reportAccuracy(name: string, mine: number[], theirs: number[]): void {
  const differences = mine.map((own, i) => own - theirs[i]!);
  const off = mean(differences);
  const deviation = Math.sqrt(
    differences.reduce((sum, own) => sum + (own - off) ** 2, 0) / (differences.length - 1),
  );
  const error = deviation / Math.sqrt(differences.length);
  print(
    `${name}, ${mine.length} seeds: ours ${(100 * mean(mine)).toFixed(2)} %, scikit-learn ` +
      `${(100 * mean(theirs)).toFixed(2)} %; difference ${
        (100 * off).toFixed(2)
      } points, standard ` +
      `error ${(100 * error).toFixed(2)}, t = ${(off / error).toFixed(2)}`,
  );
}

const sklearn = new ScikitLearn(options.python);
const trees = Number(options.trees);
const seeds = Number(options.seeds);
try {
  print(`scikit-learn ${(await sklearn.answer()).version}, Deno ${Deno.version.deno}`);
  if (positionals.length > 0) {
    const captures = await parseLabelledCaptures(positionals, "captures");
    const data = await readFlowData(captures, options.features);
    const classes = data.labelNames.length;
    const mine: number[] = [];
    const theirs: number[] = [];
    for (let seed = 0; seed < seeds; seed++) {
      const { fold } = groupedFolds({ ...data, count: data.rows.count }, 3, seed);
      const train = selectFlows(data, (i) => fold[i] !== 0);
      const test = selectFlows(data, (i) => fold[i] === 0);
      mine.push((await ours(train, test, classes, trees, seed)).accuracy);
      theirs.push((await sklearn.run(train, test, trees, seed)).accuracy);
    }
    reportAccuracy(`${data.rows.count} flows of ${positionals.length} captures`, mine, theirs);
  } else {
    const classes = Number(options.classes);
    const make = (count: number, seed: number) => madeFlows(count, classes, options.features, seed);
    const [rows, tested] = [Number(options.rows), Number(options.tested)];
    if (Number(options.runs) > 0) {
      await compareSpeed(
        "made flows",
        make(rows, 1),
        make(tested, 2),
        classes,
        trees,
        Number(options.runs),
      );
    }
    const mine: number[] = [];
    const theirs: number[] = [];
    for (let seed = 0; seed < seeds; seed++) {
      const train = make(rows / 5, 100 + seed);
      const test = make(tested, 200 + seed);
      mine.push((await ours(train, test, classes, trees, seed)).accuracy);
      theirs.push((await sklearn.run(train, test, trees, seed)).accuracy);
    }
    if (seeds > 1) reportAccuracy(`made flows, ${rows / 5} learned from`, mine, theirs);
  }
} finally {
  await sklearn.end();
}
