import { createHash } from "node:crypto";

const WIDTH = 100;

function print(value: unknown, indent: string): string {
  const flat = JSON.stringify(value);
  if (value === null || typeof value !== "object") return flat;
  if (indent.length + flat.length <= WIDTH) return flat;
  const inner = `${indent} `;
  if (Array.isArray(value)) {
    if (value.every((item) => typeof item === "number")) return wrapped(value, inner);
    const items = value.map((item) => `${inner}${print(item, inner)}`);
    return `[\n${items.join(",\n")}\n${indent}]`;
  }
  const items = Object.entries(value).filter(([, item]) => item !== undefined).map(
    ([key, item]) => `${inner}${JSON.stringify(key)}: ${print(item, inner)}`,
  );
  return `{\n${items.join(",\n")}\n${indent}}`;
}

/** Long lists of numbers, as many to a line as fit. */
function wrapped(values: readonly number[], indent: string): string {
  const lines: string[] = [];
  let line = "";
  for (const value of values) {
    const text = `${JSON.stringify(value)},`;
    if (line.length > 0 && indent.length + line.length + text.length > WIDTH) {
      lines.push(indent + line);
      line = "";
    }
    line += text;
  }
  lines.push(indent + line.slice(0, -1));
  return `[\n${lines.join("\n")}\n${indent.slice(1)}]`;
}

/**
 * JSON with one way to write each value: what fits a line of 100 stays on one line, the rest has a line
 * an item, keys in the order given. Readable and diffable; the same value gives the same text.
 */
export function canonicalText(value: unknown): string {
  return `${print(value, "")}\n`;
}

/** SHA-256 of a text as lower-case hex. */
export function sha256Hex(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
