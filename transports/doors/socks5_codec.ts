import { SOCKS_REPLY } from "../../base/mod.ts";
import type { Address } from "./address.ts";

/** A reply to a request; the bound address is not told. */
export function socksReply(code: number): Uint8Array {
  return new Uint8Array([5, code, 0, 1, 0, 0, 0, 0, 0, 0]);
}

/** What to do after some bytes of a SOCKS client. */
export interface SocksStep {
  /** Bytes to send back now; empty if none. */
  readonly reply: Uint8Array;
  /** The client is to be closed after the reply. */
  readonly failed: boolean;
  /** What it asks for, once that is known; nothing is parsed after it. */
  readonly request?: Address;
  /** Bytes that followed the request. */
  readonly rest?: Uint8Array;
}

const NONE = new Uint8Array();
const MORE: SocksStep = { reply: NONE, failed: false };

/**
 * Reads a client's greeting and request (RFC 1928: no authentication, CONNECT, all three kinds of
 * address), however they are cut. Holds at most 519 bytes.
 *
 * @example
 * ```ts
 * import { Socks5Parser } from "./socks5_codec.ts";
 * const parser = new Socks5Parser();
 * const greeting = parser.push(new Uint8Array([5, 1, 0]));
 * if (`${greeting.reply}` !== "5,0") throw new Error("no authentication is chosen");
 * const { request } = parser.push(new Uint8Array([5, 1, 0, 1, 127, 0, 0, 1, 0, 80]));
 * if (request?.host !== "127.0.0.1" || request.port !== 80) throw new Error("an IPv4 destination");
 * ```
 */
export class Socks5Parser {
  #bytes: Uint8Array = NONE;
  #state: "greeting" | "request" | "done" = "greeting";

  /** Takes bytes of the client's. After a step that `failed` or has a `request`, nothing more is taken. */
  push(bytes: Uint8Array): SocksStep {
    if (this.#state === "done") throw new Error("the request has been read");
    const all = new Uint8Array(this.#bytes.length + bytes.length);
    all.set(this.#bytes);
    all.set(bytes, this.#bytes.length);
    this.#bytes = all;
    let reply = NONE as Uint8Array;
    if (this.#state === "greeting") {
      if (all.length > 0 && all[0] !== 5) return this.#fail(NONE);
      if (all.length < 2 || all.length < 2 + all[1]!) return MORE;
      const end = 2 + all[1]!;
      if (!all.subarray(2, end).includes(0)) return this.#fail(new Uint8Array([5, 0xff]));
      reply = new Uint8Array([5, 0]);
      this.#state = "request";
      this.#bytes = all.slice(end);
    }
    const step = this.#request();
    return { ...step, reply: concat(reply, step.reply) };
  }

  #request(): SocksStep {
    const bytes = this.#bytes;
    if (bytes.length > 0 && bytes[0] !== 5) return this.#fail(socksReply(SOCKS_REPLY.failed));
    if (bytes.length > 1 && bytes[1] !== 1) {
      return this.#fail(socksReply(SOCKS_REPLY.commandNotSupported));
    }
    if (bytes.length < 5) {
      if (bytes.length === 4 && ![1, 3, 4].includes(bytes[3]!)) {
        return this.#fail(socksReply(SOCKS_REPLY.addressNotSupported));
      }
      return MORE;
    }
    const kind = bytes[3];
    const length = kind === 1 ? 4 : kind === 4 ? 16 : kind === 3 ? 1 + bytes[4]! : -1;
    if (length < 0) return this.#fail(socksReply(SOCKS_REPLY.addressNotSupported));
    if (bytes.length < 4 + length + 2) return MORE;
    const address = bytes.subarray(4, 4 + length);
    const port = bytes[4 + length]! << 8 | bytes[5 + length]!;
    const host = kind === 1
      ? address.join(".")
      : kind === 4
      ? groups(address).join(":")
      : String.fromCharCode(...address.subarray(1));
    if (port === 0 || !/^[\x21-\x7e]{1,255}$/.test(host)) {
      return this.#fail(socksReply(SOCKS_REPLY.failed));
    }
    this.#state = "done";
    return {
      reply: NONE,
      failed: false,
      request: { host, port },
      rest: bytes.slice(4 + length + 2),
    };
  }

  #fail(reply: Uint8Array): SocksStep {
    this.#state = "done";
    return { reply, failed: true };
  }
}

function groups(address: Uint8Array): string[] {
  return Array.from(
    { length: 8 },
    (_, group) => (address[2 * group]! << 8 | address[2 * group + 1]!).toString(16),
  );
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
