import type { Random } from "./random.ts";

/** What one direction of a link does to packets. Zero or left out means "not at all". */
export interface DelayLineOptions {
  /** Milliseconds each packet travels after it left the slow hop. */
  readonly delayMs: number;
  /** Megabits (10^6) a second at the slow hop; 0 for no limit. */
  readonly rateMbit?: number;
  /** Bytes that may wait at the slow hop, the packet being sent included; 0 for no limit. */
  readonly queueBytes?: number;
  /** Share of packets lost at random, from 0 to 1. */
  readonly loss?: number;
  /** Extra delay drawn uniformly from 0 to this many milliseconds; packets keep their order. */
  readonly jitterMs?: number;
  /** Packets that may be under way at once; a power of two (default 8192). */
  readonly slots?: number;
}

/** Largest packet in bytes that a {@linkcode DelayLine} holds. */
export const MAX_PACKET = 2048;

/**
 * One direction of a link: a slow hop with a drop-tail queue, then a fixed delay. It knows no clock;
 * the caller says what time it is, so that the same arithmetic runs in real and in virtual time.
 * Nothing is allocated per packet.
 *
 * @example
 * ```ts
 * import { DelayLine } from "./delay_line.ts";
 * const line = new DelayLine({ delayMs: 20, rateMbit: 8 }, { float: () => 0.5, integer: () => 0 });
 * line.offer(0, 1000); // the packet's bytes are in line.incoming
 * if (line.due !== 21) throw new Error("1 ms at 8 Mbit/s, then 20 ms of delay");
 * ```
 */
export class DelayLine {
  #delay = 0;
  #msPerByte = 0;
  #limit = 0;
  #loss = 0;
  #jitter = 0;
  readonly #random: Random;
  readonly #mask: number;
  readonly #slots: Uint8Array<ArrayBuffer>[];
  readonly #due: Float64Array;
  readonly #length: Uint16Array;
  #head = 0;
  #tail = 0;
  #freeAt = 0;
  #lastDue = 0;

  /** Packets that went in, packets handed out, and packets dropped by the queue or lost at random. */
  readonly counts = { offered: 0, forwarded: 0, dropped: 0, lost: 0 };

  /** `random` decides loss and jitter only. */
  constructor(options: DelayLineOptions, random: Random) {
    const slots = options.slots ?? 8192;
    if (slots < 1 || (slots & (slots - 1)) !== 0) {
      throw new RangeError(`slots must be a power of two, not ${slots}`);
    }
    this.change(0, options);
    this.#random = random;
    this.#mask = slots - 1;
    const memory = new ArrayBuffer(slots * MAX_PACKET);
    this.#slots = Array.from(
      { length: slots },
      (_, slot) => new Uint8Array(memory, slot * MAX_PACKET, MAX_PACKET),
    );
    this.#due = new Float64Array(slots);
    this.#length = new Uint16Array(slots);
  }

  /**
   * From `now` on the link is another. What waits at the slow hop still leaves as it would have; the bytes
   * count against the new queue and go before what comes next. Packets keep their order.
   */
  change(now: number, options: Omit<DelayLineOptions, "slots">): void {
    const backlog = this.backlog(now);
    this.#delay = options.delayMs;
    this.#msPerByte = options.rateMbit ? 8 / (options.rateMbit * 1000) : 0;
    this.#limit = options.queueBytes ?? 0;
    this.#loss = options.loss ?? 0;
    this.#jitter = options.jitterMs ?? 0;
    if (backlog > 0) this.#freeAt = now + backlog * this.#msPerByte;
  }

  /** Packets under way. */
  get size(): number {
    return this.#tail - this.#head;
  }

  /** True where no further packet can be held; {@linkcode incoming} would overwrite one under way. */
  get full(): boolean {
    return this.size > this.#mask;
  }

  /** Where the caller puts the next packet's bytes before it calls {@linkcode offer}. */
  get incoming(): Uint8Array<ArrayBuffer> {
    return this.#slots[this.#tail & this.#mask]!;
  }

  /** When the oldest packet arrives, in milliseconds; `Infinity` with none under way. */
  get due(): number {
    return this.#head === this.#tail ? Infinity : this.#due[this.#head & this.#mask]!;
  }

  /** Bytes waiting at the slow hop at `now`, the rest of the packet being sent included. */
  backlog(now: number): number {
    return this.#msPerByte > 0 && this.#freeAt > now ? (this.#freeAt - now) / this.#msPerByte : 0;
  }

  /** Takes the packet of `length` bytes in {@linkcode incoming} at `now`; false if it was dropped. */
  offer(now: number, length: number): boolean {
    this.counts.offered++;
    if (this.#limit > 0 && this.backlog(now) + length > this.#limit) {
      this.counts.dropped++;
      return false;
    }
    const start = this.#freeAt > now ? this.#freeAt : now;
    this.#freeAt = start + length * this.#msPerByte;
    if (this.#loss > 0 && this.#random.float() < this.#loss) {
      this.counts.lost++;
      return false;
    }
    const jitter = this.#jitter > 0 ? this.#random.float() * this.#jitter : 0;
    const due = Math.max(this.#lastDue, this.#freeAt + this.#delay + jitter);
    const slot = this.#tail++ & this.#mask;
    this.#due[slot] = due;
    this.#length[slot] = length;
    this.#lastDue = due;
    return true;
  }

  /** Hands the oldest packet to `deliver` if it has arrived at `now`; false if none has. */
  deliver(now: number, deliver: (bytes: Uint8Array<ArrayBuffer>, length: number) => void): boolean {
    if (this.due > now) return false;
    const slot = this.#head++ & this.#mask;
    this.counts.forwarded++;
    deliver(this.#slots[slot]!, this.#length[slot]!);
    return true;
  }
}
