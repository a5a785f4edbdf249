import { UsageError } from "../base/mod.ts";
import { flowJson } from "../capture/flow_columns.ts";
import { flowLine, type FlowRecord, flowsLive, flowsOfStream, readFlows } from "../capture/mod.ts";
import { flowNamer, flowOptions, readModel } from "../classifier/mod.ts";
import { evaluate, type EvaluateOptions } from "./classify_evaluate.ts";
import { learnOptions } from "./classifier_options.ts";
import { Command, InvalidArgumentError } from "./command_line.ts";
import { positiveNumber, wholeNumber } from "./numbers.ts";
import { note, print } from "./output.ts";
import { untilStopped } from "./signals.ts";

interface Options extends EvaluateOptions {
  readonly interface?: string;
  readonly filter?: string;
  readonly program?: string;
  readonly seconds?: number;
  readonly live?: boolean;
  readonly evaluate?: boolean;
}

function share(text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && value >= 0 && value <= 1) return value;
  throw new InvalidArgumentError("a number from 0 to 1");
}

/** `deno task classify`: names the applications of flows, from captures and live, or says how well. */
export function command(): Command {
  return learnOptions(
    new Command("deno task classify")
      .usage("--model FILE (CAPTURE... | - | --interface IF) | --evaluate ... [options]")
      .description(
        "Names the application of each flow, or says unknown. With --evaluate: how often it is right, " +
          "on LABEL=FILE... with --model; or it learns from LABEL=FILE... and judges --test LABEL=FILE...; " +
          "or, without --test, other captures of the same (cross-validation); or other rounds of --rounds DIR.",
      )
      .argument("[capture...]", "captures; with --evaluate LABEL=FILE...")
      .option("--model <file>", "what the command train wrote")
      .option(
        "--threshold <share>",
        "a flow whose likeliest application has a smaller share is unknown",
        share,
        0.5,
      )
      .option(
        "--interface <name>",
        "record this interface by tcpdump and name flows at each burst's end",
      )
      .option("--filter <bpf>", "what to record, in tcpdump's language (live only)")
      .option("--program <path>", "what records: tcpdump, dumpcap, or a path to one of them")
      .option("--seconds <n>", "end after so many seconds (live only)", positiveNumber)
      .option("--live", "standard input is being recorded: notice silence while it lasts")
      .option("--evaluate", "say how often the names are right")
      .option("--test <label=file...>", "with --evaluate: captures to judge, not to learn from")
      .option("--rounds <folder>", "with --evaluate: take round-1/APP.pcap.gz, round-2/...")
      .option("--test-round <n|each>", "the round to judge, or each in turn; the last unless told")
      .option("--folds <n>", "folds of the cross-validation", wholeNumber(2, 1000), 5)
      .option("--curve", "with --evaluate: how it gets better with more flows, by feature set")
      .option("--explain", "with --evaluate: which name attracts the flows of others, and why"),
  )
    .option("--json", "print JSON: an object a flow, or one for --evaluate")
    .action(run);
}

/** What is wrong with the options together, before anything is read. */
function refuseWrong(args: readonly string[], options: Options): void {
  if (options.model === undefined) {
    throw new UsageError("give --model FILE, as the command train wrote it");
  }
  const { test, rounds, testRound, curve, explain } = options;
  if ((test ?? rounds ?? testRound ?? curve ?? explain) !== undefined) {
    throw new UsageError(
      "--test, --rounds, --test-round, --curve and --explain go with --evaluate",
    );
  }
  if ((options.interface !== undefined) === args.length > 0) {
    throw new UsageError("give CAPTURE..., - for standard input, or --interface IF");
  }
  if (options.live && (args.length !== 1 || args[0] !== "-")) {
    throw new UsageError("--live goes with - (standard input)");
  }
  if (options.interface === undefined && (options.filter ?? options.program) !== undefined) {
    throw new UsageError("--filter and --program go with --interface");
  }
  if (options.interface === undefined && !options.live && options.seconds !== undefined) {
    throw new UsageError("--seconds goes with --interface or --live");
  }
}

async function run(args: string[], options: Options): Promise<void> {
  if (options.evaluate) return await evaluate(args, options);
  refuseWrong(args, options);
  const model = await readModel(options.model!);
  const name = flowNamer(model, options.threshold);
  const onFlow = (flow: FlowRecord) => {
    const named = name(flow);
    if (options.json) {
      const { lengths: _, times: __, ...facts } = flow;
      print(JSON.stringify({ ...flowJson(facts), ...named }));
    } else print(`${flowLine(flow)} ${named.application}`);
  };
  const how = flowOptions(model.settings, options.local);
  const { interface: device, filter, program, seconds } = options;
  if (device === undefined && !options.live) {
    for (const source of args) {
      const { capture } = await readFlows(source, { onFlow }, {
        ...how,
        allowTruncated: options.allowTruncated ?? false,
      });
      const { truncatedAt } = capture;
      if (truncatedAt !== undefined) note(`${source}: cut short at byte ${truncatedAt}`);
    }
    return;
  }
  await untilStopped(seconds, async ({ signal }) => {
    if (device === undefined) {
      const { records, bursts } = await flowsOfStream("-", { onFlow }, { ...how, signal });
      note(`${records} flows in ${bursts} bursts`);
      return;
    }
    const { records, bursts, received, dropped } = await flowsLive(device, { onFlow }, {
      ...how,
      signal,
      ...(filter === undefined ? {} : { filter }),
      ...(program === undefined ? {} : { program }),
    });
    note(
      `${records} flows in ${bursts} bursts; ${received ?? "?"} packets received, ` +
        `${dropped ?? "?"} dropped`,
    );
  });
}
