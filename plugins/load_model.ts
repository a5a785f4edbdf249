import {
  BadPlanError,
  type ConnectionPlan,
  type CoverModel,
  type EpisodePlan,
  LocalPlans,
  type ModelDescription,
  type PlanSource,
  type Random,
  SeededRandom,
  type SessionPlan,
  substream,
} from "../models/mod.ts";
import {
  BlockingPlugin,
  bundlePlugin,
  type CallLimits,
  DEFAULT_LIMITS,
  type Fields,
  PluginError,
  type PluginSource,
  type SandboxLimits,
  specifierKind,
} from "./host/mod.ts";
import { checkDrawn, type Drawn } from "./model_plan.ts";

/** What a model by others may use. */
export interface ModelLimits {
  /** Of the process. Its processor time is counted over the whole life of a tunnel. */
  readonly sandbox: SandboxLimits;
  /** Milliseconds that one plan may take. */
  readonly draw: number;
}

/** Two seconds a plan; ten hours of processor time, since a tunnel may last for months. */
export const DEFAULT_MODEL_LIMITS: ModelLimits = {
  sandbox: { ...DEFAULT_LIMITS, memory: 2 ** 30, cpu: 36_000 },
  draw: 2000,
};

/** Bytes of an answer. */
const CREDIT = 1 << 20;
/** Connections drawn before they are asked for. */
const AHEAD = 8;
/** Plans kept that were drawn ahead. */
const MOST_KEPT = 1024;

/** Whether `--model` names code (a module) rather than a model file or a name. */
export function isModelPlugin(specifier: string): boolean {
  return /\.[cm]?[jt]sx?$/.test(specifier) || /^(file|https?|npm|jsr):/i.test(specifier);
}

/**
 * Loads a model plugin by path or by `file:`, `https:`, `npm:` or `jsr:` specifier into a sandboxed process.
 * Its plans are checked as untrusted. To be disposed of.
 *
 * @throws {PluginError} if there is none, it is not what `integrity` says, or it is no model.
 */
export async function loadModelPlugin(
  specifier: string,
  options: { readonly integrity?: string; readonly limits?: ModelLimits } = {},
): Promise<PluginModel> {
  if (specifierKind(specifier) === "name") {
    throw new PluginError(specifier, "not-found", "is not a path: write ./NAME.ts for a file");
  }
  const { integrity, limits } = options;
  const source = await bundlePlugin(specifier, integrity === undefined ? {} : { integrity });
  return await PluginModel.start(source, limits);
}

/** A model by others: a `CoverModel` whose every answer comes from a sandboxed process and was checked. */
export class PluginModel implements CoverModel, Disposable {
  /** What it is; the digest is that of its source. */
  readonly description: ModelDescription;
  /** Kinds of connection, if it names any. */
  readonly kinds?: readonly string[];
  readonly #plugin: BlockingPlugin;
  readonly #limits: CallLimits;
  /** Connections drawn ahead, by their key. */
  readonly #ahead = new Map<string, unknown>();
  /** Whether its episodes say what connections are like: those cannot be drawn before that is known. */
  #says = false;

  private constructor(source: PluginSource, plugin: BlockingPlugin, limits: ModelLimits) {
    this.#plugin = plugin;
    this.#limits = { deadline: limits.draw, credit: CREDIT };
    const { kinds, ...description } = describe(source, plugin.manifest);
    this.description = description;
    if (kinds !== undefined) this.kinds = kinds;
  }

  /**
   * Starts the process of `source`.
   *
   * @throws {PluginError} if it does not load or is no model.
   */
  static async start(
    source: PluginSource,
    limits: ModelLimits = DEFAULT_MODEL_LIMITS,
  ): Promise<PluginModel> {
    const plugin = await BlockingPlugin.start(source, limits.sandbox);
    try {
      return new PluginModel(source, plugin, limits);
    } catch (error) {
      plugin[Symbol.dispose]();
      throw error;
    }
  }

  /** One session. */
  session(random: Random): SessionPlan | undefined {
    return this.#has("session") ? this.#draw("session", keyOf(random)) : undefined;
  }

  /** One episode. */
  episode(random: Random): EpisodePlan | undefined {
    return this.#has("episode") ? this.#draw("episode", keyOf(random)) : undefined;
  }

  /** The gap after a connection. */
  connectionGap(random: Random): number | "close" {
    return this.#has("connectionGap") ? this.#draw("connectionGap", keyOf(random)) : "close";
  }

