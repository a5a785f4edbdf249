/**
 * The first bytes of a TLS client (RFC 8446, section 4.1.2), read before any TLS stack sees them.
 *
 * @module
 */

/** What a ClientHello says, as far as a server can tell clients apart by it. */
export interface ClientHello {
  /** The record's version, such as 0x0301. */
  readonly recordVersion: number;
  /** The version field of the hello itself: 0x0303 since TLS 1.2. */
  readonly version: number;
  /** The client's random, 32 bytes; valid as long as the bytes that were read. */
  readonly random: Uint8Array;
  /** Length of the legacy session id, in bytes. */
  readonly sessionIdLength: number;
  /** Cipher suites, in their order. */
  readonly cipherSuites: readonly number[];
  /** Types of the extensions, in their order. */
  readonly extensions: readonly number[];
  /** The server's name that is asked for. */
  readonly serverName?: string;
  /** Application protocols offered, in their order. */
  readonly alpn?: readonly string[];
  /** Versions offered by the extension; without it only {@linkcode version} is. */
  readonly versions: readonly number[];
  /** Groups offered. */
  readonly groups: readonly number[];
  /** Groups for which a key share is there. */
  readonly keyShares: readonly number[];
  /** Signature algorithms offered. */
  readonly signatureAlgorithms: readonly number[];
  /** EC point formats offered. */
  readonly pointFormats: readonly number[];
}

const RECORD_HEADER = 5;
/** A hello may fill one record; ours has a few hundred bytes. */
const LONGEST = RECORD_HEADER + 16384;

/** Reads numbers and vectors, and throws RangeError past the end. */
class Cursor {
  readonly #bytes: Uint8Array;
  readonly #end: number;
  #at: number;

  constructor(bytes: Uint8Array, at: number, end: number) {
    this.#bytes = bytes;
    this.#at = at;
    this.#end = end;
  }

  get left(): number {
    return this.#end - this.#at;
  }

  number(size: number): number {
    let value = 0;
    for (const byte of this.take(size)) value = value * 256 + byte;
    return value;
  }

