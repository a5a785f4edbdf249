import { lookup } from "node:dns";
import net from "node:net";
import type { Socket } from "node:net";
import { STREAM_CODES } from "../../playback/mod.ts";
import type { Address } from "../doors/mod.ts";

/** A destination that was not reached; `code` is one of `STREAM_CODES`. */
export class DestinationError extends Error {
  /** `code` is what the stream is refused with. */
  constructor(readonly code: number, message: string) {
    super(message);
    this.name = "DestinationError";
  }
}

const v4 = new net.BlockList();
for (
  const [network, bits] of [
    ["0.0.0.0", 8], // this network
    ["10.0.0.0", 8],
    ["100.64.0.0", 10], // carrier-grade NAT
    ["127.0.0.0", 8],
    ["169.254.0.0", 16], // link-local, cloud metadata
    ["172.16.0.0", 12],
    ["192.0.0.0", 24], // protocol assignments
    ["192.168.0.0", 16],
    ["198.18.0.0", 15], // benchmarks
    ["224.0.0.0", 4], // multicast
    ["240.0.0.0", 4], // reserved, broadcast
  ] as const
) v4.addSubnet(network, bits, "ipv4");

/** The 16 bytes of an IPv6 address in any of its spellings. */
function ipv6Bytes(address: string): number[] {
  let text = address.split("%")[0]!;
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  if (dotted !== null) {
    const [a, b, c, d] = dotted.slice(2).map(Number) as [number, number, number, number];
    text = `${dotted[1]}${(a << 8 | b).toString(16)}:${(c << 8 | d).toString(16)}`;
  }
  const [head, tail] = text.split("::") as [string, string | undefined];
  const words = (part: string) =>
    part === "" ? [] : part.split(":").map((word) => parseInt(word, 16));
  const [front, back] = [words(head), words(tail ?? "")];
  const zeros = tail === undefined ? 0 : 8 - front.length - back.length;
  return [...front, ...new Array<number>(zeros).fill(0), ...back]
    .flatMap((word) => [word >> 8, word & 255]);
}

/**
 * Whether an address is one of the server's own or of its neighbours: loopback, link-local, private,
 * multicast or reserved, also where an IPv4 address is wrapped in IPv6 (mapped, compatible, NAT64, 6to4).
 */
export function isPrivateAddress(address: string): boolean {
  if (net.isIPv4(address)) return v4.check(address, "ipv4");
  if (!net.isIPv6(address)) return true;
  const bytes = ipv6Bytes(address);
  const starts = (...prefix: number[]) => prefix.every((byte, i) => bytes[i] === byte);
  const embedded = (at: number) => v4.check(bytes.slice(at, at + 4).join("."), "ipv4");
  const zeros = (count: number) => bytes.slice(0, count).every((byte) => byte === 0);
  if (zeros(10) && bytes[10] === 255 && bytes[11] === 255) return embedded(12);
  if (zeros(12)) return true; // unspecified, loopback, IPv4-compatible
  if (starts(0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0)) return embedded(12);
  if (starts(0, 0x64, 0xff, 0x9b)) return true; // local-use NAT64
  if (starts(0x20, 0x02)) return embedded(2);
  if (starts(0x20, 0x01, 0, 0)) return true; // Teredo
  const first = bytes[0]!;
  return first === 0xff || (first & 0xfe) === 0xfc || first === 0xfe && bytes[1]! >= 0x80;
}

/** Every address of a name, in the system's order. */
function resolve(host: string): Promise<string[]> {
  if (net.isIP(host) !== 0) return Promise.resolve([host]);
  return new Promise((done, fail) => {
    lookup(host, { all: true, verbatim: true }, (error, addresses) => {
      if (error !== null && error !== undefined || addresses.length === 0) {
        fail(new DestinationError(STREAM_CODES.hostUnreachable, `no such host: ${host}`));
      } else done(addresses.map(({ address }) => address));
    });
  });
}

const CODES: Record<string, number> = {
  ECONNREFUSED: STREAM_CODES.connectionRefused,
  EHOSTUNREACH: STREAM_CODES.hostUnreachable,
  ENETUNREACH: STREAM_CODES.networkUnreachable,
  ETIMEDOUT: STREAM_CODES.timedOut,
};

/** Nobody wants the connection any more. */
function unwanted(): DestinationError {
  return new DestinationError(STREAM_CODES.cancelled, "the stream was given up");
}

function connectTo(
  address: string,
  port: number,
  timeout: number,
  gone: AbortSignal | undefined,
): Promise<Socket> {
  return new Promise((done, fail) => {
    if (gone?.aborted) return fail(unwanted());
    const socket = net.connect({ host: address, port, allowHalfOpen: true, noDelay: true });
    const giveUp = () => {
      over();
      socket.destroy();
      fail(new DestinationError(STREAM_CODES.timedOut, "no answer in time"));
    };
    const leave = () => {
      over();
      socket.destroy();
      fail(unwanted());
    };
    const over = () => {
      clearTimeout(deadline);
      gone?.removeEventListener("abort", leave);
      socket.removeListener("error", failed);
      socket.on("error", () => {});
    };
    // Where this process itself was held up, an answer that is there is heard first.
    let deadline = setTimeout(() => {
      deadline = setTimeout(giveUp, 100);
    }, timeout);
    const failed = (error: { code?: string }) => {
      over();
      socket.destroy();
      const code = CODES[error.code ?? ""] ?? STREAM_CODES.failed;
      fail(new DestinationError(code, `cannot connect: ${error.code ?? "failed"}`));
    };
    socket.once("error", failed);
    gone?.addEventListener("abort", leave);
    socket.once("connect", () => {
      over();
      socket.pause();
      done(socket);
    });
  });
}

/**
 * Whether a connection leads to the machine that it comes from, whatever the address: its own public address, too,
 * is answered by servers that a firewall keeps from everybody else. The system gives such a connection the same
 * address at both ends.
 */
export function leadsHome({ localAddress, remoteAddress }: Socket): boolean {
  return localAddress === remoteAddress;
}

/** How destinations are reached. */
export interface DestinationOptions {
  /** Also connect to loopback, link-local, private and reserved addresses; false if absent. */
  readonly allowPrivate?: boolean;
  /** Milliseconds that each address gets; 10,000 if absent. */
  readonly timeout?: number;
}

/**
 * Connects to a destination: resolves its name, checks every address, and connects to an address that was
 * checked, so that a name cannot change its mind in between. Addresses are tried in order, at most four, until
 * `gone` is aborted.
 *
 * @throws {DestinationError} with the code for the stream.
 */
export async function connectDestination(
  { host, port }: Address,
  { allowPrivate = false, timeout = 10_000 }: DestinationOptions = {},
  gone?: AbortSignal,
): Promise<Socket> {
  const addresses = await resolve(host);
  if (!allowPrivate && addresses.some(isPrivateAddress)) {
    throw new DestinationError(STREAM_CODES.forbidden, "a private address");
  }
  let last: unknown;
  for (const address of addresses.slice(0, 4)) {
    let socket;
    try {
      socket = await connectTo(address, port, timeout, gone);
    } catch (error) {
      last = error;
      if (gone?.aborted) break;
      continue;
    }
    if (allowPrivate || !leadsHome(socket)) return socket;
    socket.resetAndDestroy();
    throw new DestinationError(STREAM_CODES.forbidden, "an address of this machine");
  }
  throw last;
}
