import { createHash } from "node:crypto";
import { InvalidArgumentError } from "./command_line.ts";

/** Reads an option that is a whole number in a range. */
export function numberOf(least: number, most: number): (text: string) => number {
  return (text) => {
    const number = Number(text);
    if (/^\d+$/.test(text) && number >= least && number <= most) return number;
    throw new InvalidArgumentError(`a whole number from ${least} to ${most}`);
  };
}

/** Reads a seed, 1 to 64 bytes in hex, as the 32 bytes that cover is drawn from. */
export function seedOf(text: string): Uint8Array {
  if (!/^([0-9a-fA-F]{2}){1,64}$/.test(text)) {
    throw new InvalidArgumentError("a seed is 1 to 64 bytes in hex");
  }
  const bytes = new Uint8Array(text.match(/../g)!.map((pair) => parseInt(pair, 16)));
  return bytes.length === 32 ? bytes : new Uint8Array(createHash("sha256").update(bytes).digest());
}
