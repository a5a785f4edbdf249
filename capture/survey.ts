import { CaptureError, TruncatedCaptureError } from "./capture_error.ts";
import { readCapture } from "./read_capture.ts";
import { TcpAssembler } from "./tcp_assembler.ts";

/** What became of one file of a folder. */
export interface SurveyRow {
  /** Path below the folder. */
  readonly file: string;
  /** Packets delivered, before an error too. */
  readonly packets: number;
  /** TCP packets among them. */
  readonly tcp: number;
  /** TCP connections assembled from them. */
  readonly connections: number;
  /**
   * `read`: to its end. `cut`: to the place where the file is cut short. `refused`: with one line.
   * `crashed`: with an error that is not this room's, which is a bug.
   */
  readonly verdict: "read" | "cut" | "refused" | "crashed";
  /** The error's line, without the file's name; `""` for a file that was read. */
  readonly message: string;
  /** Packets that the folder's `EXPECTED.tsv` promises; undefined where it has no number. */
  readonly expected: number | undefined;
}

/**
 * Reads every file below a folder and assembles its connections, to see how the readers get on with
 * foreign captures. A file `EXPECTED.tsv` beside captures is not read as one: its first column names a
 * file of that folder and its second the packets in it, where known.
 *
 * @param onRow called with each row as it is done
 */
export async function surveyCaptures(
  folder: string,
  onRow: (row: SurveyRow) => void = () => {},
): Promise<SurveyRow[]> {
  const rows: SurveyRow[] = [];
  for await (const file of filesBelow(folder)) {
    const expected = await expectedPackets(`${folder}/${file}`);
    const row = { ...await survey(`${folder}/${file}`, file), expected };
    rows.push(row);
    onRow(row);
  }
  return rows;
}

async function survey(path: string, file: string): Promise<Omit<SurveyRow, "expected">> {
  let packets = 0;
  let tcp = 0;
  let connections = 0;
  let verdict: SurveyRow["verdict"] = "read";
  let message = "";
  try {
    const assembler = new TcpAssembler(() => connections++, { capture: file });
    try {
      await readCapture(path, (packet) => {
        packets++;
        if (packet.protocol === 6) tcp++;
        assembler.push(packet);
      });
    } catch (error) {
      if (!(error instanceof CaptureError)) throw error;
      verdict = error instanceof TruncatedCaptureError && packets > 0 ? "cut" : "refused";
      message = error.message.replace(`${path}: `, "");
    }
    assembler.finish();
  } catch (error) {
    verdict = "crashed";
    message = error instanceof Error ? error.stack ?? error.message : String(error);
  }
  return { file, packets, tcp, connections, verdict, message };
}

async function* filesBelow(folder: string, prefix = ""): AsyncGenerator<string> {
  const entries = await Array.fromAsync(Deno.readDir(`${folder}/${prefix}`));
  entries.sort((a, b) => a.name < b.name ? -1 : 1);
  for (const { name, isDirectory } of entries) {
    if (isDirectory) yield* filesBelow(folder, `${prefix}${name}/`);
    else if (name !== "EXPECTED.tsv") yield prefix + name;
  }
}

async function expectedPackets(path: string): Promise<number | undefined> {
  const slash = path.lastIndexOf("/");
  const table = await Deno.readTextFile(`${path.slice(0, slash)}/EXPECTED.tsv`).catch(() => "");
  for (const line of table.split("\n")) {
    const [file, count] = line.split("\t");
    if (file === path.slice(slash + 1) && /^\d+$/.test(count ?? "")) return Number(count);
  }
  return undefined;
}
