import { UsageError } from "../base/mod.ts";
import { FLOW_COLUMNS, flowJson, flowValues } from "../capture/flow_columns.ts";
import {
  DEFAULT_BURST_GAP,
  DEFAULT_MAX_FLOWS,
  DEFAULT_MAX_PACKETS,
  flowLine,
  type FlowOptions,
  type FlowRecord,
  type FlowSink,
  flowsLive,
  flowsOfStream,
  type FlowsSummary,
  readFlows,
} from "../capture/mod.ts";
import { csvHead, csvRow, TableFile } from "../capture/table_file.ts";
import { Command, Option } from "./command_line.ts";
import { positiveNumber, wholeNumber } from "./numbers.ts";
import { note, print, progress } from "./output.ts";
import { untilStopped } from "./signals.ts";

interface Options {
  readonly interface?: string;
  readonly filter?: string;
  readonly program?: string;
  readonly seconds?: number;
  readonly bursts?: number;
  readonly live?: boolean;
  readonly gap: number;
  readonly maxBurst?: number;
  readonly bytes: "ip" | "frame";
  readonly local?: string[];
  readonly splitReused?: boolean;
  readonly packets?: boolean;
  readonly maxPackets: number;
  readonly maxFlows: number;
  readonly allowTruncated?: boolean;
  readonly json?: boolean;
  readonly csv?: boolean;
  readonly parquet?: string;
}

/** `deno task flows`: the flows of each burst, of captures and live. */
export function command(): Command {
  return new Command("deno task flows")
    .usage("FILE... | - | --interface IF [options]")
    .description(
      "Sorts packets into flows within bursts and prints, at each burst's end, a line for each flow:\n" +
        "<timestamp> <src addr> <dst addr> <src port> <dst port> <proto> <#packets sent> " +
        "<#packets rcvd> <#bytes sent> <#bytes rcvd>\n" +
        "A burst ends after more than a second of silence over all TCP and UDP.",
    )
    .argument("[file...]", "captures (pcap, pcapng, snoop, gzipped or not); - for standard input")
    .option("--interface <name>", "record this interface by tcpdump instead of reading files")
    .option("--filter <bpf>", "what to record, in tcpdump's language (live only)")
    .addOption(
      new Option("--program <path>", "what records: tcpdump, dumpcap, or a path to one of them")
        .default("tcpdump"),
    )
    .option("--seconds <n>", "end after so many seconds (live only)", positiveNumber)
    .option("--bursts <n>", "end after so many bursts (live only)", wholeNumber(1))
    .option("--live", "standard input is being recorded: notice silence while it lasts")
    .option("--gap <ms>", "silence that ends a burst", positiveNumber, DEFAULT_BURST_GAP)
    .option("--max-burst <s>", "end a burst after so many seconds in any case", positiveNumber)
    .addOption(
      new Option("--bytes <what>", "what is counted").choices(["ip", "frame"]).default("ip"),
    )
    .option("--local <network...>", "the end inside is the source, such as 192.168.12.0/24")
    .option("--split-reused", "a SYN with a new sequence number starts a new flow")
    .option("--packets", "with --json: the length and time of each packet too")
    .option(
      "--max-packets <n>",
      "packets of a flow that --packets keeps",
      wholeNumber(1),
      DEFAULT_MAX_PACKETS,
    )
    .option(
      "--max-flows <n>",
      "flows held at once; more, and those idle the longest are printed early",
      wholeNumber(1, 30_000_000),
      DEFAULT_MAX_FLOWS,
    )
    .option("--allow-truncated", "accept captures that end in the middle of a packet")
    .option("--json", "print each flow as JSON, one a line")
    .option("--csv", "print CSV")
    .option("--parquet <file>", "write a parquet file instead of printing")
    .action(run);
}

