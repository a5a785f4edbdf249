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
  /** The name of the key that made the first ticket of an earlier connection, if it offers one. */
  readonly ticketName?: Uint8Array;
}

const RECORD_HEADER = 5;
/** Length of a ticket key's name. */
const TICKET_NAME = 16;
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
  let ticketName: Uint8Array | undefined;
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
      case 41:
        // What OpenSSL makes begins with it (RFC 5077, section 4).
        ticketName = body.vector(2).vector(2).take(TICKET_NAME);
        break;
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
    ...(ticketName === undefined ? {} : { ticketName }),
  };
}

/** All that a TLS stack of our clients ever offers; what others offer besides is not in here. */
interface Stack {
  readonly versions: ReadonlySet<number>;
  readonly cipherSuites: ReadonlySet<number>;
  readonly extensions: ReadonlySet<number>;
  readonly needed: readonly number[];
  readonly groups: ReadonlySet<number>;
  readonly signatureAlgorithms: ReadonlySet<number>;
}

/** This runtime's (rustls): of clients without OpenSSL. */
const RUNTIME: Stack = {
  versions: new Set([0x0304, 0x0303]),
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

/** OpenSSL's from 3.0 to 3.5, as distributions configure it. */
const OPENSSL = {
  versions: new Set([0x0304, 0x0303, 0x0302, 0x0301]),
  cipherSuites: new Set([
    ...[0x1301, 0x1302, 0x1303, 0x1304],
    ...[0xc02b, 0xc02c, 0xc02f, 0xc030, 0xcca8, 0xcca9, 0xccaa, 0x009e, 0x009f],
    ...[0xc023, 0xc024, 0xc027, 0xc028, 0x0067, 0x006b, 0xc009, 0xc00a, 0xc013, 0xc014],
    ...[0x0033, 0x0039, 0x009c, 0x009d, 0x003c, 0x003d, 0x002f, 0x0035, 0x00ff],
    ...[0xc09c, 0xc09d, 0xc09e, 0xc09f, 0xc0ac, 0xc0ad],
  ]),
  groups: new Set([
    ...[0x001d, 0x0017, 0x001e, 0x0019, 0x0018, 0x0100, 0x0101, 0x0102, 0x0103, 0x0104],
    ...[0x11eb, 0x11ec, 0x11ed],
  ]),
  signatureAlgorithms: new Set([
    ...[0x0401, 0x0403, 0x0501, 0x0503, 0x0601, 0x0603],
    ...[0x0804, 0x0805, 0x0806, 0x0807, 0x0808, 0x0809, 0x080a, 0x080b, 0x081a, 0x081b, 0x081c],
    ...[0x0301, 0x0303, 0x0302, 0x0402, 0x0502, 0x0602, 0x0904, 0x0905, 0x0906],
  ]),
};

/** As curl sets it up: application protocols, and authentication after the handshake instead of tickets. */
const CURL: Stack = {
  ...OPENSSL,
  extensions: new Set([0, 10, 11, 13, 16, 21, 22, 23, 27, 43, 45, 49, 51, 0xff01]),
  needed: [10, 11, 13, 16, 22, 23, 43, 45, 49, 51],
};

/** As swaks does: what is usual. */
const SWAKS: Stack = {
  ...OPENSSL,
  extensions: new Set([0, 10, 11, 13, 21, 22, 23, 27, 35, 43, 45, 51, 0xff01]),
  needed: [10, 11, 13, 22, 23, 35, 43, 45, 51],
};

/**
 * Groups of which our clients send a key at once: X25519, alone or with ML-KEM, and P-256 where X25519 is not
 * allowed. All of them are cheap. What OpenSSL 3.0 takes besides costs the server up to 120 milliseconds a hello
 * (ffdhe8192).
 */
const SHARES: ReadonlySet<number> = new Set([0x001d, 0x0017, 0x11ec, 0x11eb]);
/** Those that every server takes: it asks for no other one. */
const COMMON_SHARES: readonly number[] = [0x001d, 0x0017];

/** What a server expects of its clients' hellos. */
export interface ExpectedHello {
  /** The name that they ask for, if they ask for one; any, if absent. */
  readonly serverName?: string;
  /** The protocols of which they offer one, if they offer any; any, if absent. */
  readonly alpn?: readonly string[];
  /** The name of the key that makes our tickets; we give none if absent. */
  readonly ticketName?: Uint8Array;
}

/** Whether a hello resumes nothing; what curl or swaks resume here they have from us, and only we can read it. */
function isFresh(stack: Stack, hello: ClientHello, expected: ExpectedHello): boolean {
  if (!hello.extensions.includes(41)) return true;
  const { ticketName } = expected;
  return stack !== RUNTIME && ticketName !== undefined && hello.extensions.at(-1) === 41 &&
    ticketName.every((byte, i) => byte === hello.ticketName?.[i]);
}

function isOf(stack: Stack, hello: ClientHello, expected: ExpectedHello): boolean {
  const within = (values: readonly number[], known: ReadonlySet<number>) =>
    values.every((value) => known.has(value));
  return within(hello.versions, stack.versions) &&
    within(hello.cipherSuites, stack.cipherSuites) &&
    within(hello.extensions.filter((kind) => kind !== 41), stack.extensions) &&
    isFresh(stack, hello, expected) &&
    stack.needed.every((kind) => hello.extensions.includes(kind)) &&
    within(hello.groups, stack.groups) &&
    within(hello.keyShares, SHARES) &&
    hello.keyShares.every((group) => hello.groups.includes(group)) &&
    within(hello.signatureAlgorithms, stack.signatureAlgorithms);
}

/**
 * Whether a hello could be one of our clients': TLS 1.3 with everything needed to complete it at once, the
 * expected name and protocols, no resumption but of ours, and nothing that the TLS stacks of our clients never offer. What
 * curl or swaks say is among it, as our clients say the same.
 */
export function isOwnHello(hello: ClientHello, expected: ExpectedHello = {}): boolean {
  return hello.recordVersion === 0x0301 && hello.version === 0x0303 &&
    hello.sessionIdLength === 32 && hello.versions.includes(0x0304) &&
    hello.cipherSuites.some((suite) => suite >> 8 === 0x13) &&
    new Set(hello.extensions).size === hello.extensions.length &&
    COMMON_SHARES.some((group) => hello.keyShares.includes(group)) &&
    (isOf(RUNTIME, hello, expected) ||
      isOf(expected.alpn === undefined ? SWAKS : CURL, hello, expected)) &&
    (expected.serverName === undefined || hello.serverName === undefined ||
      hello.serverName.toLowerCase() === expected.serverName.toLowerCase()) &&
    (expected.alpn === undefined || hello.alpn === undefined ||
      hello.alpn.some((protocol) => expected.alpn!.includes(protocol)));
}
