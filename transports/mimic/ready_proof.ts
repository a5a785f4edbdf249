import { Buffer } from "node:buffer";
import { type ClientProof, clientSeal, tokenProof } from "./proof.ts";

/**
 * What a connection will show if the server shows what it showed before: made while the carrier shakes hands, so
 * that the first message does not wait for it.
 *
 * @example
 * ```ts
 * import { ReadyProof } from "./ready_proof.ts";
 * const [key, digest] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];
 * const ready = new ReadyProof(key, digest, 0, 1);
 * if (!ready.serves(key, digest.slice())) throw new Error("it is the same server");
 * if (ready.serves(key, new Uint8Array(32))) throw new Error("it is another server");
 * ```
 */
export class ReadyProof {
  readonly #key: Uint8Array;
  readonly #digest: Uint8Array;
  /** The token, and the answer that it asks for. */
  readonly proof: ClientProof;
  /** Encrypts what the client's tunnel sends. */
  readonly seal: (bytes: Uint8Array) => Uint8Array;

  /** `key` is the tunnel's; `digest` what the server's carrier showed last; the rest names the connection. */
  constructor(key: Uint8Array, digest: Uint8Array, session: number, serial: number) {
    this.#key = key;
    this.#digest = digest;
    this.proof = tokenProof(key, digest, session, serial);
    this.seal = clientSeal(key, digest, session, serial);
  }

  /**
   * Whether it is what a connection of this tunnel shows to a server with this digest. Carriers hand out a digest
   * of their own for each connection, so its bytes count, not the array.
   */
  serves(key: Uint8Array | undefined, digest: Uint8Array): boolean {
    return key === this.#key && Buffer.compare(digest, this.#digest) === 0;
  }
}
