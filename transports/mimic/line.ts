import { UserError } from "../../base/mod.ts";
import { CARRIERS } from "../carriers/mod.ts";
import { type Address, AddressError, formatAddress, parseAddress } from "../doors/mod.ts";
import type { End } from "../../models/mod.ts";
import type { Scheduling } from "../../playback/mod.ts";
import { formatSecret, MAX_SESSIONS, parseSecret } from "./proof.ts";

/** What a client must know of a server: a bridge line. */
export interface ServerLine {
  /** Where it listens. */
  readonly address: Address;
  /** Base64url SHA-256 of its public key. */
  readonly cert: string;
  /** The user's secret. */
  readonly secret: Uint8Array;
  /** Name of the model that it holds. */
  readonly model: string;
  /** SHA-256 of the model file, lower-case hex; any number of digits from 8 on. */
  readonly digest?: string;
  /** The carrier: one of {@linkcode CARRIERS}. */
  readonly carrier: string;
  /** Application protocols to offer; none if absent. */
  readonly alpn?: readonly string[];
  /** Server name to ask for (SNI); none if absent. */
  readonly sni?: string;
  /** The account to log in to, for carriers that have such; the usual one if absent. */
  readonly login?: string;
  /** The secret path of a web server that stands in front; none does if absent. */
  readonly path?: string;
  /** Which end is master of the cover; the client's choice if absent. */
  readonly master?: End;
  /** Who decides when episodes start and of what kind they are; the client's choice if absent. */
  readonly schedule?: Scheduling;
  /** Model sessions at once, 1 to 16; the client's choice if absent. */
  readonly sessions?: number;
}

/** A line that cannot be used. */
export class LineError extends UserError {
  /** `why` names the part at fault. */
  constructor(why: string) {
    super(`the server's line: ${why}: give it as the server printed it`);
  }
}

/** What a line may say besides the address, in the order in which it is written. */
export const LINE_KEYS: readonly string[] = [
  "cert",
  "secret",
  "model",
  "digest",
  "carrier",
  "alpn",
  "sni",
  "login",
  "path",
  "master",
  "schedule",
  "sessions",
];

/** What a line says besides the address: keys and values, in their order. */
export function lineArgs(line: ServerLine): Record<string, string> {
  return {
    cert: line.cert,
    secret: formatSecret(line.secret),
    model: line.model,
    ...(line.digest === undefined ? {} : { digest: line.digest }),
    carrier: line.carrier,
    // Not by commas: tor's own file of bridge lines takes those for the ends of arguments, also escaped ones.
    ...(line.alpn === undefined ? {} : { alpn: line.alpn.join("+") }),
    ...(line.sni === undefined ? {} : { sni: line.sni }),
    ...(line.login === undefined ? {} : { login: line.login }),
    ...(line.path === undefined ? {} : { path: line.path }),
    ...(line.master === undefined ? {} : { master: line.master }),
    ...(line.schedule === undefined ? {} : { schedule: line.schedule }),
    ...(line.sessions === undefined ? {} : { sessions: String(line.sessions) }),
  };
}

/**
 * The line as one string: `mimic HOST:PORT cert=... secret=... model=... ...`.
 *
 * @example
 * ```ts
 * import { formatLine, parseLine } from "./line.ts";
 * const line = {
 *   address: { host: "192.0.2.1", port: 443 },
 *   cert: "A".repeat(43),
 *   secret: new Uint8Array(32),
 *   model: "https",
 *   carrier: "tls",
 * } as const;
 * if (parseLine(formatLine(line)).model !== "https") throw new Error("what is written is read");
 * ```
 */
export function formatLine(line: ServerLine): string {
  const parts = Object.entries(lineArgs(line)).map(([key, value]) => `${key}=${value}`);
  return `mimic ${formatAddress(line.address)} ${parts.join(" ")}`;
}

