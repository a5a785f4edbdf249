import { createCipheriv } from "node:crypto";

const BLOCK = 4096;

/** Randomness of a 32-byte key for a plugin that draws: the key stream of AES-256 in counter mode. */
export class KeyRandom {
  readonly #cipher: { update(data: Uint8Array): Uint8Array };
  #words = new DataView(new ArrayBuffer(0));
  #next = 0;

  /** Starts the stream of `key` at its beginning. */
  constructor(key: Uint8Array) {
    this.#cipher = createCipheriv("aes-256-ctr", key, new Uint8Array(16));
  }

  #word(): number {
    if (this.#next >= this.#words.byteLength) {
      const block = new Uint8Array(this.#cipher.update(new Uint8Array(BLOCK)));
      this.#words = new DataView(block.buffer);
      this.#next = 0;
    }
    const word = this.#words.getUint32(this.#next, true);
    this.#next += 4;
    return word;
  }

  /** A number drawn uniformly from [0, 1), with 53 bits. */
  float(): number {
    const high = this.#word() >>> 5;
    const low = this.#word() >>> 6;
    return (high * 67108864 + low) / 9007199254740992;
  }

  /** An integer drawn uniformly from [0, `bound`), `bound` from 1 to 2^32, without modulo bias. */
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
