import { largestGap } from "../../base/largest_gap.ts";
import type { LabelledSamples } from "../../plugins/attack.ts";
import { firstMessageNames, firstMessageRows } from "../../plugins/attacks/first_messages.ts";
import { messageColumnNames, messageRows } from "../../plugins/attacks/message_features.ts";
import type { Rows } from "../../plugins/attacks/scaler.ts";
import { type Curve, curveOf } from "./curve.ts";

/** One of the columns that an attack went by, in real traffic and in the other. */
export interface TellingColumn {
  /** Its name. */
  readonly name: string;
  /** Its share of the attack's gain, mean over the pairs of held-out runs. */
  readonly importance: number;
  /** Largest gap between the two distributions. */
  readonly ks: number;
  /** The distributions; values that say that there is no such message are left out. */
  readonly curves: { readonly real: Curve; readonly other: Curve };
  /** Shares of connections that have such a message, `[real, other]`. */
  readonly present: readonly [number, number];
}

/** Columns shown. */
const SHOWN = 6;
/** Messages that the attack `first-messages` looks at. */
const FIRST_MESSAGES = 16;

/** An attack's columns of samples, and their names; undefined for an attack that does not tell importances. */
function columnsOf(
  attack: string,
  samples: LabelledSamples,
): { readonly names: readonly string[]; readonly rows: Rows } | undefined {
  if (attack === "gradient-boosting") {
    const names = [...samples.featureNames, ...messageColumnNames()];
    return { names, rows: messageRows(samples) };
  }
  if (attack === "first-messages") {
    const names = firstMessageNames(FIRST_MESSAGES);
    return { names, rows: firstMessageRows(samples, FIRST_MESSAGES) };
  }
  return undefined;
}

/** What stands in a column for a message that a connection does not have: 0 for a size, -1 for anything else. */
const absent = (name: string, value: number) => value === (/^size\d/.test(name) ? 0 : -1);

/**
 * The columns that told an attack most, worst first, with their distributions in real traffic and in what is told
 * from it: what gives the cover away. `importances` are the attack's own, by column name.
 */
export function tellingColumns(
  attack: string,
  importances: ReadonlyMap<string, number>,
  real: LabelledSamples,
  other: LabelledSamples,
): TellingColumn[] {
  const tables = [columnsOf(attack, real), columnsOf(attack, other)] as const;
  if (tables[0] === undefined || tables[1] === undefined) return [];
  const both = [tables[0], tables[1]] as const;
  return [...importances].sort((a, b) => b[1] - a[1]).slice(0, SHOWN)
    .map(([name, importance]) => {
      const column = both[0].names.indexOf(name);
      const all = both.map(({ rows: { count, values, width } }) =>
        Float64Array.from({ length: count }, (_, i) => values[i * width + column]!).sort()
      ) as [Float64Array, Float64Array];
      const there = all.map((values) => values.filter((value) => !absent(name, value)));
      return {
        name,
        importance,
        ks: largestGap(all[0], all[1]),
        curves: { real: curveOf(there[0]!), other: curveOf(there[1]!) },
        present: [0, 1].map((which) => there[which]!.length / Math.max(1, all[which]!.length)) as [
          number,
          number,
        ],
      };
    });
}
