import { Duplex } from "node:stream";
import type { TunnelStream } from "../../playback/stream.ts";
import type { TurnBudget } from "./turn_budget.ts";

/**
 * A stream of the tunnel as one of Node's, for its HTTP client. It carries backpressure both ways and
 * copies within the turn's budget. Destroying it resets the stream; a stream that is reset destroys it.
 */
export class NodeStream extends Duplex {
  readonly #stream: TunnelStream;
  readonly #budget: TurnBudget;
  /** What is still to be written, and whom to tell. */
  #rest: { bytes: Uint8Array; done: (error?: Error | null) => void } | undefined;
  #wanted = false;

  /** Wraps a stream whose callbacks nobody else uses. */
  constructor(stream: TunnelStream, budget: TurnBudget) {
    super({ allowHalfOpen: true });
    this.#stream = stream;
    this.#budget = budget;
    stream.onReadable = () => this.#pull();
    stream.onWritable = () => this.#push();
  }

  /** Node's HTTP client wants to set this on its sockets; a stream of the tunnel has no such delay. */
  setNoDelay(): this {
    return this;
  }

  /** As {@linkcode NodeStream.setNoDelay}. */
  setKeepAlive(): this {
    return this;
  }

  /** As {@linkcode NodeStream.setNoDelay}: the tunnel's own deadlines decide. */
  setTimeout(): this {
    return this;
  }

  override _read(): void {
    this.#wanted = true;
    this.#pull();
  }

  override _write(
    bytes: Uint8Array,
    _encoding: string,
    done: (error?: Error | null) => void,
  ): void {
    this.#rest = { bytes, done };
    this.#push();
  }

  override _final(done: (error?: Error | null) => void): void {
    try {
      this.#stream.end();
      done();
    } catch (error) {
      done(error as Error);
    }
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#stream.onReadable = undefined;
    this.#stream.onWritable = undefined;
    this.#stream.reset();
    done(error);
  }

  #pull(): void {
    if (!this.#wanted || this.destroyed) return;
    try {
      if (!this.#budget.open) {
        this.#wanted = false;
        this.#budget.later(() => this._read());
        return;
      }
      const bytes = this.#stream.read();
      if (bytes === undefined) return; // onReadable calls again
      this.#wanted = false; // push() asks for more by itself
      if (bytes !== null) this.#budget.spend(bytes.length);
      this.push(bytes);
    } catch (error) {
      this.destroy(error as Error);
    }
  }

  #push(): void {
    const rest = this.#rest;
    if (rest === undefined || this.destroyed) return;
    try {
      const taken = this.#stream.write(rest.bytes);
      this.#budget.spend(taken);
      rest.bytes = rest.bytes.subarray(taken);
      if (rest.bytes.length > 0) return; // onWritable calls again
      this.#rest = undefined;
      if (this.#budget.open) rest.done();
      else this.#budget.later(() => rest.done());
    } catch (error) {
      this.destroy(error as Error);
    }
  }
}
