import { UserError } from "../../base/mod.ts";

/** A parameter of an attack: what it is without `--set`, and what it may be. */
export interface Parameter {
  /** Its value unless it is set. */
  readonly default: number;
  /** The least it may be. */
  readonly min: number;
  /** The most it may be. */
  readonly max: number;
  /** True if it counts something. */
  readonly integer?: boolean;
}

/**
 * The parameters of an attack, checked.
 *
 * @throws {UserError} that lists the parameters there are, or the range of the one that is wrong.
 */
export function readParameters<T extends Record<string, Parameter>>(
  known: T,
  given: Readonly<Record<string, number>>,
): Record<keyof T, number> {
  const values = Object.fromEntries(
    Object.entries(known).map(([name, { default: value }]) => [name, value]),
  ) as Record<keyof T, number>;
  for (const [name, value] of Object.entries(given)) {
    const rule = Object.hasOwn(known, name) ? known[name]! : undefined;
    if (rule === undefined) {
      const names = Object.keys(known).join(", ");
      throw new UserError(`there is no parameter ${JSON.stringify(name)} (there are ${names})`);
    }
    const sort = rule.integer ? "an integer" : "a number";
    if (!(value >= rule.min && value <= rule.max) || (rule.integer && !Number.isInteger(value))) {
      throw new UserError(`${name} is ${sort} from ${rule.min} to ${rule.max}, not ${value}`);
    }
    values[name as keyof T] = value;
  }
  return values;
}
