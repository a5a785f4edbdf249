import { UserError } from "../../base/mod.ts";

/** Bytes that are not what they should be: cut off, of another kind, or damaged. */
export class DamagedBytesError extends UserError {
  /** `offset` is where in the bytes it was noticed. */
  constructor(what: string, readonly offset: number) {
    super(`${what} at offset ${offset}`);
  }
}

/** Writes numbers and arrays into bytes that any architecture reads: little-endian throughout. */
export class ByteWriter {
  #bytes = new Uint8Array(4096);
  #view = new DataView(this.#bytes.buffer);
  #size = 0;

  #room(more: number): number {
    const at = this.#size;
    this.#size += more;
    if (this.#size > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#size, 2 * this.#bytes.length));
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }

  /** One byte. */
  u8(value: number): void {
    const at = this.#room(1);
    this.#view.setUint8(at, value);
  }

  /** An unsigned 16-bit integer. */
  u16(value: number): void {
    const at = this.#room(2);
    this.#view.setUint16(at, value, true);
  }

  /** An unsigned 32-bit integer. */
  u32(value: number): void {
    const at = this.#room(4);
    this.#view.setUint32(at, value, true);
  }

  /** An IEEE 754 double. */
  f64(value: number): void {
    const at = this.#room(8);
    this.#view.setFloat64(at, value, true);
  }

  /** Doubles, without their number. */
  f64s(values: ArrayLike<number>): void {
    for (let i = 0; i < values.length; i++) this.f64(values[i]!);
  }

  /** Unsigned 16-bit integers, without their number. */
  u16s(values: ArrayLike<number>): void {
    for (let i = 0; i < values.length; i++) this.u16(values[i]!);
  }

  /** Bytes as they are, without their number. */
  raw(bytes: Uint8Array): void {
    const at = this.#room(bytes.length);
    this.#bytes.set(bytes, at);
  }

  /** What was written. */
  done(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#size);
  }
}

/** Reads what {@linkcode ByteWriter} has written; never beyond the end, and never more than there is. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  /** Reads `bytes` from their start. */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Where the next is read. */
  get offset(): number {
    return this.#at;
  }

  /** Bytes that are left. */
  get left(): number {
    return this.#bytes.length - this.#at;
  }

  #take(size: number, count = 1): number {
    if (!(count * size <= this.left)) throw new DamagedBytesError("cut off", this.#at);
    const at = this.#at;
    this.#at += count * size;
    return at;
  }

  /** One byte. */
  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  /** An unsigned 16-bit integer. */
  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }

  /** An unsigned 32-bit integer. */
  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  /** An IEEE 754 double. */
  f64(): number {
    return this.#view.getFloat64(this.#take(8), true);
  }

  /** `count` doubles. */
  f64s(count: number): Float64Array {
    let at = this.#take(8, count);
    const values = new Float64Array(count);
    for (let i = 0; i < count; i++, at += 8) values[i] = this.#view.getFloat64(at, true);
    return values;
  }

  /** `count` unsigned 16-bit integers. */
  u16s(count: number): Uint16Array {
    let at = this.#take(2, count);
    const values = new Uint16Array(count);
    for (let i = 0; i < count; i++, at += 2) values[i] = this.#view.getUint16(at, true);
    return values;
  }

  /** `count` bytes, copied. */
  raw(count: number): Uint8Array<ArrayBuffer> {
    const at = this.#take(1, count);
    return this.#bytes.slice(at, at + count);
  }
}
