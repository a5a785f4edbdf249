import type { CoverModel } from "../models/cover_model.ts";
import { SeededRandom } from "../models/random.ts";
import type { Opening } from "./openings.ts";
import type { GoesOn } from "./schedule.ts";

/** Pauses of which the shortest is taken by somebody eager, besides the one that is due anyway. */
const EAGER_DRAWS = 3;

/**
 * When somebody who goes on begins the next episode, of whom the model says an opening: after another pause that the
 * model draws, the one within activity if it knows of such; if `eager`, after the shortest of three. So no pause is
 * shorter than people's, and none as regular as a rule would be. The same `seed` gives the same pause.
 *
 * @example
 * ```ts
 * import { ConstantRate } from "../models/constant_rate.ts";
 * import { goesOn } from "./goes_on.ts";
 * const opening = { after: "start", begins: true, time: 60_000 } as const;
 * const { time } = goesOn(new ConstantRate(), new Uint8Array(32), true, opening);
 * if (time > 60_000) throw new Error("nobody who goes on is slower than that");
 * ```
 */
export function goesOn(
  model: CoverModel,
  seed: Uint8Array,
  eager: boolean,
  { after, time }: Opening,
): GoesOn {
  const random = new SeededRandom(seed);
  const draws = eager ? EAGER_DRAWS : 1;
  const shortest = (draw: () => number) => Math.min(...Array.from({ length: draws }, draw));
  if (model.pause?.(random) !== undefined) {
    return { after: "start", time: shortest(() => model.pause!(random) ?? Infinity) };
  }
  const pauses = model.session(random)?.pauses.slice(1) ?? [];
  if (pauses.length > 0) {
    return { after, time: shortest(() => pauses[random.integer(pauses.length)]!) };
  }
  const gap = model.connectionGap(random);
  if (gap === "close") return { after, time };
  return {
    after,
    time: shortest(() => {
      const next = model.connectionGap(random);
      return next === "close" ? gap : next;
    }),
  };
}
