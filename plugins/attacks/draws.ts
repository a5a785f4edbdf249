import { type RandomGenerator, unsafeUniformIntDistribution, xoroshiro128plus } from "pure-rand";

/** Seeded draws for attacks: fast and repeatable, not secret. */
export class Draws {
  readonly #generator: RandomGenerator;

  /** Starts the stream of `seed`, of which the low 32 bits count. */
  constructor(seed: number) {
    this.#generator = xoroshiro128plus(seed | 0);
  }

  /** An integer from 0 up to, not including, `bound` (at most 2^31). */
  integer(bound: number): number {
    return unsafeUniformIntDistribution(0, bound - 1, this.#generator);
  }

  /** A number from [0, 1), with 32 bits. */
  float(): number {
    return (this.#generator.unsafeNext() >>> 0) / 4294967296;
  }

  /** Shuffles `list` in place. */
  shuffle<T extends { length: number; [index: number]: unknown }>(list: T): T {
    for (let i = list.length - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      const held = list[i];
      (list as { [index: number]: unknown })[i] = list[j];
      (list as { [index: number]: unknown })[j] = held;
    }
    return list;
  }
}
