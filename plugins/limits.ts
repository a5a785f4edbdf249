import { UsageError } from "../base/mod.ts";
import { type AttackLimits, DEFAULT_ATTACK_LIMITS, type SandboxLimits } from "./host/mod.ts";

/** What `--limit` may name: its unit, and the least and the greatest value. */
const LIMITS = {
  memory: { unit: "MB", least: 600, most: 1_000_000 },
  cpu: { unit: "s", least: 1, most: 1_000_000 },
  load: { unit: "s", least: 1, most: 3600 },
  log: { unit: "KB", least: 1, most: 1_000_000 },
  train: { unit: "s", least: 1, most: 1_000_000 },
  classify: { unit: "s", least: 1, most: 1_000_000 },
} as const;

/** The limits that a user may set, and their units, for a help text. */
export const LIMIT_NAMES: string = Object.entries(LIMITS)
  .map(([name, { unit }]) => `${name} (${unit})`).join(", ");

/**
 * Limits of a plugin by others from `NAME=NUMBER` settings; the default of those that are not named. How
 * long an answer may be follows from the number of samples and cannot be set.
 *
 * @throws {UsageError} for another name, or a number out of bounds.
 *
 * @example
 * ```ts
 * import { limitsOf } from "./limits.ts";
 * const { sandbox, train } = limitsOf(["memory=1024", "train=5"]);
 * if (sandbox.memory !== 2 ** 30 || train !== 5000) throw new Error("not what was asked for");
 * ```
 */
export function limitsOf(
  settings: readonly string[],
  defaults: AttackLimits = DEFAULT_ATTACK_LIMITS,
): AttackLimits {
  const sandbox: { -readonly [K in keyof SandboxLimits]: SandboxLimits[K] } = {
    ...defaults.sandbox,
  };
  let { train, classify } = defaults;
  for (const setting of settings) {
    const [name, text] = setting.split("=", 2) as [string, string | undefined];
    if (!Object.hasOwn(LIMITS, name)) {
      throw new UsageError(`--limit ${setting}: write NAME=NUMBER with one of ${LIMIT_NAMES}`);
    }
    const { least, most, unit } = LIMITS[name as keyof typeof LIMITS];
    const value = text === undefined || text.trim() === "" ? NaN : Number(text);
    if (!(value >= least && value <= most)) {
      throw new UsageError(`--limit ${setting}: give ${least} to ${most} ${unit}`);
    }
    const whole = Math.round(value);
    if (name === "memory") sandbox.memory = whole * 2 ** 20;
    else if (name === "cpu") sandbox.cpu = whole;
    else if (name === "load") sandbox.load = value * 1000;
    else if (name === "log") sandbox.log = whole * 1024;
    else if (name === "train") train = value * 1000;
    else classify = value * 1000;
  }
  return { sandbox, train, classify };
}