/**
 * Reads a line; the word `Bridge` before it is allowed, as tor writes it.
 *
 * @throws {LineError} naming the part at fault.
 */
export function parseLine(text: string): ServerLine {
  const words = text.trim().split(/\s+/);
  if (words[0] === "Bridge") words.shift();
  if (words.shift() !== "mimic") throw new LineError("it does not start with mimic");
  let address: Address;
  try {
    address = parseAddress(words.shift() ?? "", "");
  } catch (error) {
    if (error instanceof AddressError) throw new LineError("mimic is not followed by HOST:PORT");
    throw error;
  }
  const values = new Map<string, string>();
  for (const word of words) {
    const at = word.indexOf("=");
    const key = word.slice(0, at);
    if (at < 1 || !LINE_KEYS.includes(key)) {
      // Not the value, nor a word by itself: it may be the secret, and messages are kept and shown.
      throw new LineError(
        at < 1
          ? `one of its words is no key=value: is it broken in two?`
          : `${JSON.stringify(key.slice(0, 20))} is unknown`,
      );
    }
    if (values.has(key)) throw new LineError(`${key}= is there twice`);
    values.set(key, word.slice(at + 1));
  }
  return lineOf(address, values);
}

/**
 * The line of an address and of `values` by their keys; keys that are none of a line's are ignored.
 *
 * @throws {LineError} naming the part at fault.
 */
export function lineOf(address: Address, values: ReadonlyMap<string, string>): ServerLine {
  const value = (key: string, shape: RegExp, what: string): string => {
    const found = values.get(key);
    if (found === undefined) throw new LineError(`${key}= is missing`);
    if (!shape.test(found)) throw new LineError(`${key}= is not ${what}`);
    return found;
  };
  const optional = (key: string, shape: RegExp, what: string) =>
    values.has(key) ? { [key]: value(key, shape, what) } : {};
  const cert = value("cert", /^[A-Za-z0-9_-]{43}$/, "a SHA-256 in base64url");
  const secret = value("secret", /^[A-Za-z0-9_-]{43}$/, "32 bytes in base64url");
  const model = value("model", /^[a-zA-Z0-9_-]{1,64}$/, "a model's name");
  const carrier = values.get("carrier") ?? "tls";
  if (!CARRIERS.has(carrier)) {
    throw new LineError(`carrier= is not one of this version (${[...CARRIERS.keys()].join(", ")})`);
  }
  const alpn = values.has("alpn")
    ? { alpn: value("alpn", /^[\x21-\x7e]{1,100}$/, "a list of protocols").split(/[+,]/) }
    : {};
  return {
    address,
    cert,
    secret: parseSecret(secret, "secret="),
    model,
    ...optional("digest", /^[0-9a-f]{8,64}$/, "a SHA-256 in hex"),
    carrier,
    ...alpn,
    ...optional("sni", /^[a-zA-Z0-9._-]{1,253}$/, "a host name"),
    ...optional("login", /^[a-zA-Z_][a-zA-Z0-9_.-]{0,31}$/, "an account's name"),
    ...optional("master", /^(?:client|server)$/, "client or server"),
    ...optional("path", /^\/[A-Za-z0-9._~/-]{1,120}$/, "a path"),
    ...optional("schedule", /^(?:strict|demand|adaptive)$/, "strict, demand or adaptive"),
    ...(values.has("sessions") ? { sessions: sessionsOf(values.get("sessions")!) } : {}),
  };
}

/** What `sessions` may be, in words. */
const RANGE = `a number from 1 to ${MAX_SESSIONS}`;

/**
 * Reads the number of model sessions played at once.
 *
 * @throws {LineError} if it is none.
 */
export function sessionsOf(text: string): number {
  const sessions = /^\d{1,2}$/.test(text) ? Number(text) : 0;
  if (sessions >= 1 && sessions <= MAX_SESSIONS) return sessions;
  throw new LineError(`sessions= is not ${RANGE}`);
}
