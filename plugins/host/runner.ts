/**
 * The root module of the child process that a plugin by others runs in. It has no permission of any
 * kind; it receives the plugin's source on standard input, loads it by a `data:` import and answers
 * calls. Nothing here guards anything: the host distrusts whatever leaves this process.
 *
 * @module
 */
import {
  type Column,
  decodeFields,
  encodeFields,
  type Fields,
  isColumn,
  type Plain,
} from "./codec.ts";
import { FRAME, frameHead, type FrameKind, FrameReader } from "./frames.ts";
import { KeyRandom } from "./key_random.ts";

const stdout = Deno.stdout;
const stdin = Deno.stdin;

function writeAll(bytes: Uint8Array): void {
  for (let sent = 0; sent < bytes.length;) sent += stdout.writeSync(bytes.subarray(sent));
}

function send(kind: FrameKind, serial: number, payload: Uint8Array): void {
  writeAll(frameHead(kind, serial, payload.length));
  writeAll(payload);
}

function describe(error: unknown): string {
  try {
    const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    return text.slice(0, 1000);
  } catch {
    return "something that cannot be told";
  }
}

/** Splits `0.sizes`, `0.count`, `1.seed` into the arguments that they are fields of. */
function argumentsOf(fields: Record<string, Plain | Column>): Record<string, Plain | Column>[] {
  const list: Record<string, Plain | Column>[] = [];
  for (const [key, value] of Object.entries(fields)) {
    const dot = key.indexOf(".");
    const index = Number(key.slice(0, dot));
    if (dot > 0) (list[index] ??= {})[key.slice(dot + 1)] = value;
  }
  return list;
}

function manifestOf(plugin: Record<string, unknown>): Fields {
  const values: Record<string, Plain> = {};
  const methods: string[] = [];
  for (const [name, value] of Object.entries(plugin)) {
    if (typeof value === "function") methods.push(name);
    else if (["string", "number", "boolean"].includes(typeof value)) values[name] = value as Plain;
    else if (Array.isArray(value) && value.every((item) => typeof item === "string")) {
      values[name] = value;
    }
  }
  return { values, methods };
}

function plainFields(answer: unknown): Fields {
  if (typeof answer !== "object" || answer === null) throw new TypeError("the answer is no object");
  const fields: Record<string, Plain | Column> = {};
  for (const [name, value] of Object.entries(answer)) {
    if (isColumn(value)) fields[name] = value;
    else if (value !== undefined && typeof value !== "function") fields[name] = value as Plain;
  }
  return fields;
}

/** Calls a method that draws: with the randomness of `key`, and any plain value for an answer. */
async function draw(
  action: { apply(self: unknown, args: unknown[]): unknown },
  key: Uint8Array,
  kind: Plain | Column | undefined,
  like: Plain | Column | undefined,
): Promise<Plain> {
  const random = new KeyRandom(key);
  const args = like !== undefined
    ? [random, kind, like]
    : kind !== undefined
    ? [random, kind]
    : [random];
  return (await action.apply(plugin, args) ?? null) as Plain;
}

// Standard output carries the frames; a plugin's own words go to standard error.
const words = console;
for (const name of ["log", "info", "debug", "table", "dir"] as const) {
  words[name] = words.error;
}

const buffer = new Uint8Array(1 << 16);
const reader = new FrameReader(async () => {
  const count = await stdin.read(buffer);
  return count === null ? undefined : buffer.slice(0, count);
});

let plugin: Record<string, unknown> | undefined;
for (;;) {
  const frame = await reader.read(0xffff_ffff);
  if (frame === undefined) break;
  try {
    if (frame.kind === FRAME.source) {
      let text = "";
      const step = 0x8000;
      for (let at = 0; at < frame.payload.length; at += step) {
        text += String.fromCharCode(...frame.payload.subarray(at, at + step));
      }
      const module = await import(`data:application/javascript;charset=utf-8;base64,${btoa(text)}`);
      const found: unknown = module.default;
      if (typeof found !== "object" || found === null) {
        throw new TypeError("its default export is no object");
      }
      plugin = found as Record<string, unknown>;
      send(FRAME.ready, frame.serial, encodeFields(manifestOf(plugin)));
    } else {
      const { method, credit, ...rest } = decodeFields(frame.payload);
      const action = plugin?.[String(method)];
      if (typeof action !== "function") throw new TypeError(`it has no method ${method}`);
      const answer = encodeFields(
        rest.key instanceof Uint8Array
          ? { value: await draw(action, rest.key, rest.kind, rest.like) }
          : plainFields(await action.apply(plugin, argumentsOf(rest))),
      );
      if (answer.length > Number(credit)) {
        throw new RangeError(`its answer has ${answer.length} bytes where ${credit} are allowed`);
      }
      send(FRAME.answer, frame.serial, answer);
    }
  } catch (error) {
    send(FRAME.failure, frame.serial, encodeFields({ message: describe(error) }));
  }
}
