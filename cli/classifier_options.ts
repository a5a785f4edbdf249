import { FEATURE_SETS } from "../capture/mod.ts";
import { CLASSIFIER_KINDS } from "../classifier/kinds.ts";
import { DEFAULT_FLOW_SETTINGS, type FlowSettings } from "../classifier/flow_data.ts";
import type { TrainModelOptions } from "../classifier/model.ts";
import { type Command, Option } from "./command_line.ts";
import { positiveNumber, wholeNumber } from "./numbers.ts";
import type { Progress } from "./output.ts";

/** The options that say how a classifier learns, as `train` and `classify --evaluate` have them. */
export interface LearnOptions {
  /** Kind of classifier. */
  readonly classifier: string;
  /** Feature set. */
  readonly features: string;
  /** Trees of a forest. */
  readonly trees: number;
  /** Whether every application has the same weight. */
  readonly balanced?: boolean;
  /** Whether ambiguous flows are detected. */
  readonly ambiguity?: boolean;
  /** What a support vector classifier does to features first. */
  readonly scale: "none" | "standard" | "log";
  /** Silence that ends a burst. */
  readonly gap: number;
  /** Packets of a flow that count. */
  readonly maxPackets: number;
  /** Packets that a flow must have. */
  readonly minPackets: number;
  /** Networks whose ends are the source. */
  readonly local?: string[];
  /** Whether captures may end in the middle of a packet. */
  readonly allowTruncated?: boolean;
  /** Threads. */
  readonly workers?: number;
  /** Seed. */
  readonly seed: number;
}

/** Adds them to a command. */
export function learnOptions(command: Command): Command {
  return command
    .addOption(
      new Option("--classifier <name>", "how it learns")
        .choices(Object.keys(CLASSIFIER_KINDS)).default("random-forest"),
    )
    .addOption(
      new Option("--features <set>", "what it sees of a flow")
        .choices(Object.keys(FEATURE_SETS)).default("appscanner54"),
    )
    .option("--trees <n>", "trees of a random forest", wholeNumber(1, 100_000), 100)
    .option("--balanced", "the same weight for every application, however many flows it has")
    .option("--ambiguity", "learn which flows several applications have in common (AppScanner)")
    .addOption(
      new Option(
        "--scale <how>",
        "features of a support vector classifier: as they are, z-scores, " +
          "or z-scores of logarithms",
      ).choices(["none", "standard", "log"]).default("standard"),
    )
    .option(
      "--gap <ms>",
      "silence that ends a burst",
      positiveNumber,
      DEFAULT_FLOW_SETTINGS.burstGap,
    )
    .option(
      "--max-packets <n>",
      "packets of a flow that are looked at, the first ones",
      wholeNumber(1),
      DEFAULT_FLOW_SETTINGS.maxPackets,
    )
    .option(
      "--min-packets <n>",
      "leave out flows with fewer packets; they are unknown",
      wholeNumber(1),
      DEFAULT_FLOW_SETTINGS.minPackets,
    )
    .option("--local <network...>", "the end inside is the source, such as 192.168.12.0/24")
    .option("--allow-truncated", "accept captures that end in the middle of a packet")
    .option("--workers <n>", "threads; as many as there are processors", wholeNumber(1, 256))
    .option("--seed <n>", "seed of splits and draws", wholeNumber(0, 2 ** 32 - 1), 1);
}

/** How flows are made. */
export function settingsOf(options: LearnOptions): FlowSettings {
  return {
    burstGap: options.gap,
    maxPackets: options.maxPackets,
    minPackets: options.minPackets,
  };
}

/** How a model is trained. */
export function trainOptionsOf(options: LearnOptions, bar: Progress): TrainModelOptions {
  return {
    kind: options.classifier,
    seed: options.seed,
    trees: options.trees,
    balanced: options.balanced ?? false,
    ambiguity: options.ambiguity ?? false,
    scaling: options.scale,
    ...(options.workers === undefined ? {} : { workers: options.workers }),
    onProgress: (done, total) => bar.update(done, total, "learning"),
  };
}

/** How captures are read. */
export function readOptionsOf(options: LearnOptions, bar: Progress) {
  return {
    settings: settingsOf(options),
    ...(options.local === undefined ? {} : { local: options.local }),
    allowTruncated: options.allowTruncated ?? false,
    onProgress: (done: number, total: number, name: string) =>
      bar.update(done, total, `reading ${name}`),
  };
}
