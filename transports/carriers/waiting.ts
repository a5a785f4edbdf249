import type net from "node:net";

/** Connections that wait for something, in their order, at most `limit` of them. */
export class Waiting {
  readonly #limit: number;
  readonly #cuts = new Map<net.Socket, () => void>();

  /** Room for `limit`. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Adds one, or says anew how it is cut; the one that has waited longest goes if there are too many. */
  add(raw: net.Socket, cut: () => void): void {
    if (raw.destroyed) return;
    if (!this.#cuts.has(raw)) raw.once("close", () => this.#cuts.delete(raw));
    this.#cuts.set(raw, cut);
    if (this.#cuts.size <= this.#limit) return;
    const [oldest, cutOldest] = this.#cuts.entries().next().value!;
    this.#cuts.delete(oldest);
    cutOldest();
  }

  /** It waits no more. */
  delete(raw: net.Socket): void {
    this.#cuts.delete(raw);
  }

  /** Cuts all. */
  drop(): void {
    for (const cut of this.#cuts.values()) cut();
    this.#cuts.clear();
  }
}
