import { UserError } from "../../base/mod.ts";
import { type Address, AddressError, formatAddress, parseAddress } from "../doors/mod.ts";
import { formatSecret, parseSecret } from "./proof.ts";

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
  /** The carrier. */
  readonly carrier: "tls";
  /** Application protocols to offer; none if absent. */
  readonly alpn?: readonly string[];
  /** Server name to ask for (SNI); none if absent. */
  readonly sni?: string;
}

/** A line that cannot be used. */
export class LineError extends UserError {
  /** `why` names the part at fault. */
  constructor(why: string) {
    super(`the server's line: ${why}: give it as the server printed it`);
  }
}

const KEYS = ["cert", "secret", "model", "digest", "carrier", "alpn", "sni"];

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
  const parts = [
    `cert=${line.cert}`,
    `secret=${formatSecret(line.secret)}`,
    `model=${line.model}`,
    ...(line.digest === undefined ? [] : [`digest=${line.digest}`]),
    `carrier=${line.carrier}`,
    ...(line.alpn === undefined ? [] : [`alpn=${line.alpn.join(",")}`]),
    ...(line.sni === undefined ? [] : [`sni=${line.sni}`]),
  ];
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
    if (at < 1 || !KEYS.includes(key)) {
      throw new LineError(`${JSON.stringify(word.slice(0, 20))} is unknown`);
    }
    if (values.has(key)) throw new LineError(`${key}= is there twice`);
    values.set(key, word.slice(at + 1));
  }
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
  if (values.has("carrier")) value("carrier", /^tls$/, "a carrier of this version (tls)");
  const alpn = values.has("alpn")
    ? { alpn: value("alpn", /^[\x21-\x7e]{1,100}$/, "a list of protocols").split(",") }
    : {};
  return {
    address,
    cert,
    secret: parseSecret(secret, "secret="),
    model,
    ...optional("digest", /^[0-9a-f]{8,64}$/, "a SHA-256 in hex"),
    carrier: "tls",
    ...alpn,
    ...optional("sni", /^[a-zA-Z0-9._-]{1,253}$/, "a host name"),
  };
}
