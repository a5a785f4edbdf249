import * as v from "valibot";
import { UserError, writeFileAtomically } from "../base/mod.ts";

/** A file of recorded transfers that cannot be used: names the file and what is wrong. */
export class TransferFileError extends UserError {
  /** `source` is the file's path. */
  constructor(readonly source: string, problem: string, options?: ErrorOptions) {
    super(`${source}: ${problem}`, options);
  }
}

/** What a bulk transfer is recorded of: which model, where, which way, and what draws the cover. */
export interface TransferCase {
  /** The model, by name or path; `constant-rate:28` is constant rate of as many kbit/s each way. */
  readonly model: string;
  /** Name of the link, of `LINKS`. */
  readonly link: string;
  /** Who sends. */
  readonly from: "client" | "server";
  /** Text that the cover's seed is drawn from. */
  readonly seed: string;
}

/** One bulk transfer that iperf drove over the laboratory's link, as tcpdump saw it. */
export interface RecordedTransfer extends TransferCase {
  /** The model's digest. */
  readonly digest: string;
  /** The carrier that it was played in. */
  readonly carrier: string;
  /** When it began, ISO 8601. */
  readonly date: string;
  /** The machine's load when it began (average of a minute). */
  readonly load: number;
  /** What iperf's receiving end says, in kbit/s of user data; absent if not all came in time. */
  readonly kbps?: number;
  /** Seconds from the start of iperf until its receiving end had all, or until patience ended. */
  readonly seconds: number;
  /** Bytes of TCP payload on the link in that time, both ways, by tcpdump: cover, handshakes, all of it. */
  readonly payloadBytes: number;
  /** The same with IP and TCP headers and bare acknowledgements. */
  readonly wireBytes: number;
}

/** A file of recorded transfers. */
export interface RecordedTransfers {
  /** User bytes of each transfer. */
  readonly bytes: number;
  /** Seconds that a tunnel's cover had been playing when its transfer began. */
  readonly warmUp: number;
  /** Names and versions of the programs. */
  readonly programs: Readonly<Record<string, string>>;
  /** The transfers. */
  readonly transfers: readonly RecordedTransfer[];
}

const SCHEMA = "trafficmimic-transfers";
const VERSION = 1;

const word = v.pipe(v.string(), v.minLength(1), v.maxLength(300));
const amount = v.pipe(v.number(), v.finite(), v.minValue(0));
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

const fileSchema = v.strictObject({
  schema: v.literal(SCHEMA),
  version: v.literal(VERSION),
  bytes: v.pipe(count, v.minValue(1)),
  warmUp: amount,
  programs: v.record(word, v.string()),
  transfers: v.array(v.strictObject({
    model: word,
    link: word,
    from: v.picklist(["client", "server"]),
    seed: word,
    digest: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
    carrier: word,
    date: word,
    load: amount,
    kbps: v.optional(v.pipe(amount, v.gtValue(0))),
    seconds: amount,
    payloadBytes: count,
    wireBytes: count,
  })),
});

/**
 * Reads the text of a file of recorded transfers; `source` names it in errors.
 *
 * @throws {TransferFileError} where it is none, or not of this version.
 */
export function parseTransfers(text: string, source: string): RecordedTransfers {
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch (cause) {
    throw new TransferFileError(source, "not JSON: give a file that `lab transfers` wrote", {
      cause,
    });
  }
  const { issues, output, success } = v.safeParse(fileSchema, data);
  if (!success) {
    const [issue] = issues;
    throw new TransferFileError(
      source,
      `not a file of recorded transfers, at ${v.getDotPath(issue) ?? "its top"}: ${issue.message}`,
    );
  }
  const { schema: _, version: __, ...file } = output;
  return file as RecordedTransfers;
}

/**
 * Reads a file of recorded transfers.
 *
 * @throws {TransferFileError} where there is none, or nothing that can be read.
 */
export async function readTransfers(path: string): Promise<RecordedTransfers> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (cause) {
    const why = cause instanceof Deno.errors.NotFound ? "there is no such file" : "cannot be read";
    throw new TransferFileError(path, why, { cause });
  }
  return parseTransfers(text, path);
}

/** Writes a file of recorded transfers, whole or not at all. */
export async function writeTransfers(path: string, file: RecordedTransfers): Promise<void> {
  const text = JSON.stringify({ schema: SCHEMA, version: VERSION, ...file }, undefined, 1);
  await writeFileAtomically(path, `${text}\n`);
}

/** Whether two are one transfer, of the same version of the model and in the same carrier. */
export function sameTransfer(
  a: TransferCase & Pick<RecordedTransfer, "carrier" | "digest">,
  b: TransferCase & Pick<RecordedTransfer, "carrier" | "digest">,
): boolean {
  return (["model", "link", "from", "seed", "digest", "carrier"] as const)
    .every((name) => a[name] === b[name]);
}

/** What iperf (version 2) says of one transfer. */
export interface IperfLine {
  /** User bytes. */
  readonly bytes: number;
  /** kbit/s. */
  readonly kbps: number;
}

/**
 * Reads what iperf 2 prints with `-y C`: one line a transfer, of which the last two fields are bytes and bits a
 * second. Lines that are no such report are passed over.
 *
 * @example
 * ```ts
 * import { parseIperf } from "./recorded_transfers.ts";
 * const [line] = parseIperf("19700101000000,127.0.0.1,5001,127.0.0.1,54808,1,0.0-6.9,100000,116078\n");
 * if (line?.kbps !== 116.078) throw new Error("read wrongly");
 * ```
 */
export function parseIperf(text: string): IperfLine[] {
  const lines: IperfLine[] = [];
  // A line that is still being written has no end.
  for (const line of text.split("\n").slice(0, -1)) {
    const fields = line.split(",");
    const [bytes, bits] = [Number(fields[7]), Number(fields[8])];
    if (fields.length === 9 && bytes > 0 && bits > 0) lines.push({ bytes, kbps: bits / 1000 });
  }
  return lines;
}
