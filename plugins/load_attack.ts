import { moduleBeside } from "../base/mod.ts";
import { BUILT_IN_ATTACKS } from "./built_in.ts";
import {
  type AttackLimits,
  type AttackProgram,
  bundlePlugin,
  DEFAULT_ATTACK_LIMITS,
  PluginError,
  sandboxedAttack,
  specifierKind,
  startInWorker,
} from "./host/mod.ts";

/** What may be asked of {@linkcode loadAttack}. */
export interface LoadOptions {
  /** `sha256-` and the digest of the bundled source: any other source is refused. */
  readonly integrity?: string;
  /** What an attack by others may use. */
  readonly limits?: AttackLimits;
}

/**
 * Finds an attack by the name of one of our own, or by path, `file:`, `https:`, `npm:` or `jsr:`
 * specifier. Our own run in a worker; any other is bundled, pinned and, when started, sandboxed.
 *
 * @throws {PluginError} if there is none, or it cannot be bundled, or is not what `integrity` says.
 *
 * @example
 * ```ts
 * import { loadAttack } from "./load_attack.ts";
 * const program = await loadAttack("knn");
 * await using attack = await program.start();
 * if (attack.reads !== "features") throw new Error("knn reads features");
 * ```
 */
export async function loadAttack(
  specifier: string,
  options: LoadOptions = {},
): Promise<AttackProgram> {
  if (Object.hasOwn(BUILT_IN_ATTACKS, specifier)) {
    if (options.integrity !== undefined || options.limits !== undefined) {
      throw new PluginError(
        specifier,
        "not-found",
        "is one of our own: it has no digest to pin and runs under no limits but yours",
      );
    }
    const module = moduleBeside("./built_in_worker", import.meta.url);
    return { specifier, sha256: undefined, start: () => startInWorker(specifier, module) };
  }
  if (specifierKind(specifier) === "name") {
    const names = Object.keys(BUILT_IN_ATTACKS).join(", ");
    throw new PluginError(
      specifier,
      "not-found",
      `unknown (built in are ${names}; any other is given by path or specifier)`,
    );
  }
  const source = await bundlePlugin(
    specifier,
    options.integrity === undefined ? {} : { integrity: options.integrity },
  );
  return sandboxedAttack(source, options.limits ?? DEFAULT_ATTACK_LIMITS);
}
