/** A typed array that may cross to a plugin. */
export type Column =
  | Float64Array
  | Float32Array
  | Int32Array
  | Uint32Array
  | Uint16Array
  | Uint8Array;

/** Plain data that may cross to a plugin. */
export type Plain = string | number | boolean | null | readonly Plain[] | {
  readonly [name: string]: Plain;
};

/** What crosses to a plugin and back: named values, typed arrays among them. */
export type Fields = Readonly<Record<string, Plain | Column>>;

/** Bytes that are no encoded {@linkcode Fields}. */
export class MalformedFields extends Error {
  /** Says what it is. */
  override readonly name = "MalformedFields";
}

const TYPES = {
  f64: Float64Array,
  f32: Float32Array,
  i32: Int32Array,
  u32: Uint32Array,
  u16: Uint16Array,
  u8: Uint8Array,
} as const;
type TypeName = keyof typeof TYPES;

function typeOf(column: Column): TypeName {
  for (const name of Object.keys(TYPES) as TypeName[]) {
    if (column instanceof TYPES[name]) return name;
  }
  throw new TypeError("not a column");
}

/** True for the kinds of typed array that cross as binary. */
export function isColumn(value: unknown): value is Column {
  return Object.values(TYPES).some((type) => value instanceof type);
}

const align = (offset: number): number => (offset + 7) & ~7;

/**
 * Encodes fields: a 32-bit length, that much JSON, then each typed array's bytes at a multiple of 8.
 * Numbers of columns are in the machine's byte order, for both ends are one machine.
 *
 * @example
 * ```ts
 * import { decodeFields, encodeFields } from "./codec.ts";
 * const fields = decodeFields(encodeFields({ count: 2, sizes: Float64Array.of(1.5, -2) }));
 * if (fields.count !== 2 || (fields.sizes as Float64Array)[1] !== -2) throw new Error("lost");
 * ```
 */
export function encodeFields(fields: Fields): Uint8Array<ArrayBuffer> {
  const json: Record<string, Plain> = {};
  const columns: [string, TypeName, number][] = [];
  const arrays: Column[] = [];
  for (const [name, value] of Object.entries(fields)) {
    if (isColumn(value)) {
      columns.push([name, typeOf(value), value.length]);
      arrays.push(value);
    } else json[name] = value;
  }
  const header = new TextEncoder().encode(JSON.stringify([json, columns]));
  let size = align(4 + header.length);
  for (const array of arrays) size = align(size + array.byteLength);
  const bytes = new Uint8Array(size);
  new DataView(bytes.buffer).setUint32(0, header.length, true);
  bytes.set(header, 4);
  let offset = align(4 + header.length);
  for (const array of arrays) {
    bytes.set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength), offset);
    offset = align(offset + array.byteLength);
  }
  return bytes;
}

/**
 * Decodes what {@linkcode encodeFields} made; trusts nothing in it. The columns are views into `bytes`,
 * which must start at a multiple of 8 of its buffer.
 *
 * @throws {MalformedFields} whatever else it is given.
 */
export function decodeFields(bytes: Uint8Array<ArrayBuffer>): Record<string, Plain | Column> {
  if (bytes.length < 4) throw new MalformedFields("shorter than its own length");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const headerLength = view.getUint32(0, true);
  if (headerLength > bytes.length - 4) throw new MalformedFields("header longer than the whole");
  let parsed: unknown;
  try {
    const text = new TextDecoder("utf-8", { fatal: true });
    parsed = JSON.parse(text.decode(bytes.subarray(4, 4 + headerLength)));
  } catch {
    throw new MalformedFields("header is not JSON");
  }
  if (!Array.isArray(parsed) || parsed.length !== 2 || !Array.isArray(parsed[1])) {
    throw new MalformedFields("header is not a pair");
  }
  const [json, columns] = parsed as [unknown, unknown[]];
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new MalformedFields("header holds no fields");
  }
  const fields: Record<string, Plain | Column> = Object.create(null);
  for (const [name, value] of Object.entries(json)) fields[name] = value as Plain;
  let offset = align(4 + headerLength);
  for (const column of columns) {
    if (!Array.isArray(column)) throw new MalformedFields("a column is not described");
    const [name, type, length] = column as unknown[];
    if (typeof name !== "string" || typeof type !== "string" || !Object.hasOwn(TYPES, type)) {
      throw new MalformedFields("a column has no name or no type");
    }
    const Type = TYPES[type as TypeName];
    if (typeof length !== "number" || !Number.isInteger(length) || length < 0) {
      throw new MalformedFields("a column has no length");
    }
    const byteLength = length * Type.BYTES_PER_ELEMENT;
    if (!(offset + byteLength <= bytes.length)) throw new MalformedFields("a column is cut off");
    fields[name] = new Type(bytes.buffer, bytes.byteOffset + offset, length);
    offset = align(offset + byteLength);
  }
  if (Math.max(offset, 4 + headerLength) < bytes.length - 7) {
    throw new MalformedFields("bytes left over");
  }
  return fields;
}
