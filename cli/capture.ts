import { recordToFile } from "../capture/record.ts";
import { Command, Option } from "./command_line.ts";
import { byteSize, positiveNumber, wholeNumber } from "./numbers.ts";
import { note, print, printJson } from "./output.ts";
import { untilStopped } from "./signals.ts";

interface Options {
  readonly interface: string;
  readonly out: string;
  readonly rotate?: number;
  readonly filter?: string;
  readonly seconds?: number;
  readonly snapLength: number;
  readonly program: string;
  readonly json?: boolean;
}

/** `deno task capture`: records an interface to files. */
export function command(): Command {
  return new Command("deno task capture")
    .usage("--interface IF --out FILE [options]")
    .description(
      "Records the packets of an interface by tcpdump to a pcap file, until it is interrupted. " +
        "A file gets its name when it is complete.",
    )
    .requiredOption("--interface <name>", "what to record")
    .requiredOption("--out <file>", "where to; with --rotate the files are numbered")
    .option("--rotate <size>", "begin a new file at so many bytes, such as 100M", byteSize)
    .option("--filter <bpf>", "what to record, in tcpdump's language")
    .option("--seconds <n>", "end after so many seconds", positiveNumber)
    .option("--snap-length <n>", "bytes kept of each packet", wholeNumber(1, 262_144), 262_144)
    .addOption(
      new Option("--program <path>", "what records: tcpdump, dumpcap, or a path to one of them")
        .default("tcpdump"),
    )
    .option("--json", "print one JSON object")
    .action(run);
}

async function run(options: Options): Promise<void> {
  const { interface: device, out, rotate, filter, seconds, json, ...rest } = options;
  const recording = await untilStopped(seconds, ({ signal }) =>
    recordToFile(device, out, {
      ...rest,
      signal,
      ...(rotate === undefined ? {} : { rotate }),
      ...(filter === undefined ? {} : { filter }),
      onFile: (path) => {
        if (rotate !== undefined && !json) note(`${path} is complete`);
      },
    }));
  if (json) printJson(recording);
  else {
    const { files, packets, bytes, dropped } = recording;
    print(
      `${files.join(", ") || "nothing recorded"}: ${packets} packets, ${bytes} bytes` +
        (dropped === undefined ? "" : `, ${dropped} dropped`),
    );
  }
}
