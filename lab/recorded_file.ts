import { createHash } from "node:crypto";
import { readConnections } from "../capture/mod.ts";

/** What a PROVENANCE.json says of every recording. */
export interface RecordedFile {
  /** File, relative to the folder of PROVENANCE.json. */
  readonly file: string;
  /** SHA-256 of the file. */
  readonly sha256: string;
  /** Bytes of the file. */
  readonly bytes: number;
  /** Whole connections in it; of an outline, those whose beginning is there. */
  readonly connections: number;
}

/** Reads the recording `folder/file`. */
export async function recordedFile(
  folder: string,
  file: string,
  outlined = false,
): Promise<RecordedFile> {
  const path = `${folder}/${file}`;
  let connections = 0;
  await readConnections(path, {
    onConnection: ({ start, end }) => {
      if (start === "syn" && (outlined || end.how === "fin" || end.how === "rst")) connections++;
    },
  });
  const content = await Deno.readFile(path);
  return {
    file,
    sha256: createHash("sha256").update(content).digest("hex"),
    bytes: content.length,
    connections,
  };
}
