import type { Random } from "../random.ts";

/** A standard normal draw (Box and Muller). */
export function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random.float())) * Math.cos(2 * Math.PI * random.float());
}

/** Shape of a log-normal quantity, and the bounds that it is clamped to. */
export interface LogNormal {
  /** Half of the draws are below. */
  readonly median: number;
  /** Standard deviation of the logarithm. */
  readonly sigma: number;
  /** Smallest value. */
  readonly min: number;
  /** Largest value. */
  readonly max: number;
}

/** Draws from a {@linkcode LogNormal}. */
export function logNormal(random: Random, shape: LogNormal): number {
  const value = shape.median * Math.exp(shape.sigma * normal(random));
  return Math.min(shape.max, Math.max(shape.min, value));
}

/** A whole number from a {@linkcode LogNormal}. */
export function wholeLogNormal(random: Random, shape: LogNormal): number {
  return Math.round(logNormal(random, shape));
}

/** Uniform between `low` and `high`. */
export function uniform(random: Random, low: number, high: number): number {
  return low + (high - low) * random.float();
}

/** A whole number from `low` to `high`, both included. */
export function between(random: Random, low: number, high: number): number {
  return low + random.integer(high - low + 1);
}

/** One of `items`, each as likely. */
export function pick<T>(random: Random, items: readonly T[]): T {
  return items[random.integer(items.length)]!;
}

/** One of the keys of `weights`, each in proportion to its weight. */
export function weighted<K extends string>(
  random: Random,
  weights: Readonly<Record<K, number>>,
): K {
  const entries = Object.entries(weights) as [K, number][];
  let rest = random.float() * entries.reduce((sum, [, weight]) => sum + weight, 0);
  for (const [key, weight] of entries) {
    rest -= weight;
    if (rest < 0) return key;
  }
  return entries.at(-1)![0];
}

const ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789";

/** `length` letters and digits. */
export function word(random: Random, length: number): string {
  let text = "";
  while (text.length < length) text += ALPHABET[random.integer(ALPHABET.length)];
  return text;
}

const SYLLABLES = [
  "ta",
  "ri",
  "mo",
  "sen",
  "lu",
  "ka",
  "ver",
  "no",
  "del",
  "pi",
  "ost",
  "an",
  "ge",
];

/** Lines of made-up words, `bytes` long in all, ended by a line feed. */
export function prose(random: Random, bytes: number): string {
  let text = "";
  let column = 0;
  while (text.length < bytes) {
    let next = "";
    for (let left = between(random, 1, 4); left > 0; left--) next += pick(random, SYLLABLES);
    column += next.length + 1;
    text += next + (column > 68 ? "\n" : " ");
    if (column > 68) column = 0;
  }
  return bytes < 1 ? "" : `${text.slice(0, bytes - 1)}\n`;
}

/** Lines of base64, as an attachment travels in a mail, `bytes` long in all. */
export function base64Lines(random: Random, bytes: number): string {
  const alphabet = `${ALPHABET}ABCDEFGHIJKLMNOPQRSTUVWXYZ+/`;
  const lines: string[] = [];
  for (let left = bytes; left > 0; left -= 77) {
    let line = "";
    for (let i = Math.min(76, left - 1); i > 0; i--) line += alphabet[random.integer(64)];
    lines.push(`${line}\n`);
  }
  return lines.join("");
}
