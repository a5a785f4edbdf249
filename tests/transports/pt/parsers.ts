import {
  cookieHash,
  extOrHandshake,
  type Handshake,
  HandshakeDriver,
  ipBytes,
  parseBindAddresses,
  parseClientArgs,
  parseCookie,
  parseEnvironment,
  parseIpPort,
  parseProxyUrl,
  parseServerOptions,
  plainAddress,
  proxyHandshake,
  PT_VARIABLES,
  PtError,
  scrubAddresses,
  socksRequest,
} from "../../../transports/pt/mod.ts";

/** A parser that meets what others write; `run` gives it one input and throws only {@linkcode PtError}s. */
export interface FuzzedParser {
  /** What it reads. */
  readonly name: string;
  /** Inputs that it takes, to start from. */
  readonly seeds: readonly Uint8Array[];
  /** Reads an input. */
  run(input: Uint8Array): void;
}

const latin1 = (bytes: Uint8Array) => String.fromCharCode(...bytes);
const bytes = (text: string) => Uint8Array.from(text, (char) => char.charCodeAt(0));

function text(name: string, parse: (text: string) => unknown, ...seeds: string[]): FuzzedParser {
  return { name, seeds: seeds.map(bytes), run: (input) => void parse(latin1(input)) };
}

/** Feeds a handshake in two pieces, cut where the input's length says. */
function handshake(
  name: string,
  make: () => Handshake<unknown>,
  ...seeds: Uint8Array[]
): FuzzedParser {
  return {
    name,
    seeds,
    run: (input) => {
      const driver = new HandshakeDriver(make());
      const cut = input.length * 7 % 11;
      for (
        const step of [
          () => driver.start(),
          ...[input.subarray(0, cut), input.subarray(cut)]
            .map((piece) => () => driver.push(piece)),
        ]
      ) {
        const { error, done } = step();
        if (error !== undefined) throw error;
        if (done !== undefined) {
          if (done.rest.length > input.length) throw new Error("bytes out of nothing");
          return;
        }
      }
    },
  };
}

const nonce = new Uint8Array(32);
const cookie = new Uint8Array(32).fill(1);
const proof = cookieHash(cookie, "server-to-client", nonce, nonce);
const target = { host: "bridge.example", port: 443 };
const address = { host: "127.0.0.1", port: 1 };
/** One variable a line, in the order of the list. */
const environment = (text: string) => {
  const values = text.split("\n");
  return parseEnvironment((name) => values[PT_VARIABLES.indexOf(name)]);
};

