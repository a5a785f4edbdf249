import type net from "node:net";
import { sourceOf } from "./turnstile.ts";

/** Connections that wait for something, in their order, at most `limit` of them. */
export class Waiting {
  readonly #limit: number;
  readonly #cuts = new Map<net.Socket, { readonly cut: () => void; readonly source: string }>();
  /** The same by their source. */
  readonly #sources = new Map<string, Set<net.Socket>>();

  /** Room for `limit`. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /**
   * Adds one, or says anew how it is cut. If there are too many, one goes: of the source that has most, the one that
   * has waited longest, so that a flood from one place cuts off itself.
   */
  add(raw: net.Socket, cut: () => void): void {
    if (raw.destroyed) return;
    const before = this.#cuts.get(raw);
    const source = before?.source ?? sourceOf(raw.remoteAddress ?? "");
    this.#cuts.set(raw, { cut, source });
    if (before === undefined) {
      raw.once("close", () => this.delete(raw));
      const same = this.#sources.get(source);
      if (same === undefined) this.#sources.set(source, new Set([raw]));
      else same.add(raw);
    }
    if (this.#cuts.size <= this.#limit) return;
    let most: Set<net.Socket> | undefined;
    for (const same of this.#sources.values()) if (same.size > (most?.size ?? 0)) most = same;
    const [oldest] = most!;
    const { cut: cutOldest } = this.#cuts.get(oldest!)!;
    this.delete(oldest!);
    cutOldest();
  }

  /** It waits no more. */
  delete(raw: net.Socket): void {
    const waiting = this.#cuts.get(raw);
    if (waiting === undefined) return;
    this.#cuts.delete(raw);
    const same = this.#sources.get(waiting.source)!;
    same.delete(raw);
    if (same.size === 0) this.#sources.delete(waiting.source);
  }

  /** Cuts all. */
  drop(): void {
    for (const { cut } of [...this.#cuts.values()]) cut();
    this.#cuts.clear();
    this.#sources.clear();
  }
}