  take(length: number): Uint8Array {
    if (length > this.left) throw new RangeError("past the end");
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  /** A vector that begins with its length in `size` bytes. */
  vector(size: number): Cursor {
    const length = this.number(size);
    const bytes = this.take(length);
    return new Cursor(bytes, 0, length);
  }

  numbers(size: number): number[] {
    const values: number[] = [];
    while (this.left > 0) values.push(this.number(size));
    return values;
  }
}

function text(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

/**
 * Reads a ClientHello that fills exactly one record, which is what every common client sends.
 *
 * @returns the hello; `"more"` while `bytes` may still become one; `"none"` if they never will, which includes
 * hellos cut into several records, and bytes after the hello.
 *
 * @example
 * ```ts
 * import { readClientHello } from "./client_hello.ts";
 * if (readClientHello(new Uint8Array([0x16, 3, 1])) !== "more") throw new Error("it may become one");
 * if (readClientHello(new TextEncoder().encode("GET / HTTP/1.1")) !== "none") {
 *   throw new Error("that is none");
 * }
 * ```
 */
export function readClientHello(bytes: Uint8Array): ClientHello | "more" | "none" {
  const [type, major, minor] = bytes;
  if (type !== undefined && type !== 22) return "none";
  if (major !== undefined && major !== 3) return "none";
  if (minor !== undefined && minor > 4) return "none";
  if (bytes.length < RECORD_HEADER) return "more";
  const length = RECORD_HEADER + bytes[3]! * 256 + bytes[4]!;
  if (length > LONGEST || length < RECORD_HEADER + 4) return "none";
  if (bytes.length > RECORD_HEADER && bytes[RECORD_HEADER] !== 1) return "none";
  if (bytes.length < length) return "more";
  if (bytes.length > length) return "none";
  try {
    return parse(bytes);
  } catch (error) {
    if (error instanceof RangeError) return "none";
    throw error;
  }
}

function parse(bytes: Uint8Array): ClientHello | "none" {
  const record = new Cursor(bytes, 1, bytes.length);
  const recordVersion = record.number(2);
  record.take(3);
  const hello = record.vector(3);
  if (record.left !== 0) return "none";
  const version = hello.number(2);
  const random = hello.take(32);
  const sessionIdLength = hello.vector(1).left;
  const cipherSuites = hello.vector(2).numbers(2);
  const compressions = hello.vector(1).numbers(1);
  if (compressions.length === 0) return "none";
  const extensions: number[] = [];
  let serverName: string | undefined;
  let alpn: string[] | undefined;
  let versions = [version];
  let groups: number[] = [];
  const keyShares: number[] = [];
  let signatureAlgorithms: number[] = [];
  let pointFormats: number[] = [];
  const list = hello.left === 0 ? undefined : hello.vector(2);
  while (list !== undefined && list.left > 0) {
    const kind = list.number(2);
    const body = list.vector(2);
    extensions.push(kind);
    switch (kind) {
      case 0: {
        const names = body.vector(2);
        if (names.number(1) === 0) serverName = text(names.take(names.number(2)));
        break;
      }
      case 10:
        groups = body.vector(2).numbers(2);
        break;
      case 11:
        pointFormats = body.vector(1).numbers(1);
        break;
      case 13:
        signatureAlgorithms = body.vector(2).numbers(2);
        break;
      case 16: {
        const protocols = body.vector(2);
        alpn = [];
        while (protocols.left > 0) alpn.push(text(protocols.take(protocols.number(1))));
        break;
      }
      case 43:
        versions = body.vector(1).numbers(2);
        break;
      case 51: {
        const shares = body.vector(2);
        while (shares.left > 0) {
          keyShares.push(shares.number(2));
          shares.take(shares.number(2));
        }
        break;
      }
    }
  }
  if (hello.left !== 0) return "none";
  return {
    recordVersion,
    version,
    random,
    sessionIdLength,
    cipherSuites,
    extensions,
    ...(serverName === undefined ? {} : { serverName }),
    ...(alpn === undefined ? {} : { alpn }),
    versions,
    groups,
    keyShares,
    signatureAlgorithms,
    pointFormats,
  };
}

/**
 * All that the TLS of this runtime (rustls) ever offers as a client. Programs with other TLS stacks (browsers,
 * curl, OpenSSL, Go) offer things that are not in here.
 */
const RUNTIME = {
  cipherSuites: new Set([
    ...[0x1301, 0x1302, 0x1303],
    ...[0xc02b, 0xc02c, 0xc02f, 0xc030, 0xcca8, 0xcca9, 0x00ff],
  ]),
  extensions: new Set([0, 5, 10, 11, 13, 16, 23, 35, 43, 45, 51]),
  needed: [5, 10, 11, 13, 23, 43, 45, 51],
  groups: new Set([0x001d, 0x0017, 0x0018, 0x11ec]),
  signatureAlgorithms: new Set([
    ...[0x0401, 0x0403, 0x0501, 0x0503, 0x0601, 0x0603],
    ...[0x0804, 0x0805, 0x0806, 0x0807],
  ]),
};

/** What a server expects of its clients' hellos. */
export interface ExpectedHello {
  /** The name that they ask for, if they ask for one; any, if absent. */
  readonly serverName?: string;
  /** The protocols of which they offer one, if they offer any; any, if absent. */
  readonly alpn?: readonly string[];
}

/**
 * Whether a hello could be one of our clients': TLS 1.3 with everything needed to complete it at once, the
 * expected name and protocols, no resumption, and nothing that the TLS stack of our clients never offers.
 */
export function isOwnHello(hello: ClientHello, expected: ExpectedHello = {}): boolean {
  const within = (values: readonly number[], known: ReadonlySet<number>) =>
    values.every((value) => known.has(value));
  return hello.recordVersion === 0x0301 && hello.version === 0x0303 &&
    hello.sessionIdLength === 32 && hello.versions.includes(0x0304) &&
    within(hello.versions, new Set([0x0303, 0x0304])) &&
    hello.cipherSuites.some((suite) => suite >> 8 === 0x13) &&
    within(hello.cipherSuites, RUNTIME.cipherSuites) &&
    within(hello.extensions, RUNTIME.extensions) &&
    RUNTIME.needed.every((kind) => hello.extensions.includes(kind)) &&
    new Set(hello.extensions).size === hello.extensions.length &&
    within(hello.groups, RUNTIME.groups) &&
    hello.keyShares.some((group) => hello.groups.includes(group)) &&
    within(hello.keyShares, RUNTIME.groups) &&
    within(hello.signatureAlgorithms, RUNTIME.signatureAlgorithms) &&
    (expected.serverName === undefined || hello.serverName === undefined ||
      hello.serverName.toLowerCase() === expected.serverName.toLowerCase()) &&
    (expected.alpn === undefined || hello.alpn === undefined ||
      hello.alpn.some((protocol) => expected.alpn!.includes(protocol)));
}
