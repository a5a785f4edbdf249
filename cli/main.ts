/**
 * The command line. Each command is a file of its own beside this one, loaded only when asked for.
 *
 * @module
 */
import { INSTALLED } from "./installed.ts";
import { type Commands, runCommand } from "./run.ts";

/** The commands of a source copy; those of an installed one are in installed.ts. */
const COMMANDS: Commands = {
  ...INSTALLED,
  "build": {
    summary: "make a copy that installs without this folder",
    load: () => import("./build.ts"),
  },
  "content": {
    summary: "ask what an observer learns of what is carried, write a report",
    load: () => import("./content.ts"),
  },
  "demo": {
    summary: "carry data under cover of every model, attack the recordings, write a report",
    load: () => import("./demo.ts"),
  },
  "evaluate": {
    summary: "reproduce the seed's evaluation and ask today's questions, write a report",
    load: () => import("./evaluate.ts"),
  },
  "lab": {
    summary: "record real programs in network namespaces (needs root)",
    load: () => import("./lab.ts"),
  },
  "learn:samples": {
    summary: "make the shipped models again from the samples",
    load: () => import("./learn_samples.ts"),
  },
  "plugin": {
    summary: "make a plugin from a template, or test one",
    load: () => import("./plugin.ts"),
  },
  "simulate": {
    summary: "play a model in virtual time and write it as a capture",
    load: () => import("./simulate.ts"),
  },
  "test:captures": {
    summary: "read a folder of foreign captures and say how it went",
    load: () => import("./test_captures.ts"),
  },
};

/** Runs one command and returns the process's exit code. */
export function main(args: readonly string[]): Promise<number> {
  return runCommand("deno task", COMMANDS, args);
}

if (import.meta.main) Deno.exit(await main(Deno.args));
