/**
 * The library that parses command lines, imported here and nowhere else, so that it can be swapped.
 *
 * @module
 */
export { Command, CommanderError, InvalidArgumentError, Option } from "commander";
