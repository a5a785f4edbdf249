import { UserError } from "../../base/mod.ts";

/** Why a plugin was refused or stopped. */
export type PluginFault =
  | "not-found"
  | "not-bundled"
  | "integrity"
  | "sandbox"
  | "contract"
  | "threw"
  | "deadline"
  | "memory"
  | "exited"
  | "output"
  | "answer";

/**
 * A plugin that could not be loaded, misbehaved or answered nonsense: one line that names it. The
 * plugin's process has been stopped by the time this is thrown.
 */
export class PluginError extends UserError {
  /** `plugin` is its name or specifier; `what` completes the line `plugin NAME: ...`. */
  constructor(
    /** The plugin's name or specifier, as the user gave it. */
    readonly plugin: string,
    /** Why it was refused or stopped. */
    readonly fault: PluginFault,
    what: string,
    options?: ErrorOptions,
  ) {
    super(`plugin ${oneLine(plugin, 200)}: ${what}`, options);
  }
}

/**
 * Text from outside made fit for one line of a terminal: the first line that says something, without
 * control characters, at most `limit` characters.
 */
export function oneLine(text: string, limit = 300): string {
  const line = text.split(/[\r\n]/, 50).find((part) => part.trim() !== "") ?? "";
  // deno-lint-ignore no-control-regex -- those are what must not reach the terminal
  const clean = line.replace(/\x1b\[[0-9;]*[A-Za-z]/g, "").replace(/[\x00-\x1f\x7f-\x9f]/g, " ")
    .trim();
  return clean.length > limit ? `${clean.slice(0, limit - 1)}…` : clean;
}
