import type {
  AttackOptions,
  AttackPlugin,
  LabelledSamples,
  SampleSet,
  TrainingNotes,
  Verdicts,
} from "../attack.ts";
import type { Fields } from "./codec.ts";
import { oneLine, PluginError } from "./errors.ts";
import { DEFAULT_LIMITS, SandboxedPlugin, type SandboxLimits } from "./sandbox.ts";
import type { PluginSource } from "./source.ts";

/** An attack ready to be trained, wherever it runs. */
export interface RunningAttack extends AsyncDisposable {
  /** Its name. */
  readonly name: string;
  /** What it reads. */
  readonly reads: AttackPlugin["reads"];
  /** Trains it; once. */
  train(samples: LabelledSamples, options: AttackOptions): Promise<TrainingNotes>;
  /** Judges samples; the verdicts have been checked. */
  classify(samples: SampleSet): Promise<Verdicts>;
}

/** An attack that can be started any number of times: each start knows nothing of the others. */
export interface AttackProgram {
  /** The name or specifier it was asked for by. */
  readonly specifier: string;
  /** Lower-case hexadecimal SHA-256 of its pinned source; undefined for one of our own. */
  readonly sha256: string | undefined;
  /** Starts it in a worker (our own) or a sandboxed process (anybody else's). */
  start(): Promise<RunningAttack>;
}

/** What an attack by others may use. */
export interface AttackLimits {
  /** Of the process. */
  readonly sandbox: SandboxLimits;
  /** Milliseconds that training may take. */
  readonly train: number;
  /** Milliseconds that judging may take. */
  readonly classify: number;
}

/** Two minutes to train, one to judge. */
export const DEFAULT_ATTACK_LIMITS: AttackLimits = {
  sandbox: DEFAULT_LIMITS,
  train: 120_000,
  classify: 60_000,
};

const NOTES_CREDIT = 1 << 16;

/**
 * An attack by others as a program: each start is a sandboxed process of its own.
 *
 * @throws {PluginError} from the methods, whatever the plugin does.
 */
export function sandboxedAttack(
  source: PluginSource,
  limits: AttackLimits = DEFAULT_ATTACK_LIMITS,
): AttackProgram {
  return {
    specifier: source.specifier,
    sha256: source.sha256,
    async start() {
      const plugin = await SandboxedPlugin.start(source, limits.sandbox);
      try {
        const { name, reads } = checkManifest(source.specifier, plugin);
        return new SandboxedAttack(source.specifier, name, reads, plugin, limits);
      } catch (error) {
        await plugin[Symbol.asyncDispose]();
        throw error;
      }
    },
  };
}

class SandboxedAttack implements RunningAttack {
  #labels = 0;

  constructor(
    readonly specifier: string,
    readonly name: string,
    readonly reads: AttackPlugin["reads"],
    readonly plugin: SandboxedPlugin,
    readonly limits: AttackLimits,
  ) {}

  async train(samples: LabelledSamples, options: AttackOptions): Promise<TrainingNotes> {
    this.#labels = samples.labelNames.length;
    const args: Fields[] = [
      { ...samples },
      { seed: options.seed, parameters: { ...options.parameters } },
    ];
    const notes = await this.plugin.call("train", args, {
      deadline: this.limits.train,
      credit: NOTES_CREDIT,
    });
    return checkNotes(this.specifier, notes);
  }

  async classify(samples: SampleSet): Promise<Verdicts> {
    const verdicts = await this.plugin.call("classify", [samplesOnly(samples)], {
      deadline: this.limits.classify,
      credit: 1024 + samples.count * 24,
    });
    return checkVerdicts(this.specifier, verdicts, samples.count, this.#labels);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.plugin[Symbol.asyncDispose]();
  }
}

/** The part of `samples` that a judge may see: no labels, no groups, whatever the object holds. */
export function samplesOnly(samples: SampleSet): Fields {
  const { count, featureNames, features, offsets, sizes, times } = samples;
  return { count, featureNames, features, offsets, sizes, times };
}

function checkManifest(
  specifier: string,
  plugin: SandboxedPlugin,
): { name: string; reads: AttackPlugin["reads"] } {
  const { values, methods } = plugin.manifest;
  const fail = (what: string): never => {
    throw new PluginError(specifier, "contract", what);
  };
  if (values.contract !== 1) {
    fail(
      `its default export has contract ${
        oneLine(String(values.contract), 20)
      }, and 1 is known here`,
    );
  }
  const name = values.name;
  if (typeof name !== "string" || !/^[a-z0-9][a-z0-9-]{0,63}$/.test(name)) {
    return fail("its name is not lower-case letters, digits and -");
  }
  const reads = values.reads;
  if (reads !== "features" && reads !== "messages" && reads !== "packets") {
    return fail(`it does not say what it reads: "features", "messages" or "packets"`);
  }
  for (const method of ["train", "classify"]) {
    if (!methods.includes(method)) fail(`its default export has no ${method}()`);
  }
  return { name, reads };
}

/** Accepts notes of a sane size and shape only, each text fit for one line. */
export function checkNotes(specifier: string, notes: Record<string, unknown>): TrainingNotes {
  const fail = (what: string): never => {
    throw new PluginError(specifier, "answer", `train() answered ${what}`);
  };
  const entries = Object.entries(notes);
  if (entries.length > 64) fail(`${entries.length} notes where 64 are allowed`);
  const plain = (value: unknown): string | number | undefined => {
    if (typeof value === "string") return oneLine(value);
    return typeof value === "number" ? value : undefined;
  };
  const checked: Record<string, string | number | boolean | readonly (string | number)[]> = {};
  for (const [name, value] of entries) {
    const key = oneLine(name, 60);
    const simple = typeof value === "boolean" ? value : plain(value);
    if (simple !== undefined) checked[key] = simple;
    else if (Array.isArray(value) && value.length <= 1000) {
      checked[key] = value.map((item) => plain(item) ?? fail(`a note ${key} of no known shape`));
    } else fail(`a note ${key} of no known shape`);
  }
  return checked;
}

/**
 * Accepts verdicts only if each column has one finite number a sample, labels are -1 or a class that
 * was trained, and confidences lie between 0 and 1.
 *
 * @throws {PluginError} that says what is wrong and where.
 */
export function checkVerdicts(
  specifier: string,
  verdicts: Record<string, unknown>,
  count: number,
  labelCount: number,
): Verdicts {
  const fail = (what: string): never => {
    throw new PluginError(specifier, "answer", `classify() answered ${what}`);
  };
  const { labels, confidence, anomaly } = verdicts;
  if (!(labels instanceof Int32Array)) return fail("labels that are no Int32Array");
  if (!(confidence instanceof Float64Array)) return fail("confidence that is no Float64Array");
  if (!(anomaly instanceof Float64Array)) return fail("anomaly that is no Float64Array");
  for (const [name, column] of Object.entries({ labels, confidence, anomaly })) {
    if (column.length !== count) fail(`${column.length} of ${name} for ${count} samples`);
  }
  for (let i = 0; i < count; i++) {
    const label = labels[i]!;
    if (label < -1 || label >= labelCount) {
      fail(`label ${label} for sample ${i}, outside -1 to ${labelCount - 1}`);
    }
    const sure = confidence[i]!;
    if (!(sure >= 0 && sure <= 1)) fail(`confidence ${sure} for sample ${i}, outside 0 to 1`);
    if (!Number.isFinite(anomaly[i]!)) fail(`anomaly ${anomaly[i]} for sample ${i}`);
  }
  return { labels, confidence, anomaly };
}
