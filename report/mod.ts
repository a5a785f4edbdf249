/**
 * Results for people: a table for the terminal and one HTML file that needs nothing else.
 *
 * @module
 */
export * from "./html_report.ts";
export * from "./result.ts";
export * from "./terminal_table.ts";
