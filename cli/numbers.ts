import { InvalidArgumentError } from "./command_line.ts";

/** A parser of options that are whole numbers from `least` to `most`. */
export function wholeNumber(least: number, most: number = Number.MAX_SAFE_INTEGER) {
  return (text: string): number => {
    const value = Number(text);
    if (text.trim() !== "" && Number.isSafeInteger(value) && value >= least && value <= most) {
      return value;
    }
    throw new InvalidArgumentError(
      most === Number.MAX_SAFE_INTEGER
        ? `a whole number from ${least}`
        : `a whole number from ${least} to ${most}`,
    );
  };
}

/** Parses an option that is a number above zero. */
export function positiveNumber(text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && value > 0 && Number.isFinite(value)) return value;
  throw new InvalidArgumentError("a number above 0");
}

/** Parses a size: bytes, or with the suffix k, M or G (powers of 1000), such as `100M`. */
export function byteSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)([kMG]?)B?$/.exec(text.trim());
  const scale = { "": 1, k: 1e3, M: 1e6, G: 1e9 }[match?.[2] ?? ""];
  const value = Math.floor(Number(match?.[1]) * (scale ?? NaN));
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new InvalidArgumentError("a size such as 500k, 100M or 2G");
}
