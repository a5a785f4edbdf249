import { Command } from "./command_line.ts";
import { Table } from "../base/table.ts";
import { UserError } from "../base/mod.ts";
import { surveyCaptures, type SurveyRow } from "../capture/survey.ts";
import { note, print, printJson, progress } from "./output.ts";

/** `deno task test:captures DIR`: how the readers get on with a folder of foreign captures. */
export function command(): Command {
  return new Command("test:captures")
    .description(
      "Reads every capture below a folder and assembles its connections. Fails if a file makes the " +
        "reader crash; a file that is refused with one clear line is no failure.",
    )
    .argument("<dir>", "folder of captures, read with all its folders")
    .option("--json", "print one JSON object")
    .action(async (dir: string, options: { json?: boolean }) => {
      if (!(await Deno.stat(dir).catch(() => undefined))?.isDirectory) {
        throw new UserError(`${dir}: no such folder: give a folder of captures`);
      }
      const bar = progress();
      let seen = 0;
      const rows = await surveyCaptures(dir, ({ file }) => bar.update(++seen, seen, file));
      bar.stop();
      if (options.json) printJson({ files: rows, ...totals(rows) });
      else printRows(rows);
      const crashed = rows.filter(({ verdict }) => verdict === "crashed");
      if (crashed.length > 0) {
        for (const { file, message } of crashed) note(`${file}: ${message}`);
        throw new UserError(`${crashed.length} of ${rows.length} captures made the reader crash`);
      }
    });
}

function totals(rows: readonly SurveyRow[]) {
  const count = (verdict: SurveyRow["verdict"]) =>
    rows.filter((row) => row.verdict === verdict).length;
  const differ = rows.filter(({ expected, packets }) =>
    expected !== undefined && expected !== packets
  );
  return {
    read: count("read"),
    cut: count("cut"),
    refused: count("refused"),
    crashed: count("crashed"),
    expected: rows.filter(({ expected }) => expected !== undefined).length,
    unexpected: differ.map(({ file }) => file),
  };
}

function printRows(rows: readonly SurveyRow[]): void {
  const table = new Table({
    head: ["file", "packets", "tcp", "connections", "verdict"],
    colAligns: ["left", "right", "right", "right", "left"],
    style: { head: [], border: [], compact: true },
  });
  for (const { file, packets, tcp, connections, verdict, message, expected } of rows) {
    const differs = expected !== undefined && expected !== packets ? ` (expected ${expected})` : "";
    const line = message.split("\n")[0];
    table.push([
      file,
      `${packets}${differs}`,
      tcp,
      connections,
      verdict === "read" ? verdict : `${verdict}: ${line}`,
    ]);
  }
  print(table.toString());
  const { read, cut, refused, crashed, expected, unexpected } = totals(rows);
  print(
    `${rows.length} files: ${read} read, ${cut} read up to their cut, ${refused} refused, ` +
      `${crashed} crashed` +
      (expected === 0
        ? ""
        : `; ${expected - unexpected.length} of ${expected} packet counts as expected`),
  );
}