async function run(files: string[], options: Options): Promise<void> {
  const live = options.interface !== undefined || options.live === true;
  if ((options.interface !== undefined) === files.length > 0) {
    throw new UsageError("give FILE..., - for standard input, or --interface IF");
  }
  if (options.live && (files.length !== 1 || files[0] !== "-")) {
    throw new UsageError("--live goes with - (standard input)");
  }
  if (options.filter !== undefined && options.interface === undefined) {
    throw new UsageError("--filter goes with --interface");
  }
  if (!live && (options.seconds ?? options.bursts) !== undefined) {
    throw new UsageError("--seconds and --bursts go with --interface or --live");
  }
  if (files.filter((file) => file === "-").length > 1) {
    throw new UsageError("standard input (-) can be read once");
  }
  if ([options.json, options.csv, options.parquet].filter(Boolean).length > 1) {
    throw new UsageError("choose one of --json, --csv and --parquet");
  }
  if (options.packets && !options.json) throw new UsageError("--packets goes with --json");

  const how = {
    burstGap: options.gap,
    ...(options.maxBurst === undefined ? {} : { maxBurst: options.maxBurst * 1000 }),
    ...(options.local === undefined ? {} : { local: options.local }),
    bytes: options.bytes,
    splitReused: options.splitReused ?? false,
    packets: options.packets ?? false,
    maxPackets: options.maxPackets,
    maxFlows: options.maxFlows,
    allowTruncated: options.allowTruncated ?? false,
    hashSeed: crypto.getRandomValues(new Uint32Array(1))[0]!,
  };
  const out = outputOf(options);
  try {
    await (live ? watch(out, how, options) : readAll(files, out, how));
    out.close();
  } catch (error) {
    out.abort();
    throw error;
  }
}

type How = FlowOptions & { readonly allowTruncated: boolean };

/** Flows of an interface or of a growing standard input, until it is enough. */
async function watch(out: Output, how: How, options: Options): Promise<void> {
  const { seconds, filter, program, interface: device } = options;
  await untilStopped(seconds, async (stop) => {
    let left = options.bursts ?? Infinity;
    const sink: FlowSink = {
      onFlow: (flow) => {
        if (left > 0) out.add(flow);
      },
      onBurst: () => {
        out.flush();
        if (--left === 0) stop.abort();
      },
    };
    const { signal } = stop;
    if (device === undefined) {
      report(await flowsOfStream("-", sink, { ...how, signal }));
      return;
    }
    const summary = await flowsLive(device, sink, {
      ...how,
      signal,
      ...(filter === undefined ? {} : { filter }),
      ...(program === undefined ? {} : { program }),
    });
    report(summary);
    if (summary.dropped !== undefined) {
      note(
        `recorder: ${summary.received ?? summary.capture.packets} packets received, ` +
          `${summary.dropped} dropped`,
      );
    }
  });
}

async function readAll(files: readonly string[], out: Output, how: How): Promise<void> {
  const bar = progress();
  try {
    for (const file of files) {
      const summary = await readFlows(file, { onFlow: (flow) => out.add(flow) }, {
        ...how,
        onProgress: (done, total) => bar.update(done, total ?? done, file),
      });
      const { truncatedAt } = summary.capture;
      if (truncatedAt !== undefined) note(`${file}: cut short at byte ${truncatedAt}`);
      noteEvicted(summary);
    }
  } finally {
    bar.stop();
  }
}

function report(summary: FlowsSummary): void {
  const { capture, packets, records, bursts } = summary;
  note(
    `${capture.packets} packets, of these ${packets} of TCP and UDP in ${records} flows ` +
      `and ${bursts} bursts`,
  );
  noteEvicted(summary);
}

function noteEvicted({ evicted }: FlowsSummary): void {
  if (evicted === 0) return;
  note(
    `${evicted} flows were printed before their burst ended, for want of room: ` +
      "raise --max-flows, or expect several lines for one flow",
  );
}

/** Where flows go. */
interface Output {
  add(flow: FlowRecord): void;
  flush(): void;
  close(): void;
  abort(): void;
}

/** Characters gathered before they are printed. */
const CHUNK = 1 << 16;

function outputOf(options: Options): Output {
  if (options.parquet !== undefined) {
    const table = new TableFile(options.parquet, "parquet", FLOW_COLUMNS);
    return {
      add: (flow) => table.add(flowValues(flow)),
      flush() {},
      close: () => table.close(),
      abort: () => table.abort(),
    };
  }
  const format = options.json
    ? (flow: FlowRecord) => JSON.stringify(flowJson(flow))
    : options.csv
    ? (flow: FlowRecord) => csvRow(FLOW_COLUMNS, flowValues(flow))
    : flowLine;
  let lines: string[] = options.csv ? [csvHead(FLOW_COLUMNS)] : [];
  let size = 0;
  const flush = () => {
    if (lines.length > 0) print(lines.join("\n"));
    lines = [];
    size = 0;
  };
  return {
    add(flow) {
      const line = format(flow);
      lines.push(line);
      size += line.length;
      if (size > CHUNK) flush();
    },
    flush,
    close: flush,
    abort: flush,
  };
}
