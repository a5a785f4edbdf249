/**
 * Results for people: a table for the terminal and one HTML file that needs nothing else.
 *
 * @module
 */
export * from "./evaluation_report.ts";
export * from "./evaluation_result.ts";
export * from "./html_report.ts";
export * from "./result.ts";
export * from "./terminal_table.ts";
