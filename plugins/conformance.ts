import {
  BUILTIN_MODELS,
  type CoverModel,
  loadModel,
  SeededRandom,
  substream,
} from "../models/mod.ts";
import type { LabelledSamples, SampleSet, Verdicts } from "./attack.ts";
import { Draws } from "./attacks/draws.ts";
import { BUILT_IN_ATTACKS } from "./built_in.ts";
import {
  type AttackLimits,
  type AttackProgram,
  bundlePlugin,
  checkVerdicts,
  DEFAULT_ATTACK_LIMITS,
  PluginError,
  type RunningAttack,
  sandboxedAttack,
  SandboxedPlugin,
} from "./host/mod.ts";
import { loadAttack } from "./load_attack.ts";
import { PluginModel } from "./load_model.ts";
import { checkDrawn } from "./model_plan.ts";

/** One thing that a plugin must do, and whether it does. */
export interface Check {
  /** What must hold. */
  readonly name: string;
  /** What went wrong, in one line; undefined where it holds. */
  readonly wrong: string | undefined;
}

/** What the conformance kit found. */
export interface Conformance {
  /** The plugin as it was asked for. */
  readonly specifier: string;
  /** What sort of plugin it is. */
  readonly kind: "attack" | "model";
  /** Its own name, or undefined if it does not even start. */
  readonly name: string | undefined;
  /** Lower-case hexadecimal SHA-256 of its bundled source; undefined for what is not code by others. */
  readonly sha256: string | undefined;
  /** Every check, in order. */
  readonly checks: readonly Check[];
}

/**
 * Runs the conformance kit on a plugin: one of our own by name, a module by path or specifier (in the
 * sandbox, so that a plugin which needs a permission fails), or a model file.
 *
 * @throws {PluginError} if there is no such plugin, or it does not load at all.
 *
 * @example
 * ```ts
 * import { conformance } from "./conformance.ts";
 * const { checks } = await conformance("constant-rate");
 * if (checks.some(({ wrong }) => wrong !== undefined)) throw new Error("it does not conform");
 * ```
 */
export async function conformance(
  specifier: string,
  options: { readonly integrity?: string; readonly limits?: AttackLimits } = {},
): Promise<Conformance> {
  if (Object.hasOwn(BUILT_IN_ATTACKS, specifier)) {
    return await attackConformance(await loadAttack(specifier));
  }
  if (BUILTIN_MODELS.includes(specifier) || specifier.endsWith(".json")) {
    return await modelConformance(specifier, await loadModel(specifier), undefined);
  }
  const { integrity, limits = DEFAULT_ATTACK_LIMITS } = options;
  const source = await bundlePlugin(specifier, integrity === undefined ? {} : { integrity });
  await using probe = await SandboxedPlugin.start(source, limits.sandbox);
  if (probe.manifest.values.plugin !== "model") {
    return await attackConformance(sandboxedAttack(source, limits));
  }
  using model = await PluginModel.start(source);
  return await modelConformance(specifier, model, source.sha256);
}

/** Three overlapping classes with messages, made from a seed. */
export function madeSamples(seed: number, each = 20): LabelledSamples {
  const draws = new Draws(seed);
  const labelNames = ["https", "smtp", "ssh"];
  const centres = [[900, 9000, 300], [5000, 700, 900], [2500, 2500, 6000]];
  const features: number[] = [];
  const labels: number[] = [];
  const groups: number[] = [];
  const offsets = [0];
  const sizes: number[] = [];
  const times: number[] = [];
  centres.forEach((centre, label) => {
    for (let i = 0; i < each; i++) {
      const row = centre.map((middle) => middle * (0.8 + 0.4 * draws.float()));
      const [sent, received, duration] = row as [number, number, number];
      const messages = 2 + draws.integer(6);
      features.push(sent, received, sent / messages, received / messages, duration);
      for (let at = 0; at < messages; at++) {
        sizes.push(at % 2 === 0 ? sent / messages : -received / messages);
        times.push((duration * at) / messages);
      }
      offsets.push(sizes.length);
      labels.push(label);
      groups.push(label * 4 + (i % 4));
    }
  });
  return {
    count: labels.length,
    featureNames: [
      "bytesSent",
      "bytesReceived",
      "packetSizeSent",
      "packetSizeReceived",
      "duration",
    ],
    features: Float64Array.from(features),
    offsets: Uint32Array.from(offsets),
    sizes: Float64Array.from(sizes, Math.round),
    times: Float64Array.from(times),
    labelNames,
    labels: Uint16Array.from(labels),
    groupNames: labelNames.flatMap((name) => [1, 2, 3, 4].map((run) => `${name}/run-${run}`)),
    groups: Uint16Array.from(groups),
  };
}

