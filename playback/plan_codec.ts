import type { ConnectionPlan, DataRequest, End, ModelRequest } from "../models/cover_model.ts";
import { varintLength, writeVarint } from "./varint.ts";

const TICKS = 64;
const MANTISSA = 2048;
const LARGEST_TIME = 4095 * 2 ** 30 / TICKS;

function timeCode(ms: number): number {
  const ticks = Math.round(Math.min(Math.max(Number.isNaN(ms) ? 0 : ms, 0), LARGEST_TIME) * TICKS);
  if (ticks < MANTISSA) return ticks;
  let exponent = Math.floor(Math.log2(ticks)) - 11;
  if (ticks < MANTISSA * 2 ** exponent) exponent--;
  let mantissa = Math.round(ticks / 2 ** exponent);
  if (mantissa >= 2 * MANTISSA) {
    mantissa = MANTISSA;
    exponent++;
  }
  return Math.min((exponent + 1) * MANTISSA + (mantissa - MANTISSA), 0xffff);
}

function timeOf(code: number): number {
  const exponent = Math.floor(code / MANTISSA);
  const mantissa = code % MANTISSA;
  return (exponent === 0 ? mantissa : (MANTISSA + mantissa) * 2 ** (exponent - 1)) / TICKS;
}

/**
 * The nearest time that a plan can hold: 1/64 ms below 32 ms, else 12 significant bits (an error of at
 * most 0.025 %), in two bytes. Both ends play this value in either form of plan. Idempotent.
 */
export function quantizeTime(ms: number): number {
  return timeOf(timeCode(ms));
}

/** The bytes of a plan make no sense, or ask for too much. */
export class PlanFormatError extends Error {
  /** `message` says what, and at which byte. */
  constructor(message: string) {
    super(message);
    this.name = "PlanFormatError";
  }
}

// The low bits of a request's first number; the rest of it is the size on the wire.
const MORE = 1; // another message of this exchange follows
const TIMED = 2; // a time follows
const EXTRA = 4; // a byte of the flags below follows
const SHIFT = 8;

const PADDING = 1;
const RECORDS = 2;
const LEAD = 4;
const FINAL = 8; // on an exchange's first message: the close follows the exchange

/** The largest request of a plan, in bytes on the wire. */
export const MAX_PLANNED_SIZE = 2 ** 32;

class Writer {
  #bytes = new Uint8Array(256);
  #at = 0;

  varint(value: number): void {
    const length = varintLength(value);
    this.#room(length);
    this.#at = writeVarint(this.#bytes, this.#at, value);
  }

  time(ms: number): void {
    const code = timeCode(ms);
    this.byte(code & 255);
    this.byte(code >> 8);
  }

  byte(value: number): void {
    this.#room(1);
    this.#bytes[this.#at++] = value;
  }

