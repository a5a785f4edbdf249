import { UsageError } from "../base/mod.ts";
import { FEATURE_SETS, featureSet } from "../capture/feature_sets.ts";
import {
  DEFAULT_BURST_GAP,
  DEFAULT_MAX_PACKETS,
  type FlowOptions,
  flowProtocolName,
  readFlows,
} from "../capture/mod.ts";
import { type TableColumn, TableFile, tableFormatOf } from "../capture/table_file.ts";
import { type LabelledCaptures, parseLabelledCaptures } from "../evaluation/mod.ts";
import { Command, Option } from "./command_line.ts";
import { positiveNumber, wholeNumber } from "./numbers.ts";
import { note, print, printJson, progress } from "./output.ts";

interface Options {
  readonly out: string;
  readonly features: string;
  readonly format?: "parquet" | "csv";
  readonly gap: number;
  readonly bytes: "ip" | "frame";
  readonly local?: string[];
  readonly splitReused?: boolean;
  readonly maxPackets: number;
  readonly minPackets: number;
  readonly protocol: "all" | "tcp" | "udp";
  readonly allowTruncated?: boolean;
  readonly json?: boolean;
}

/** What a row says of its flow in front of the features. */
const KEYS: readonly TableColumn[] = [
  { name: "label", type: "text" },
  { name: "group", type: "text" },
  { name: "burst", type: "integer" },
  { name: "first", type: "time" },
  { name: "transport", type: "text" },
  { name: "source_address", type: "text" },
  { name: "source_port", type: "integer" },
  { name: "destination_address", type: "text" },
  { name: "destination_port", type: "integer" },
];

/** `deno task features`: captures to a table of flows by features, with labels and groups. */
export function command(): Command {
  const sets = Object.values(FEATURE_SETS);
  return new Command("deno task features")
    .usage("[LABEL=]FILE... --out FILE.parquet|FILE.csv [options]")
    .description(
      "Makes the table that a classifier is trained on: a row for each flow of each burst, with the label, " +
        "the group (its capture: keep a group on one side of a split), what it is, and its features.\n" +
        sets.map(({ name, summary, columns }) => `  ${name} (${columns.length}): ${summary}`)
          .join("\n"),
    )
    .argument(
      "<captures...>",
      "LABEL=FILE: a label holds until the next; a folder stands for its captures",
    )
    .requiredOption("--out <file>", "the table; its name ends in .parquet or .csv")
    .addOption(
      new Option("--features <set>", "which features").choices(sets.map(({ name }) => name))
        .default("appscanner54"),
    )
    .addOption(
      new Option("--format <format>", "where the name does not say").choices(["parquet", "csv"]),
    )
    .option("--gap <ms>", "silence that ends a burst", positiveNumber, DEFAULT_BURST_GAP)
    .addOption(
      new Option("--bytes <what>", "what is counted").choices(["ip", "frame"]).default("ip"),
    )
    .option("--local <network...>", "the end inside is the source, such as 192.168.12.0/24")
    .option("--split-reused", "a SYN with a new sequence number starts a new flow")
    .addOption(
      new Option("--protocol <name>", "flows taken").choices(["all", "tcp", "udp"]).default("all"),
    )
    .option("--min-packets <n>", "leave out flows of fewer packets", wholeNumber(1), 1)
    .option(
      "--max-packets <n>",
      "packets of a flow, from its first, that features are made of",
      wholeNumber(1),
      DEFAULT_MAX_PACKETS,
    )
    .option("--allow-truncated", "accept captures that end in the middle of a packet")
    .option("--json", "print what was written as JSON")
    .action(run);
}

async function run(args: string[], options: Options): Promise<void> {
  const format = options.format ?? tableFormatOf(options.out);
  if (format === undefined) {
    throw new UsageError(
      `--out ${options.out}: let the name end in .parquet or .csv, or add --format`,
    );
  }
  const set = featureSet(options.features);
  const captures = await capturesOf(args);
  const columns = [...KEYS, ...set.columns.map((name) => ({ name, type: "number" as const }))];
  const how: FlowOptions = {
    burstGap: options.gap,
    bytes: options.bytes,
    splitReused: options.splitReused ?? false,
    packets: true,
    maxPackets: options.maxPackets,
    ...(options.local === undefined ? {} : { local: options.local }),
  };
  const table = new TableFile(options.out, format, columns);
  const values = new Float64Array(set.columns.length);
  const counts: Record<string, { captures: number; flows: number; leftOut: number }> = {};
  const bar = progress();
  try {
    for (const { label, captures: files } of captures) {
      const count = counts[label] = { captures: files.length, flows: 0, leftOut: 0 };
      for (const source of files) {
        const file = typeof source === "string" ? source : source.name;
        await readFlows(source, {
          onFlow(flow) {
            const transport = flowProtocolName(flow.protocol);
            if (
              flow.packetsSent + flow.packetsReceived < options.minPackets ||
              options.protocol !== "all" && options.protocol !== transport
            ) {
              count.leftOut++;
              return;
            }
            count.flows++;
            set.fill(flow, values);
            table.add([
              ...[label, file, flow.burst, flow.first, transport],
              ...[flow.sourceAddress, flow.sourcePort],
              ...[flow.destinationAddress, flow.destinationPort],
              ...values,
            ]);
          },
        }, {
          ...how,
          allowTruncated: options.allowTruncated ?? false,
          onProgress: (done, total) => bar.update(done, total ?? done, file),
        });
      }
    }
    table.close();
  } catch (error) {
    table.abort();
    throw error;
  } finally {
    bar.stop();
  }
  const result = {
    out: options.out,
    features: set.name,
    columns: columns.map(({ name }) => name),
    rows: table.rows,
    labels: counts,
  };
  if (options.json) {
    printJson(result);
    return;
  }
  for (const [label, { captures, flows, leftOut }] of Object.entries(counts)) {
    note(
      `${label || "no label"}: ${flows} flows of ${captures} captures` +
        (leftOut === 0 ? "" : `, ${leftOut} left out`),
    );
  }
  print(`${options.out}: ${table.rows} flows, ${set.columns.length} features (${set.name})`);
}

/** Captures by label; those in front of the first label have the label "". */
async function capturesOf(args: readonly string[]): Promise<LabelledCaptures[]> {
  const named = args.findIndex((arg) => /^[A-Za-z0-9][A-Za-z0-9_.-]*=./.test(arg));
  const bare = named < 0 ? args : args.slice(0, named);
  const [first, ...others] = bare;
  const without = first === undefined
    ? []
    : await parseLabelledCaptures([`none=${first}`, ...others], "");
  const labelled = named < 0 ? [] : await parseLabelledCaptures(args.slice(named), "");
  return [...without.map(({ captures }) => ({ label: "", captures })), ...labelled];
}
