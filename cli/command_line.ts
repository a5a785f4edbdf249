/**
 * The library that parses command lines, imported here and nowhere else, so that it can be swapped.
 *
 * @module
 */
export { Command, CommanderError, InvalidArgumentError, Option } from "commander";

/** Gathers the values of an option that may be given several times. */
export function repeated(value: string, before: readonly string[] | undefined): string[] {
  return [...before ?? [], value];
}
