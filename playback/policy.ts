import type { ModelRequest } from "../models/cover_model.ts";

/** The most that a node lets a master ask for. */
export interface Policy {
  /** Bytes on the wire of one message. */
  readonly maxMessage: number;
  /** Bytes on the wire of one connection, both ways. */
  readonly maxConnection: number;
  /** Exchanges of one connection. */
  readonly maxExchanges: number;
  /** Milliseconds that one request or close may wait after its trigger. */
  readonly maxTime: number;
  /** Cover connections of one tunnel that are open at once; a master's further ones wait. */
  readonly maxOpen: number;
  /** Model sessions of one tunnel played at once. */
  readonly maxSessions: number;
  /** Bytes a second that the plans of one tunnel may ask for, averaged over {@linkcode Policy.burst}. */
  readonly maxRate: number;
  /** Milliseconds over which the rate is averaged. */
  readonly burst: number;
}

/** Wide enough for every model learned from people's traffic. */
export const DEFAULT_POLICY: Policy = {
  maxMessage: 256 * 2 ** 20,
  maxConnection: 2 ** 30,
  maxExchanges: 100_000,
  maxTime: 3_600_000,
  maxOpen: 256,
  maxSessions: 256,
  maxRate: 64 * 2 ** 20,
  burst: 60_000,
};

/** Keeps one tunnel's plans within a policy. */
export class PolicyMeter {
  readonly #policy: Policy;
  #allowance: number;
  #since: number;

  /** Starts with a full burst at the time `now`. */
  constructor(policy: Policy, now: number) {
    this.#policy = policy;
    this.#allowance = policy.maxRate * policy.burst / 1000;
    this.#since = now;
  }

  /** Why an exchange is refused at the time `now`, or undefined; an accepted one is counted. */
  refuse(exchange: ModelRequest, used: PolicyUse, now: number): string | undefined {
    const policy = this.#policy;
    let size = 0;
    for (const message of [exchange.request, ...exchange.response]) {
      if (message.size > policy.maxMessage) {
        return `a message of ${message.size} bytes (limit ${policy.maxMessage})`;
      }
      if (message.time > policy.maxTime) {
        return `a wait of ${Math.round(message.time)} ms (limit ${policy.maxTime})`;
      }
      size += message.size;
    }
    if (++used.exchanges > policy.maxExchanges) {
      return `more than ${policy.maxExchanges} exchanges on a connection`;
    }
    used.bytes += size;
    if (used.bytes > policy.maxConnection) {
      return `more than ${policy.maxConnection} bytes on a connection`;
    }
    const full = policy.maxRate * policy.burst / 1000;
    this.#allowance = Math.min(full, this.#allowance + (now - this.#since) * policy.maxRate / 1000);
    this.#since = now;
    if (size > this.#allowance) return `more than ${policy.maxRate} bytes a second`;
    this.#allowance -= size;
    return undefined;
  }
}

/** What one connection has used of a policy so far. */
export interface PolicyUse {
  /** Exchanges. */
  exchanges: number;
  /** Bytes on the wire. */
  bytes: number;
}