  #room(length: number): void {
    if (this.#at + length <= this.#bytes.length) return;
    const larger = new Uint8Array(2 * this.#bytes.length + length);
    larger.set(this.#bytes);
    this.#bytes = larger;
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#at);
  }
}

function writeRequest(
  out: Writer,
  request: DataRequest,
  more: boolean,
  final: boolean,
  withTime: boolean,
): void {
  const lead = request.lead ?? 0;
  const extra = (request.type === "padding" ? PADDING : 0) |
    (request.records === undefined ? 0 : RECORDS) | (lead > 0 ? LEAD : 0) | (final ? FINAL : 0);
  const timed = withTime && timeCode(request.time) > 0;
  out.varint(
    request.size * SHIFT + (more ? MORE : 0) + (timed ? TIMED : 0) + (extra > 0 ? EXTRA : 0),
  );
  if (extra > 0) out.byte(extra);
  if (timed) out.time(request.time);
  if (lead > 0) out.varint(lead);
  if (request.records !== undefined) {
    // Runs of equal sizes: how many runs, then each run's size and length.
    const runs: [size: number, length: number][] = [];
    for (const size of request.records) {
      const last = runs.at(-1);
      if (last !== undefined && last[0] === size) last[1]++;
      else runs.push([size, 1]);
    }
    out.varint(runs.length);
    for (const [size, length] of runs) {
      out.varint(size * 2 + (length > 1 ? 1 : 0));
      if (length > 1) out.varint(length);
    }
  }
}

/** What of a plan is written. */
export interface PlanEncoding {
  /** Times of the tm-client's requests too; a slave at the server has no use for them. */
  readonly requestTimes: boolean;
}

/**
 * One exchange of a plan in bytes. Sizes must be integers and the plan settled (`settlePlan`), so that
 * what is decoded equals what is played here. With `close`, the exchange is the plan's last.
 */
export function encodeExchange(
  { request, response }: ModelRequest,
  close: ConnectionPlan["close"] | undefined,
  { requestTimes }: PlanEncoding,
): Uint8Array {
  const out = new Writer();
  writeRequest(out, request, response.length > 0, close !== undefined, requestTimes);
  for (let i = 0; i < response.length; i++) {
    writeRequest(out, response[i]!, i < response.length - 1, false, true);
  }
  if (close !== undefined) {
    out.byte(
      (close.by === "server" ? 1 : 0) | (close.how === "rst" ? 2 : 0) |
        (close.answer === "rst" ? 4 : 0),
    );
    out.time(close.time);
  }
  return out.finish();
}

/**
 * A settled plan in bytes, about 4 bytes a message.
 *
 * @example
 * ```ts
 * import { ConstantRate } from "../models/constant_rate.ts";
 * import { encodePlan, PlanDecoder } from "./plan_codec.ts";
 * const plan = new ConstantRate().connection();
 * const decoder = new PlanDecoder();
 * decoder.push(encodePlan(plan, { requestTimes: true }));
 * if (decoder.exchanges.length !== 10 || decoder.close?.by !== "client") throw new Error("not the plan");
 * ```
 */
export function encodePlan(plan: ConnectionPlan, encoding: PlanEncoding): Uint8Array {
  const parts = plan.exchanges.map((exchange, i) =>
    encodeExchange(exchange, i === plan.exchanges.length - 1 ? plan.close : undefined, encoding)
  );
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Thrown inside the decoder alone: the bytes end before the exchange does. */
const INCOMPLETE = Symbol("incomplete");

/** The most bytes of one plan that a decoder accepts: some 40,000 exchanges. */
export const MAX_PLAN_LENGTH = 262144;

/** The most bytes of one exchange. */
const MAX_EXCHANGE = 16384;

/** The most records of one plan that a decoder accepts: a gigabyte in TLS's largest. */
const MAX_RECORDS = 1 << 16;

/** Bytes of memory that a message and one of its records take when they are decoded, about. */
const MESSAGE_MEMORY = 128;
const RECORD_MEMORY = 8;

/** A message of which not every record is there. */
interface Begun {
  readonly request: DataRequest;
  readonly records: number[];
  /** Runs of records that are still to come. */
  runs: number;
  /** Bytes of the records that are there. */
  sum: number;
  readonly more: boolean;
}

/**
 * Decodes a plan from pieces of any size, exchange by exchange. The bytes come from the peer: whatever
 * they are, it either waits for more or throws {@linkcode PlanFormatError}, in bounded memory. What has been
 * understood is not read again, however small the pieces are.
 */
export class PlanDecoder {
  /** The exchanges that are complete. */
  readonly exchanges: ModelRequest[] = [];
  /** How the connection ends, once the last exchange is complete. */
  close: ConnectionPlan["close"] | undefined;
  #rest: Uint8Array = new Uint8Array(0);
  #at = 0;
  #taken = 0;
  #messages = 0;
  #records = 0;
  /** The exchange that is being decoded: what is there of it, where it begins, whether it is the last. */
  #exchange: DataRequest[] = [];
  #begin = 0;
  #final = false;
  #begun: Begun | undefined;
  /** The last exchange is there, and the close is to follow. */
  #ending = false;

  /** Bytes of the plan that were pushed. */
  get length(): number {
    return this.#taken + this.#rest.length;
  }

  /** Bytes of memory that it takes, about. */
  get memory(): number {
    return this.length + MESSAGE_MEMORY * this.#messages + RECORD_MEMORY * this.#records;
  }

  /** Takes the next bytes of the plan. Throws PlanFormatError. */
  push(bytes: Uint8Array): void {
    if (this.length + bytes.length > MAX_PLAN_LENGTH) this.#fail("the plan is too long");
    const joined = new Uint8Array(this.#rest.length + bytes.length);
    joined.set(this.#rest);
    joined.set(bytes, this.#rest.length);
    this.#rest = joined;
    this.#at = 0;
    while (this.close === undefined && this.#at < this.#rest.length) {
      const start = this.#at;
      try {
        if (this.#ending) this.#close();
        else if (this.#begun === undefined) this.#message();
        else this.#run(this.#begun);
      } catch (error) {
        if (error !== INCOMPLETE) throw error;
        this.#at = start;
        break;
      }
    }
    this.#taken += this.#at;
    this.#rest = this.#rest.slice(this.#at);
    if (this.close !== undefined && this.#rest.length > 0) {
      this.#fail("bytes follow the plan's end");
    }
    if (this.length - this.#begin > MAX_EXCHANGE) this.#fail("an exchange is too long");
  }

  #fail(why: string): never {
    throw new PlanFormatError(`${why} (byte ${this.#taken + this.#at} of a plan)`);
  }

  #byte(): number {
    if (this.#at >= this.#rest.length) throw INCOMPLETE;
    return this.#rest[this.#at++]!;
  }

  #varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 7; i++) {
      const byte = this.#byte();
      value += (byte & 127) * scale;
      if (byte < 128) return value;
      scale *= 128;
    }
    this.#fail("a number is too long");
  }

  #size(value: number): number {
    if (value < 1 || value > MAX_PLANNED_SIZE) this.#fail(`a size of ${value} bytes`);
    return value;
  }

  #time(): number {
    const low = this.#byte();
    return timeOf(low | this.#byte() << 8);
  }

  /** A message up to its records. */
  #message(): void {
    const head = this.#varint();
    const flags = head % SHIFT;
    const size = this.#size(Math.floor(head / SHIFT));
    const extra = (flags & EXTRA) > 0 ? this.#byte() : 0;
    if (extra >= 16) this.#fail(`unknown flags ${extra}`);
    const time = (flags & TIMED) > 0 ? this.#time() : 0;
    const lead = (extra & LEAD) > 0 ? this.#varint() : 0;
    const runs = (extra & RECORDS) > 0 ? this.#varint() : undefined;
    if ((extra & FINAL) > 0) {
      if (this.#exchange.length > 0) this.#fail("only an exchange can be the last");
      this.#final = true;
    }
    const request: DataRequest = {
      type: (extra & PADDING) > 0 ? "padding" : "data",
      size,
      time,
      ...(lead === 0 ? {} : { lead }),
    };
    const more = (flags & MORE) > 0;
    if (runs === undefined) this.#complete(request, more);
    else if (runs === 0) this.#fail("the records do not add up");
    else this.#begun = { request, records: [], runs, sum: 0, more };
  }

  /** A run of records of the message that has begun. */
  #run(begun: Begun): void {
    const run = this.#varint();
    const length = run % 2 === 1 ? this.#varint() : 1;
    const record = this.#size(Math.floor(run / 2));
    this.#records += length;
    if (this.#records > MAX_RECORDS) this.#fail("too many records");
    for (let i = 0; i < length; i++) begun.records.push(record);
    begun.sum += record * length;
    const { size } = begun.request;
    if (--begun.runs > 0 && begun.sum <= size) return;
    if (begun.sum !== size) this.#fail("the records do not add up");
    this.#begun = undefined;
    this.#complete({ ...begun.request, records: begun.records }, begun.more);
  }

  #complete(request: DataRequest, more: boolean): void {
    this.#messages++;
    this.#exchange.push(request);
    if (more) return;
    if (this.#final) this.#ending = true;
    else this.#finish();
  }

  #close(): void {
    const flags = this.#byte();
    if (flags >= 8 || (flags & 6) === 6) this.#fail(`an unknown close ${flags}`);
    const by: End = (flags & 1) > 0 ? "server" : "client";
    const close: ConnectionPlan["close"] = {
      by,
      how: (flags & 2) > 0 ? "rst" : "fin",
      time: this.#time(),
      ...((flags & 4) > 0 ? { answer: "rst" as const } : {}),
    };
    this.#finish();
    this.close = close;
  }

  #finish(): void {
    const [request, ...response] = this.#exchange;
    this.exchanges.push({ request: request!, response });
    this.#exchange = [];
    this.#begin = this.#taken + this.#at;
  }
}