const NONE: SampleSet = {
  count: 0,
  featureNames: madeSamples(1, 1).featureNames,
  features: new Float64Array(0),
  offsets: Uint32Array.of(0),
  sizes: new Float64Array(0),
  times: new Float64Array(0),
};

async function attackConformance(program: AttackProgram): Promise<Conformance> {
  const samples = madeSamples(1);
  const others = madeSamples(2);
  let name: string | undefined;

  /** A fresh start, trained on `train`. */
  const started = async (train: LabelledSamples): Promise<RunningAttack> => {
    const attack = await program.start();
    try {
      await attack.train(train, { seed: 1, parameters: {} });
      return attack;
    } catch (error) {
      await attack[Symbol.asyncDispose]();
      throw error;
    }
  };
  const judge = async (
    attack: RunningAttack,
    set: SampleSet,
    classes = samples.labelNames.length,
  ): Promise<Verdicts> =>
    checkVerdicts(program.specifier, { ...await attack.classify(set) }, set.count, classes);

  // Trained once for all checks; anew after one that failed, for it may have been killed.
  let shared: RunningAttack | undefined;
  const judged = async (set: SampleSet): Promise<Verdicts> => {
    shared ??= await started(samples);
    try {
      return await judge(shared, set);
    } catch (error) {
      await shared[Symbol.asyncDispose]();
      shared = undefined;
      throw error;
    }
  };
  const one = pick(samples, (label) => label === 0, ["https"]);

  const checks = await run([
    ["it starts, and says contract, name and what it reads", async () => {
      await using attack = await program.start();
      name = attack.name;
    }],
    ["it tells three unlike classes apart (half of them or more)", async () => {
      const { labels } = await judged(others);
      const right = labels.filter((label, i) => label === others.labels[i]).length;
      return right < others.count / 2 ? `${right} of ${others.count} labels are right` : undefined;
    }],
    ["the same seed gives the same verdicts at every start", async () => {
      // Both are judged first thing after the training.
      await shared?.[Symbol.asyncDispose]();
      shared = undefined;
      await using again = await started(samples);
      return differ(await judged(others), await judge(again, others));
    }],
    ["a sample's verdict is the same when it is judged again", async () => {
      const first = await judged(others);
      await judged(samples);
      return differ(first, await judged(others));
    }],
    ["no sample at all gives no verdict", async () => {
      await judged(NONE);
    }],
    ["samples like none it has seen get verdicts in bounds", async () => {
      await judged({ ...others, features: others.features.map((value) => 1e6 * value + 1) });
      await judged({ ...others, features: others.features.map(() => 0) });
    }],
    ["features that are no finite numbers get verdicts in bounds", async () => {
      const broken = [NaN, Infinity, -Infinity, -1];
      await judged({ ...others, features: others.features.map((_, i) => broken[i % 4]!) });
    }],
    ["connections without messages get verdicts in bounds", async () => {
      const empty = new Float64Array(0);
      const offsets = new Uint32Array(others.count + 1);
      await judged({ ...others, offsets, sizes: empty, times: empty });
    }],
    ["it judges a thousand samples within its time and its room", async () => {
      await judged(madeSamples(4, 334));
    }],
    ["it can be trained on a single class", async () => {
      await using attack = await started(one);
      await judge(attack, others, 1);
    }],
    ["it can be trained on one sample of each class", async () => {
      await using attack = await started(madeSamples(3, 1));
      await judge(attack, others);
    }],
    ["a parameter that it does not have is refused in words, not ignored", async () => {
      await using attack = await program.start();
      try {
        await attack.train(samples, { seed: 1, parameters: { "no-such-parameter": 1 } });
      } catch (error) {
        if (error instanceof PluginError && error.fault === "threw") return;
        throw error;
      }
      return "train() took the parameter no-such-parameter";
    }],
  ]);
  await shared?.[Symbol.asyncDispose]();
  return { specifier: program.specifier, kind: "attack", name, sha256: program.sha256, checks };
}

