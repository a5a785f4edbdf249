import { chacha20 } from "@noble/ciphers/chacha.js";
import { createHmac } from "node:crypto";

/** A source of randomness that is passed in, never reached for. */
export interface Random {
  /** A number drawn uniformly from [0, 1), with 53 bits. */
  float(): number;
  /** An integer drawn uniformly from [0, `bound`), `bound` from 1 to 2^32. */
  integer(bound: number): number;
}

const BLOCK = 4096;

/**
 * A cryptographically strong generator: the ChaCha20 key stream of a 32-byte key. The same key gives
 * the same numbers on every machine; what was drawn never predicts what follows.
 *
 * @example
 * ```ts
 * import { SeededRandom } from "./random.ts";
 * const a = new SeededRandom(new Uint8Array(32));
 * const b = new SeededRandom(new Uint8Array(32));
 * if (a.float() !== b.float()) throw new Error("a seed makes a run repeatable");
 * ```
 */
export class SeededRandom implements Random {
  readonly #key: Uint8Array;
  readonly #block = new Uint8Array(BLOCK);
  readonly #words = new Uint32Array(this.#block.buffer);
  readonly #nonce = new Uint8Array(12);
  #blocks = 0;
  #next = BLOCK / 4;

  /** Starts the stream of `key` (32 bytes) at its beginning. */
  constructor(key: Uint8Array) {
    if (key.length !== 32) throw new RangeError(`a seed has 32 bytes, not ${key.length}`);
    this.#key = key.slice();
  }

  #word(): number {
    if (this.#next === this.#words.length) {
      new DataView(this.#nonce.buffer).setUint32(0, this.#blocks++, true);
      this.#block.fill(0);
      chacha20(this.#key, this.#nonce, this.#block, this.#block);
      this.#next = 0;
    }
    return this.#words[this.#next++]!;
  }

  /** A number drawn uniformly from [0, 1), with 53 bits. */
  float(): number {
    const high = this.#word() >>> 5;
    const low = this.#word() >>> 6;
    return (high * 67108864 + low) / 9007199254740992;
  }

  /** An integer drawn uniformly from [0, `bound`), without modulo bias. */
  integer(bound: number): number {
    if (!(bound >= 1 && bound <= 4294967296 && Number.isInteger(bound))) {
      throw new RangeError(`a bound is an integer from 1 to 2^32, not ${bound}`);
    }
    const limit = 4294967296 - 4294967296 % bound;
    let word = this.#word();
    while (word >= limit) word = this.#word();
    return word % bound;
  }
}

/**
 * The key of an independent substream of `seed`, named by `path`: HMAC-SHA256 of the path's parts.
 * A model draws each session, episode and connection from a substream of its own, never from one
 * stream in order of arrival, so that arrival order cannot change what is drawn.
 *
 * @example
 * ```ts
 * import { SeededRandom, substream } from "./random.ts";
 * const seed = new Uint8Array(32);
 * const first = new SeededRandom(substream(seed, "connection", 0, 0, 1));
 * const second = new SeededRandom(substream(seed, "connection", 0, 0, 2));
 * if (first.float() === second.float()) throw new Error("substreams are independent");
 * ```
 */
export function substream(seed: Uint8Array, ...path: (string | number)[]): Uint8Array {
  return new Uint8Array(createHmac("sha256", seed).update(JSON.stringify(path)).digest());
}
