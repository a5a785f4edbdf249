import { createHash } from "node:crypto";
import { xoroshiro128plus } from "pure-rand";

/** A source of randomness that is passed in. */
export interface Random {
  /** A number drawn uniformly from [0, 1). */
  float(): number;
  /** An integer drawn uniformly from [0, `bound`), `bound` from 1 to 2^32. */
  integer(bound: number): number;
}

/**
 * A seeded generator for workloads and links: the same path gives the same numbers. It is no secret
 * and need not be strong.
 *
 * @example
 * ```ts
 * import { seededRandom } from "./random.ts";
 * if (seededRandom("run", 1).float() !== seededRandom("run", 1).float()) throw new Error("differ");
 * if (seededRandom("run", 1).float() === seededRandom("run", 2).float()) throw new Error("equal");
 * ```
 */
export function seededRandom(...path: readonly (string | number)[]): Random {
  const digest = createHash("sha256").update(JSON.stringify(path)).digest();
  const state = [0, 4, 8, 12].map((at) => digest.readInt32LE(at));
  const generator = xoroshiro128plus.fromState(state);
  const float = () =>
    ((generator.unsafeNext() >>> 5) * 67108864 + (generator.unsafeNext() >>> 6)) / 2 ** 53;
  return { float, integer: (bound) => Math.floor(float() * bound) };
}
