import { UsageError } from "../base/mod.ts";
import {
  type AttackProgram,
  execAttack,
  LIMIT_NAMES,
  limitsOf,
  loadAttack,
  type RunningAttack,
} from "../plugins/mod.ts";
import {
  type AttackRun,
  type CoverAgainstReal,
  coverAgainstReal,
  indicesWhere,
  type LabelledCaptures,
  parseLabelledCaptures,
  type ReadSamples,
  readSamples,
  runAttack,
  selectSamples,
  shippedSamples,
} from "../evaluation/mod.ts";
import { Table } from "../base/table.ts";
import { Command } from "./command_line.ts";
import { print, printJson, progress } from "./output.ts";

const collect = (value: string, before: string[] = []) => [...before, value];

interface Options {
  readonly plugin: string;
  readonly exec?: string[];
  readonly limit?: string[];
  readonly real?: string[];
  readonly cover?: string[];
  readonly handshake: string;
  readonly set?: string[];
  readonly folds?: string;
  readonly auc?: boolean;
  readonly integrity?: string;
  readonly seed: string;
  readonly json?: boolean;
}

/** `deno task attack`: trains an attack on real captures and lets it judge them and cover. */
export function command(): Command {
  return new Command("deno task attack")
    .description(
      "Trains an attack on captures of real traffic, cross-validates it by capture, and lets it judge " +
        "captures of cover. Without captures of real traffic it takes the samples that ship.",
    )
    .option(
      "--plugin <name>",
      "knn, kmeans, random-forest, or a path, file:, https:, npm: or jsr: specifier (runs sandboxed)",
      "knn",
    )
    .option(
      "--exec <program...>",
      "an attack in any language: a program and its arguments (those that begin with - after one --), with your rights; needs deno task attack:exec",
    )
    .option(
      "--limit <name=value>",
      `what a plugin by others may use: ${LIMIT_NAMES}; repeatable`,
      collect,
    )
    .option(
      "--real <label=file...>",
      "captures of real traffic; a folder stands for those in it; repeatable",
    )
    .option(
      "--cover <label=file...>",
      "captures of cover, labelled with what it claims to be; repeatable",
    )
    .option("--handshake <include|exclude>", "whether the carrier's handshake counts", "exclude")
    .option("--set <name=value>", "a parameter of the attack, such as k=5; repeatable", collect)
    .option("--folds <n>", "folds of the cross-validation")
    .option(
      "--auc",
      "also train a random forest (with its own --set, if it is the plugin) to tell each cover from what it claims to be",
    )
    .option("--integrity <sha256-digest>", "refuse a plugin whose source has another digest")
    .option("--seed <n>", "seed of splits and draws", "1")
    .option("--json", "print one JSON object")
    .action(async (options: Options) => {
      const seed = integer("--seed", options.seed, 0, 2 ** 32 - 1);
      const folds = options.folds === undefined
        ? undefined
        : integer("--folds", options.folds, 2, 1000);
      const parameters = parametersOf(options.set ?? []);
      const handshake = handshakeOf(options.handshake);
      const program = await programOf(options);
      const reads = await readsOf(await program.start());
      const realCaptures = options.real === undefined
        ? await shippedSamples(decodeURIComponent(new URL("../samples", import.meta.url).pathname))
        : await parseLabelledCaptures(options.real, "--real");
      const coverCaptures = await parseLabelledCaptures(options.cover ?? [], "--cover");
      const bar = progress();
      try {
        const read = (captures: LabelledCaptures[], what: "features" | "messages" | "packets") =>
          readSamples(captures, {
            reads: what,
            handshake,
            onProgress: (name, done, total) => bar.update(done, total ?? done, `reading ${name}`),
          });
        const real = await read(realCaptures, reads);
        const cover = coverCaptures.length === 0 ? undefined : await read(coverCaptures, reads);
        const run = await runAttack({
          program,
          real: real.samples,
          seed,
          parameters,
          ...(cover === undefined ? {} : { cover: cover.samples }),
          ...(folds === undefined ? {} : { folds }),
          onProgress: (done, total) => bar.update(done, total, "attacking"),
        });
        const areas = options.auc === true && cover !== undefined
          ? await areasOf(
            await read(realCaptures, "messages"),
            await read(coverCaptures, "messages"),
            { seed, parameters: options.plugin === "random-forest" ? parameters : {} },
            (done, total) => bar.update(done, total, "cover against real"),
          )
          : {};
        bar.stop();
        if (options.json === true) printJson(jsonOf(run, real, cover, areas, options.handshake));
        else printRun(run, real, cover, areas);
      } finally {
        bar.stop();
      }
    });
}

async function programOf({ exec, integrity, limit, plugin }: Options): Promise<AttackProgram> {
  const limits = limit === undefined ? undefined : limitsOf(limit);
  if (exec === undefined) {
    return await loadAttack(plugin, {
      ...(integrity === undefined ? {} : { integrity }),
      ...(limits === undefined ? {} : { limits }),
    });
  }
  if (integrity !== undefined) {
    throw new UsageError("--integrity pins the source of a plugin, and --exec runs a program");
  }
  return execAttack(exec, limits);
}

function integer(option: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < min || value > max || text.trim() === "") {
    throw new UsageError(`${option} ${text}: give an integer from ${min} to ${max}`);
  }
  return value;
}

function parametersOf(settings: readonly string[]): Record<string, number> {
  return Object.fromEntries(settings.map((setting) => {
    const [name, text, ...more] = setting.split("=");
    const value = Number(text);
    if (!name || !text || more.length > 0 || !Number.isFinite(value)) {
      throw new UsageError(`--set ${setting}: write NAME=NUMBER, as in --set k=5`);
    }
    return [name, value];
  }));
}

