import { ByteWriter, ParquetWriter } from "hyparquet-writer";
import { UserError } from "../base/errors.ts";

/** A table file that cannot be written. */
export class TableFileError extends UserError {}

/** A column of a {@linkcode TableFile}. */
export interface TableColumn {
  /** Its name. */
  readonly name: string;
  /**
   * What its values are: text, whole numbers below 2^53, any numbers, or milliseconds since the Unix epoch
   * (in parquet a UTC timestamp in microseconds, in CSV seconds with six decimals).
   */
  readonly type: "text" | "integer" | "number" | "time";
}

/** A value of a row. */
export type TableValue = string | number;

/** File formats of tables. */
export type TableFormat = "parquet" | "csv";

/** Rows of a parquet row group: what is held in memory. */
const GROUP = 65_536;

/** Bytes of text gathered before they are written. */
const CHUNK = 1 << 16;

/** The format that a file's name asks for, or undefined. */
export function tableFormatOf(path: string): TableFormat | undefined {
  return /\.parquet$/i.test(path) ? "parquet" : /\.csv$/i.test(path) ? "csv" : undefined;
}

/** A row in CSV (RFC 4180), without the line's end. */
export function csvRow(columns: readonly TableColumn[], values: readonly TableValue[]): string {
  return values.map((value, i) =>
    typeof value === "string"
      ? csvText(value)
      : columns[i]!.type === "time"
      ? (value / 1000).toFixed(6)
      : String(value)
  ).join(",");
}

function csvText(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** The head of a CSV file. */
export function csvHead(columns: readonly TableColumn[]): string {
  return columns.map(({ name }) => csvText(name)).join(",");
}

/**
 * A table that is written row by row, whole or not at all: the rows go to a temporary name in the same
 * folder, which {@linkcode TableFile.close} renames. Memory holds 65,536 rows at most.
 *
 * Throws {@linkcode TableFileError} where the file cannot be written.
 *
 * @example
 * ```ts
 * import { TableFile } from "./table_file.ts";
 * const folder = await Deno.makeTempDir();
 * const table = new TableFile(`${folder}/t.csv`, "csv", [
 *   { name: "app", type: "text" },
 *   { name: "bytes", type: "integer" },
 * ]);
 * table.add(["a, b", 5]);
 * table.close();
 * const text = await Deno.readTextFile(`${folder}/t.csv`);
 * if (text !== 'app,bytes\n"a, b",5\n') throw new Error(text);
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export class TableFile {
  /** Rows added. */
  rows = 0;
  readonly #temporary: string;
  readonly #file: Deno.FsFile;
  readonly #body: CsvBody | ParquetBody;

  /** Begins the file at `path`. */
  constructor(
    /** Where the table will be. */
    readonly path: string,
    format: TableFormat,
    /** Its columns. */
    readonly columns: readonly TableColumn[],
  ) {
    this.#temporary = `${path}.${crypto.randomUUID()}.tmp`;
    this.#file = attempt(path, () => {
      return Deno.openSync(this.#temporary, { write: true, createNew: true });
    });
    const write = (bytes: Uint8Array) => {
      attempt(path, () => {
        for (let at = 0; at < bytes.length;) at += this.#file.writeSync(bytes.subarray(at));
      });
    };
    this.#body = format === "csv" ? new CsvBody(columns, write) : new ParquetBody(columns, write);
  }

  /** Adds a row: a value for each column. */
  add(values: readonly TableValue[]): void {
    this.#body.add(values);
    this.rows++;
  }

  /** Ends the file and gives it its name. */
  close(): void {
    try {
      this.#body.end();
      this.#file.close();
      attempt(this.path, () => Deno.renameSync(this.#temporary, this.path));
    } catch (error) {
      this.abort();
      throw error;
    }
  }

  /** Gives the file up: nothing is left of it. */
  abort(): void {
    try {
      this.#file.close();
    } catch {
      // Closed before.
    }
    try {
      Deno.removeSync(this.#temporary);
    } catch {
      // Never made, or renamed.
    }
  }
}

class CsvBody {
  readonly #encoder = new TextEncoder();
  #text: string;

  constructor(
    readonly columns: readonly TableColumn[],
    readonly write: (bytes: Uint8Array) => void,
  ) {
    this.#text = `${csvHead(columns)}\n`;
  }

  add(values: readonly TableValue[]): void {
    this.#text += `${csvRow(this.columns, values)}\n`;
    if (this.#text.length > CHUNK) this.end();
  }

  end(): void {
    this.write(this.#encoder.encode(this.#text));
    this.#text = "";
  }
}

type ParquetData = string[] | Float64Array | BigInt64Array;

class ParquetBody {
  readonly #bytes = new ByteWriter();
  readonly #parquet: ParquetWriter;
  readonly #data: readonly ParquetData[];
  #rows = 0;

  constructor(
    readonly columns: readonly TableColumn[],
    readonly write: (bytes: Uint8Array) => void,
  ) {
    this.#parquet = new ParquetWriter({
      writer: this.#bytes,
      createdBy: "TrafficMimic",
      schema: [
        { name: "root", num_children: columns.length },
        ...columns.map(({ name, type }) => ({
          name,
          repetition_type: "REQUIRED" as const,
          ...TYPES[type],
        })),
      ],
    });
    this.#data = columns.map(({ type }) =>
      type === "text" ? [] : type === "number" ? new Float64Array(GROUP) : new BigInt64Array(GROUP)
    );
  }

  add(values: readonly TableValue[]): void {
    const row = this.#rows++;
    for (const [i, data] of this.#data.entries()) {
      const value = values[i]!;
      if (data instanceof Float64Array) data[row] = Number(value);
      else if (!(data instanceof BigInt64Array)) data[row] = String(value);
      else {
        const scale = this.columns[i]!.type === "time" ? 1000 : 1;
        data[row] = BigInt(Math.round(Number(value) * scale));
      }
    }
    if (this.#rows === GROUP) this.#group();
  }

  end(): void {
    if (this.#rows > 0) this.#group();
    this.#parquet.finish();
    this.#flush();
  }

  #group(): void {
    const rows = this.#rows;
    this.#parquet.write({
      columnData: this.columns.map(({ name }, i) => {
        const data = this.#data[i]!;
        return { name, data: Array.isArray(data) ? data.slice(0, rows) : data.subarray(0, rows) };
      }),
      rowGroupSize: GROUP,
    });
    this.#rows = 0;
    this.#flush();
  }

  #flush(): void {
    this.write(this.#bytes.getBytes());
    this.#bytes.index = 0;
  }
}

const TYPES = {
  text: { type: "BYTE_ARRAY", converted_type: "UTF8" },
  integer: { type: "INT64" },
  number: { type: "DOUBLE" },
  time: {
    type: "INT64",
    converted_type: "TIMESTAMP_MICROS",
    logical_type: { type: "TIMESTAMP", isAdjustedToUTC: true, unit: "MICROS" },
  },
} as const;

function attempt<T>(path: string, write: () => T): T {
  try {
    return write();
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    throw new TableFileError(
      error instanceof Deno.errors.NotFound
        ? `${path}: its folder does not exist: make it, or name another file`
        : `${path}: cannot be written (${error instanceof Error ? error.message : error})`,
      { cause: error },
    );
  }
}
