import { UserError } from "../../base/mod.ts";
import { BUILT_IN_ATTACKS } from "../../plugins/built_in.ts";
import type { AttackProgram } from "../../plugins/host/mod.ts";

/**
 * One of our own attacks as a program that runs in this thread: for a worker that is there for nothing else. One at
 * a time: an attack keeps what it has learned in its module.
 */
export function attackInThisThread(name: string): AttackProgram {
  const load = BUILT_IN_ATTACKS[name];
  if (load === undefined) throw new UserError(`${name}: not one of our own attacks`);
  return {
    specifier: name,
    sha256: undefined,
    async start() {
      const { default: plugin } = await load();
      return {
        name: plugin.name,
        reads: plugin.reads,
        train: async (samples, options) => await plugin.train(samples, options),
        classify: async (samples) => await plugin.classify(samples),
        [Symbol.asyncDispose]: () => Promise.resolve(),
      };
    },
  };
}