  /** One connection. */
  connection(random: Random, kind?: string, like?: number): ConnectionPlan {
    if (like !== undefined) this.#says = true;
    return this.#draw("connection", keyOf(random), kind, like);
  }

  /** Has a connection drawn before {@linkcode PluginModel.connection} is asked for it. */
  drawAhead(random: Random): void {
    if (this.#says) return;
    const key = keyOf(random);
    const name = key.toHex();
    if (this.#ahead.has(name) || this.#ahead.size >= MOST_KEPT) return;
    this.#plugin.ahead("connection", { key }, this.#limits, (value) => {
      this.#ahead.set(name, value);
    });
  }

  /** Plans under `seed` (32 bytes), connections drawn ahead. The process stays when they are disposed of. */
  plans(seed: Uint8Array): PlanSource & Disposable {
    return new PluginPlans(this, seed);
  }

  /** Ends the process. */
  [Symbol.dispose](): void {
    this.#plugin[Symbol.dispose]();
  }

  #has(method: string): boolean {
    return this.#plugin.manifest.methods.includes(method);
  }

  #draw<Method extends keyof Drawn>(
    method: Method,
    key: Uint8Array<ArrayBuffer>,
    kind?: string,
    like?: number,
  ): Drawn[Method] {
    try {
      const plain = method === "connection" && kind === undefined && like === undefined;
      const name = plain ? key.toHex() : "";
      let value = this.#ahead.get(name);
      if (value === undefined) {
        const args: Fields = {
          key,
          ...(kind === undefined ? {} : { kind }),
          ...(like === undefined ? {} : { like }),
        };
        value = this.#plugin.call(method, args, this.#limits);
      } else this.#ahead.delete(name);
      return checkDrawn(method, value);
    } catch (error) {
      throw new BadPlanError(
        this.description.name,
        error instanceof Error ? error.message : String(error),
      );
    }
  }
}

function describe(
  { specifier, sha256 }: PluginSource,
  { methods, values }: BlockingPlugin["manifest"],
): ModelDescription & { kinds?: readonly string[] } {
  const fail = (what: string): never => {
    throw new PluginError(specifier, "contract", what);
  };
  if (values.contract !== 1 || values.plugin !== "model") {
    fail(`its default export does not say contract: 1, plugin: "model"`);
  }
  if (!methods.includes("connection")) fail("its default export has no connection()");
  const word = (field: string): string => {
    const value = values[field];
    if (typeof value === "string" && /^[a-z0-9][a-z0-9-]{0,63}$/.test(value)) return value;
    return fail(`its ${field} is not lower-case letters, digits and -`);
  };
  const { kinds } = values;
  if (kinds !== undefined) {
    const known = Array.isArray(kinds) && kinds.length <= 7 &&
      kinds.every((kind) => /^[a-z0-9-]{1,32}$/.test(kind));
    if (!known) fail("its kinds are not at most 7 words of lower-case letters, digits and -");
  }
  return {
    name: word("name"),
    kind: "plugin",
    protocol: word("protocol"),
    carrier: word("carrier"),
    digest: sha256,
    ...(kinds === undefined ? {} : { kinds: kinds as string[] }),
  };
}

/** The key of a plugin's own randomness, drawn from ours. */
function keyOf(random: Random): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(8);
  for (let i = 0; i < 8; i++) words[i] = random.integer(4294967296);
  return new Uint8Array(words.buffer);
}

class PluginPlans extends LocalPlans implements Disposable {
  readonly #model: PluginModel;
  readonly #seed: Uint8Array;
  /** The first serial of each session that nothing was drawn for yet. */
  readonly #next = new Map<number, number>();

  constructor(model: PluginModel, seed: Uint8Array) {
    super(model, seed);
    this.#model = model;
    this.#seed = seed.slice();
  }

  override connection(session: number, serial: number, attempt = 0, kind?: string) {
    const plan = super.connection(session, serial, attempt, kind);
    if (attempt === 0 && kind === undefined) {
      const end = serial + 1 + AHEAD;
      for (let next = Math.max(this.#next.get(session) ?? 0, serial + 1); next < end; next++) {
        const key = substream(this.#seed, "connection", session, next, 0);
        this.#model.drawAhead(new SeededRandom(key));
      }
      this.#next.set(session, end);
    }
    return plan;
  }

  [Symbol.dispose](): void {
    this.#next.clear();
  }
}
