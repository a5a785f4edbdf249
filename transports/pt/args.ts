import { ArgumentError } from "./errors.ts";

/**
 * Named arguments of a transport: each key has one or more values, in the order in which they came.
 */
export type TransportArgs = ReadonlyMap<string, readonly string[]>;

/** What callers may write for arguments: an object or a map, with one or several values each. */
export type ArgsLike =
  | TransportArgs
  | Readonly<Record<string, string | readonly string[]>>;

/** Arguments from an object. */
export function toArgs(args: ArgsLike): TransportArgs {
  if (args instanceof Map) return args;
  return new Map(
    Object.entries(args).map((
      [key, value],
    ) => [key, typeof value === "string" ? [value] : [...value]]),
  );
}

/**
 * The value of a key that may be given once only; undefined if it is absent.
 *
 * @throws {ArgumentError} if it was given several times.
 */
export function oneArg(args: TransportArgs, key: string): string | undefined {
  const values = args.get(key);
  if (values !== undefined && values.length > 1) {
    throw new ArgumentError(`argument ${key} is given ${values.length} times: give it once`);
  }
  return values?.[0];
}

/** The most bytes that arguments can have on their way through SOCKS (255 in each field). */
export const MAX_ARGS_BYTES = 510;

/** Reads up to the first unescaped character of `ends`; `\x` stands for `x`. */
function readPart(text: string, from: number, ends: string, what: string) {
  let value = "";
  let at = from;
  for (; at < text.length && !ends.includes(text[at]!); at++) {
    if (text[at] === "\\" && ++at === text.length) {
      throw new ArgumentError(`${what} end in a single backslash: write it twice`);
    }
    value += text[at];
  }
  return { value, at };
}

/** Fills `args` with `key=value` from `from` on, up to the end; several are separated by `separator`. */
function readPairs(
  text: string,
  what: string,
  into: (key: string, value: string) => void,
  readKey: (at: number) => { key: string; at: number },
): void {
  for (let at = 0;;) {
    const { key, at: equals } = readKey(at);
    if (key === "") throw new ArgumentError(`${what} have an empty key`);
    if (text[equals] !== "=") throw new ArgumentError(`${what} have a key without "="`);
    const { value, at: end } = readPart(text, equals + 1, ";", what);
    into(key, value);
    if (end === text.length) return;
    at = end + 1;
  }
}

function add(args: Map<string, string[]>, key: string, value: string): void {
  const values = args.get(key);
  if (values === undefined) args.set(key, [value]);
  else values.push(value);
}

/**
 * Reads the arguments of a bridge line as tor sends them through SOCKS: `k=v;k=v`, split at the first
 * unescaped `=` (tor escapes only `;` and `\`, so a value may hold `=` as it is). An empty text has none;
 * empty values and repeated keys are legal. pt-spec, "Client per-connection arguments".
 *
 * @throws {ArgumentError} on a dangling backslash, a missing `=`, an empty key or a trailing `;`.
 * @example
 * ```ts
 * import { parseClientArgs } from "./args.ts";
 * const args = parseClientArgs("cert=aGk=;iat-mode=0;path=a\\;b");
 * if (args.get("cert")![0] !== "aGk=" || args.get("path")![0] !== "a;b") throw new Error();
 * ```
 */
export function parseClientArgs(text: string): TransportArgs {
  const args = new Map<string, string[]>();
  if (text === "") return args;
  const what = "the arguments";
  readPairs(text, what, (key, value) => add(args, key, value), (from) => {
    const { value, at } = readPart(text, from, "=;", what);
    return { key: value, at };
  });
  return args;
}

/**
 * Writes arguments as the specification says, for what stands in for tor: `\`, `=` and `;` are escaped.
 *
 * @throws {ArgumentError} on an empty key.
 */
export function encodeClientArgs(args: ArgsLike): string {
  return encodePairs(args, /[\\=;]/g, ";");
}

function encodePairs(args: ArgsLike, special: RegExp, separator: string): string {
  const escape = (text: string) => text.replaceAll(special, "\\$&");
  const pairs: string[] = [];
  for (const [key, values] of toArgs(args)) {
    if (key === "") throw new ArgumentError("an argument has an empty key");
    for (const value of values) pairs.push(`${escape(key)}=${escape(value)}`);
  }
  return pairs.join(separator);
}

/**
 * Writes the arguments of an `SMETHOD` line (without `ARGS:`): `\`, `=` and `,` are escaped.
 *
 * @throws {ArgumentError} on an empty key, or on a blank, a control character or one that is not ASCII: tor
 * splits its input at blanks, so such a value cannot be told.
 * @example
 * ```ts
 * import { encodeServerArgs } from "./args.ts";
 * const text = encodeServerArgs({ cert: "aGk=", modes: ["a", "b"] });
 * if (text !== "cert=aGk\\=,modes=a,modes=b") throw new Error(text);
 * ```
 */
export function encodeServerArgs(args: ArgsLike): string {
  const text = encodePairs(args, /[\\=,]/g, ",");
  if (!/^[\x21-\x7e]*$/.test(text)) {
    throw new ArgumentError("an argument has a blank or a character that is not ASCII");
  }
  return text;
}

/**
 * Reads `TOR_PT_SERVER_TRANSPORT_OPTIONS`: `name:k=v;name:k=v`, where `\` escapes `:`, `;` and `\`. Keys may
 * repeat. The result is by transport.
 *
 * @throws {ArgumentError} on what is not of this form.
 * @example
 * ```ts
 * import { parseServerOptions } from "./args.ts";
 * const options = parseServerOptions("rot13:at=12\\:30;rot13:x=1;trebuchet:x=2");
 * if (options.get("rot13")!.get("at")![0] !== "12:30") throw new Error();
 * ```
 */
export function parseServerOptions(text: string): ReadonlyMap<string, TransportArgs> {
  const options = new Map<string, Map<string, string[]>>();
  if (text === "") return options;
  const what = "the transport options";
  let name = "";
  const take = (key: string, value: string) => {
    let args = options.get(name);
    if (args === undefined) options.set(name, args = new Map());
    add(args, key, value);
  };
  readPairs(text, what, take, (from) => {
    const method = readPart(text, from, ":=;", what);
    if (text[method.at] !== ":") throw new ArgumentError(`${what} have an entry without "name:"`);
    if (method.value === "") throw new ArgumentError(`${what} have an empty transport name`);
    name = method.value;
    const { value, at } = readPart(text, method.at + 1, "=;", what);
    return { key: value, at };
  });
  return options;
}