function handshakeOf(text: string): "included" | "excluded" {
  if (text === "include") return "included";
  if (text === "exclude") return "excluded";
  throw new UsageError(`--handshake ${text}: give include or exclude`);
}

async function readsOf(attack: RunningAttack): Promise<RunningAttack["reads"]> {
  await using running = attack;
  return running.reads;
}

/** How well a random forest tells each label of cover from the real traffic it claims to be. */
async function areasOf(
  real: ReadSamples,
  cover: ReadSamples,
  how: { readonly seed: number; readonly parameters: Readonly<Record<string, number>> },
  onProgress: (done: number, total: number) => void,
): Promise<Record<string, CoverAgainstReal>> {
  const program = await loadAttack("random-forest");
  const areas: Record<string, CoverAgainstReal> = {};
  const names = cover.samples.labelNames;
  for (const [index, label] of names.entries()) {
    onProgress(index, names.length);
    const claimed = real.samples.labelNames.indexOf(label);
    areas[label] = await coverAgainstReal({
      program,
      ...how,
      real: selectSamples(
        real.samples,
        indicesWhere(real.samples, (i) => claimed < 0 || real.samples.labels[i] === claimed),
      ),
      cover: selectSamples(
        cover.samples,
        indicesWhere(cover.samples, (i) => cover.samples.labels[i] === index),
      ),
    });
  }
  return areas;
}

function countsOf({ samples }: ReadSamples): Record<string, { n: number; captures: number }> {
  return Object.fromEntries(samples.labelNames.map((name, label) => {
    const own = indicesWhere(samples, (i) => samples.labels[i] === label);
    return [name, { n: own.length, captures: new Set(own.map((i) => samples.groups[i])).size }];
  }));
}

function jsonOf(
  run: AttackRun,
  real: ReadSamples,
  cover: ReadSamples | undefined,
  areas: Record<string, CoverAgainstReal>,
  handshake: string,
): unknown {
  return {
    plugin: run.plugin,
    seed: run.seed,
    handshake,
    real: { labels: countsOf(real), leftOut: real.leftOut },
    ...(cover === undefined ? {} : { coverLeftOut: cover.leftOut }),
    training: run.training,
    crossValidation: run.crossValidation,
    cover: Object.fromEntries(
      Object.entries(run.cover).map(([label, judgement]) => [
        label,
        { ...judgement, ...(areas[label] === undefined ? {} : { auc: areas[label] }) },
      ]),
    ),
  };
}

const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
const range = ([low, high]: readonly [number, number]) =>
  `${(100 * low).toFixed(0)}–${(100 * high).toFixed(0)} %`;

function leftOutNote(what: string, { leftOut }: ReadSamples): void {
  for (const [reason, count] of Object.entries(leftOut)) {
    print(`left out of ${what}: ${count} connection${count === 1 ? "" : "s"} ${reason}`);
  }
}

function printRun(
  run: AttackRun,
  real: ReadSamples,
  cover: ReadSamples | undefined,
  areas: Record<string, CoverAgainstReal>,
): void {
  const { crossValidation } = run;
  const style = { head: [], border: [] };
  print(`${run.plugin.name} on ${crossValidation.n} connections of real traffic`);
  if (run.plugin.sha256 !== undefined) print(`  source sha256-${run.plugin.sha256}`);
  leftOutNote("real", real);
  for (const [name, value] of Object.entries(run.training)) {
    print(`  ${name}: ${Array.isArray(value) ? value.join(", ") : shown(value)}`);
  }
  print("");
  const { spread, folds, grouping, singleCapture, confusion } = crossValidation;
  const by = grouping === "capture"
    ? "no capture in two folds"
    : `optimistic: ${singleCapture.join(", ")} from one capture only, cut into blocks`;
  print(`cross-validation, ${folds.length} folds (${by})`);
  print(
    `  accuracy ${percent(crossValidation.accuracy)} (95 % interval ${
      range(crossValidation.ci95)
    }), ` +
      `folds ${percent(spread.min)} / ${percent(spread.median)} / ${percent(spread.max)} ` +
      "(least / median / greatest)",
  );
  print(
    `  balanced ${percent(crossValidation.balancedAccuracy)}, ` +
      `labelled ${percent(crossValidation.coverage)}, ` +
      `right among these ${percent(crossValidation.labelledAccuracy)}`,
  );
  const table = new Table({ head: ["real \\ called", ...confusion.columns], style });
  confusion.rows.forEach((name, row) => table.push([name, ...confusion.counts[row]!]));
  print(table.toString());
  if (cover === undefined) return;
  print("");
  leftOutNote("cover", cover);
  const withAreas = Object.keys(areas).length > 0;
  const judged = new Table({
    head: [
      "cover",
      "n",
      "as claimed",
      "95 %",
      "unknown",
      "95 %",
      "told apart",
      ...(withAreas ? ["AUC", "95 %", "floor"] : []),
    ],
    style,
  });
  for (const [label, judgement] of Object.entries(run.cover)) {
    const area = areas[label];
    judged.push([
      label,
      judgement.n,
      percent(judgement.asClaimed),
      range(judgement.asClaimedCi95),
      percent(judgement.unknown),
      range(judgement.unknownCi95),
      percent(judgement.toldApart),
      ...(area === undefined ? [] : [
        area.auc.toFixed(3),
        area.ci95.map((edge) => edge.toFixed(2)).join("–"),
        area.floor?.auc.toFixed(3) ?? "-",
      ]),
    ]);
  }
  print(judged.toString());
}

function shown(value: unknown): string {
  return typeof value === "number" && !Number.isInteger(value)
    ? value.toPrecision(4)
    : String(value);
}