/** Every parser of the room. */
export const PARSERS: readonly FuzzedParser[] = [
  text("client arguments", parseClientArgs, "cert=aGk=;iat-mode=0", "a\\=b=c\\;d\\\\"),
  text("server options", parseServerOptions, "rot:by=1;rot:x=a\\:b\\;c", "a:b=c"),
  text("bind addresses", parseBindAddresses, "rot-127.0.0.1:80,six-[::1]:0"),
  text("address and port", parseIpPort, "127.0.0.1:80", "[2001:db8::1]:443"),
  text("IP address", (host) => [ipBytes(host), plainAddress(host)], "::ffff:1.2.3.4", "fe80::1%a"),
  text("proxy URL", parseProxyUrl, "socks5://u:p@127.0.0.1:1080", "http://a%40:b@[::1]:80"),
  text(
    "environment",
    environment,
    "1\n/s\n1\n192.0.2.1\n[2001:db8::1]\nrot,x\nhttp://127.0.0.1:80",
    "1\n/s\n\n\n\n\n\nrot\nrot:a=b\nrot-[::]:0\n127.0.0.1:9\n127.0.0.1:8\n/c",
  ),
  text("scrubbed text", scrubAddresses, "from 1.2.3.4:5 and [2001:db8::1]:443, ::1"),
  {
    name: "cookie file",
    seeds: [bytes("! Extended ORPort Auth Cookie !\n" + "x".repeat(32))],
    run: (input) => void parseCookie(input),
  },
  handshake(
    "SOCKS 5 request",
    socksRequest,
    bytes("\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50"),
    bytes("\x05\x02\x00\x02\x01\x07a=b;c=d\x01\x00\x05\x01\x00\x03\x05a.com\x00\x50rest"),
    bytes("\x05\x01\x02\x01\x03a=b\x01\x00\x05\x01\x00\x04" + "\0".repeat(15) + "\x01\x00\x50"),
  ),
  handshake(
    "Extended ORPort",
    () => extOrHandshake({ cookie, nonce, transport: "rot", userAddress: "1.2.3.4:5" }),
    Uint8Array.from([1, 0, ...proof, ...nonce, 1, 0x20, 0, 0, 1, 7, 0x10, 0, 0, 0, 9]),
    Uint8Array.from([2, 1, 0, ...proof, ...nonce, 1, 0x10, 1, 0, 0]),
  ),
  handshake(
    "HTTP proxy",
    () => proxyHandshake({ scheme: "http", address }, target),
    bytes("HTTP/1.1 200 OK\r\nA: b\r\n\r\nrest"),
    bytes("HTTP/1.0 407 No\n\n"),
  ),
  handshake(
    "SOCKS 4a proxy",
    () => proxyHandshake({ scheme: "socks4a", address }, target),
    bytes("\x00\x5a\0\0\0\0\0\0rest"),
  ),
  handshake(
    "SOCKS 5 proxy",
    () => proxyHandshake({ scheme: "socks5", address, user: "u", password: "p" }, target),
    bytes("\x05\x02\x01\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50rest"),
    bytes("\x05\x00\x05\x00\x00\x03\x03abc\x00\x50"),
  ),
];

/** A small generator of numbers, so that a run can be repeated (xorshift32). */
function numbers(seed: number): (below: number) => number {
  let state = (seed * 2654435761 >>> 0) || 1;
  return (below) => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state % below;
  };
}

const INTERESTING = bytes("\0\x01\x02\x03\x04\x05\x7f\xff\\=;:,@/%[].-\n\r 09aA");

/** Damages an input: bytes changed, left out, doubled, put in, the end cut off. */
function mutate(input: Uint8Array, below: (limit: number) => number): Uint8Array {
  const out = [...input];
  for (let changes = below(6); changes > 0; changes--) {
    const at = below(out.length + 1);
    const kind = below(6);
    if (kind === 0) out.splice(at, 1 + below(3));
    else if (kind === 1) out.splice(at, 0, INTERESTING[below(INTERESTING.length)]!);
    else if (kind === 2) out.splice(at, 1, below(256));
    else if (kind === 3) out.splice(at, 1, INTERESTING[below(INTERESTING.length)]!);
    else if (kind === 4) out.splice(at, 0, ...out.slice(at, at + below(20)));
    else if (below(4) === 0) out.length = at;
  }
  return Uint8Array.from(out);
}

/** What became of the inputs of one parser. */
export interface FuzzResult {
  /** How many it took. */
  taken: number;
  /** How many it refused with a {@linkcode PtError}. */
  refused: number;
}

/**
 * Gives a parser `count` damaged inputs. Throws, with the input, if it throws anything but a PtError, if the error is
 * not one line.
 */
export function fuzz(parser: FuzzedParser, count: number, seed = 1): FuzzResult {
  const below = numbers(seed);
  const result = { taken: 0, refused: 0 };
  for (let round = 0; round < count; round++) {
    const input = mutate(parser.seeds[below(parser.seeds.length)]!, below);
    try {
      parser.run(input);
      result.taken++;
    } catch (error) {
      if (!(error instanceof PtError)) {
        throw new Error(`${parser.name}, input ${round}: ${input.toHex()}`, { cause: error });
      }
      result.refused++;
    }
  }
  return result;
}