async function modelConformance(
  specifier: string,
  model: CoverModel,
  sha256: string | undefined,
): Promise<Conformance> {
  const key = new Uint8Array(32).fill(1);
  const random = (...path: (string | number)[]) => new SeededRandom(substream(key, ...path));
  const serials = Array.from({ length: 50 }, (_, serial) => serial);
  const text = (serial: number) => JSON.stringify(model.connection(random("connection", serial)));
  const checks = await run([
    ["it draws connections that can be played", () => {
      for (const serial of serials) {
        const { free, ...plan } = model.connection(random("connection", serial));
        if (free !== true || plan.exchanges.length > 0) checkDrawn("connection", plan);
      }
    }],
    ["the same randomness gives the same connection, in any order", () => {
      const forward = serials.map(text);
      const back = [...serials].reverse().map(text).reverse();
      const at = forward.findIndex((plan, i) => plan !== back[i]);
      return at < 0 ? undefined : `connection ${at} was another one when it was drawn again`;
    }],
    ["sessions, episodes and gaps are drawn the same again, and in bounds", () => {
      for (const serial of serials.slice(0, 10)) {
        const draws = () => [
          checkDrawn("session", model.session(random("session", serial))),
          checkDrawn("episode", model.episode(random("episode", serial))),
          checkDrawn("connectionGap", model.connectionGap(random("gap", serial))),
        ];
        if (JSON.stringify(draws()) !== JSON.stringify(draws())) {
          return `session, episode or gap ${serial} was another one when it was drawn again`;
        }
      }
      return undefined;
    }],
    ["an episode has a session to be played in, or says the pause before it", () => {
      const session = model.session(random("session", 0));
      const episode = model.episode(random("episode", 0));
      if (session === undefined && episode !== undefined && episode.pause === undefined) {
        return "episodes, and no sessions";
      }
      if (session !== undefined && episode === undefined) return "sessions, and no episodes";
      return undefined;
    }],
    ["every kind that it names is drawn", () => {
      for (const kind of model.kinds ?? []) {
        checkDrawn("connection", model.connection(random("connection", 0, kind), kind));
      }
    }],
  ]);
  return { specifier, kind: "model", name: model.description.name, sha256, checks };
}

/** Runs checks; each tells what is wrong by a text or by an error. */
async function run(
  checks: readonly [string, () => string | void | Promise<string | void>][],
): Promise<Check[]> {
  const done: Check[] = [];
  for (const [name, check] of checks) {
    let wrong: string | undefined;
    try {
      wrong = await check() ?? undefined;
    } catch (error) {
      wrong = error instanceof Error ? error.message : String(error);
    }
    done.push({ name, wrong });
  }
  return done;
}

function differ(a: Verdicts, b: Verdicts): string | undefined {
  for (const column of ["labels", "confidence", "anomaly"] as const) {
    const at = a[column].findIndex((value, i) => value !== b[column][i]);
    if (at >= 0) return `${column} of sample ${at} is ${a[column][at]}, then ${b[column][at]}`;
  }
  return undefined;
}

/** The samples of the labels that `wanted`, whose names are `labelNames`. */
function pick(
  samples: LabelledSamples,
  wanted: (label: number) => boolean,
  labelNames: readonly string[],
): LabelledSamples {
  const width = samples.featureNames.length;
  const chosen = [...samples.labels.keys()].filter((i) => wanted(samples.labels[i]!));
  const sequence = (column: Float64Array) =>
    Float64Array.from(
      chosen.flatMap((i) => [...column.subarray(samples.offsets[i]!, samples.offsets[i + 1]!)]),
    );
  const offsets = new Uint32Array(chosen.length + 1);
  chosen.forEach((i, at) =>
    offsets[at + 1] = offsets[at]! + samples.offsets[i + 1]! - samples.offsets[i]!
  );
  return {
    ...samples,
    count: chosen.length,
    features: Float64Array.from(
      chosen.flatMap((i) => [...samples.features.subarray(i * width, (i + 1) * width)]),
    ),
    offsets,
    sizes: sequence(samples.sizes),
    times: sequence(samples.times),
    labelNames,
    labels: Uint16Array.from(chosen, (i) => samples.labels[i]!),
    groups: Uint16Array.from(chosen, (i) => samples.groups[i]!),
  };
}
