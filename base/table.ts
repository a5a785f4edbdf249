/**
 * The library that draws tables on terminals, imported here and nowhere else, so that it can be swapped.
 *
 * @module
 */
export { default as Table } from "cli-table3";
