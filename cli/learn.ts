import { Table } from "../base/table.ts";
import { Command, InvalidArgumentError, Option } from "./command_line.ts";
import { UsageError, UserError, writeFileAtomically } from "../base/mod.ts";
import {
  LEARNABLE_PROTOCOLS,
  type LearnCapturesOptions,
  LEARNERS,
  learnFromCaptures,
  type LearnReport,
  type ProtocolLearned,
} from "../models/learn/mod.ts";
import { note, print, printJson, progress } from "./output.ts";

interface Options {
  readonly protocol?: string;
  readonly model: string;
  readonly out?: string;
  readonly name?: string;
  readonly carrier?: string;
  readonly labelBy?: "port";
  readonly allowTruncated?: boolean;
  readonly merge?: boolean;
  readonly users?: readonly string[];
  readonly seed: number;
  readonly json?: boolean;
}

const NAMES = LEARNABLE_PROTOCOLS.map(({ name }) => name);

/** `deno task learn`: captures to model files. */
export function command(): Command {
  return new Command("deno task learn")
    .usage("FILE... --protocol PROTOCOL [options]")
    .description(
      "Learns models of cover traffic from captures (pcap or pcapng, gzipped or not, - for standard input).",
    )
    .argument("<file...>", "captures of real traffic")
    .addOption(new Option("--protocol <name>", "the protocol to learn").choices(NAMES))
    .addOption(
      new Option("--model <kind>", "how the model draws").choices([...LEARNERS.keys()])
        .default("conditional"),
    )
    .option("--out <path>", "the model file; a folder where several protocols are learned")
    .option("--name <name>", "the model's name (default: the protocol's)", nameOf)
    .option("--carrier <name>", "the carrier it is for (default: the protocol's)", nameOf)
    .addOption(
      new Option(
        "--label-by <what>",
        "label connections by their server's well-known port; without --protocol, learn every protocol found",
      ).choices(["port"]),
    )
    .option(
      "--users <file...>",
      "captures of users over hours: episodes and sessions are learned from these",
    )
    .option("--merge", "the files are parts of one trace, such as one direction each")
    .option("--allow-truncated", "accept captures that end in the middle of a packet")
    .option("--seed <n>", "decides what is left out where there is too much, and ties", seedOf, 1)
    .option("--json", "print the result as JSON")
    .action(run);
}

function nameOf(text: string): string {
  if (/^[a-z0-9][a-z0-9-]{0,63}$/.test(text)) return text;
  throw new InvalidArgumentError("a name has lower-case letters, digits and hyphens");
}

function seedOf(text: string): number {
  const seed = Number(text);
  if (text.trim() !== "" && Number.isSafeInteger(seed) && seed >= 0) return seed;
  throw new InvalidArgumentError("a seed is a whole number from 0");
}

async function run(files: string[], options: Options): Promise<void> {
  const byPort = options.labelBy === "port";
  if (options.protocol === undefined && !byPort) {
    throw new UsageError(`--protocol is missing: ${NAMES.join(", ")}, or use --label-by port`);
  }
  if (options.protocol === undefined && options.name !== undefined) {
    throw new UsageError("--name names one model: say which with --protocol");
  }
  if (files.filter((file) => file === "-").length > 1) {
    throw new UsageError("standard input (-) can be read once");
  }
  const report = await learn(files, {
    protocols: LEARNABLE_PROTOCOLS.filter(({ name }) =>
      options.protocol === undefined || name === options.protocol
    ),
    byPort,
    kind: options.model,
    seed: options.seed,
    name: options.name,
    carrier: options.carrier,
    allowTruncated: options.allowTruncated ?? false,
    merge: options.merge ?? false,
    ...(options.users === undefined ? {} : { users: options.users }),
  });
  const written = new Map<ProtocolLearned, string>();
  for (const learned of report.protocols) {
    const { model } = learned;
    if (model === undefined) continue;
    const file = `${model.file.name}.json`;
    const path = options.protocol === undefined
      ? `${options.out ?? "."}/${file}`
      : options.out ?? file;
    await writeModel(path, model.text);
    written.set(learned, path);
  }
  if (options.json) printJson(jsonOf(report, written));
  else printReport(report, written);
}

/** Learns with a progress bar over the bytes of all files. */
async function learn(
  files: readonly string[],
  options: LearnCapturesOptions,
): Promise<LearnReport> {
  const sizes = await Promise.all(
    files.map((file) => file === "-" ? 0 : Deno.stat(file).then(({ size }) => size, () => 0)),
  );
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const bar = progress();
  let current: string | undefined;
  let before = 0;
  let read = 0;
  try {
    return await learnFromCaptures(files, {
      ...options,
      onProgress: (name, done) => {
        if (name !== current) before += read;
        current = name;
        read = done;
        bar.update(before + done, Math.max(total, before + done), name);
      },
    });
  } finally {
    bar.stop();
  }
}

async function writeModel(path: string, text: string): Promise<void> {
  try {
    await writeFileAtomically(path, text);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    if (error instanceof Deno.errors.NotFound) {
      throw new UserError(`${path}: its folder does not exist: make it, or change --out`);
    }
    throw new UserError(
      `${path}: cannot be written (${
        error instanceof Error ? error.message : error
      }): change --out`,
    );
  }
}

function jsonOf({ captures, protocols }: LearnReport, written: Map<ProtocolLearned, string>) {
  return {
    captures: captures.map(({ name, sha256, packets, truncatedAt, connections }) => ({
      name,
      sha256,
      packets,
      truncatedAt,
      connections,
    })),
    models: protocols.map((learned) => ({
      protocol: learned.protocol.name,
      path: written.get(learned),
      name: learned.model?.file.name,
      kind: learned.model?.file.kind,
      carrier: learned.model?.file.carrier,
      digest: learned.model?.digest,
      bytes: learned.model?.text.length,
      connections: learned.model?.connections ?? 0,
      exchanges: learned.model?.exchanges ?? 0,
      dropped: learned.model?.dropped ?? 0,
      estimated: sum(learned, "estimated"),
      serverSpokeFirst: sum(learned, "greeted"),
      layers: Object.keys(layersOf(learned)),
      leftOut: Object.fromEntries(learned.leftOut),
    })),
  };
}

function sum({ captures }: ProtocolLearned, key: "used" | "estimated" | "greeted"): number {
  return captures.reduce((total, counts) => total + counts[key], 0);
}

function layersOf({ model }: ProtocolLearned): object {
  const content = model?.file.content ?? {};
  return "layers" in content && typeof content.layers === "object" ? content.layers ?? {} : {};
}

const LAYER_NAMES = [
  ["connectionGap", "gaps between connections"],
  ["episode", "episodes"],
  ["session", "sessions"],
] as const;

function printReport({ captures, protocols }: LearnReport, written: Map<ProtocolLearned, string>) {
  const found = protocols.filter(({ model }) => model !== undefined);
  const read = new Table({
    head: [
      "capture",
      "packets",
      "connections",
      ...found.map(({ protocol }) => `${protocol.name} used`),
    ],
    colAligns: ["left", "right", "right", ...found.map(() => "right" as const)],
    style: { head: [], border: [], compact: true },
  });
  for (const [index, { name, packets, truncatedAt, connections }] of captures.entries()) {
    const cut = truncatedAt === undefined ? "" : " (cut short)";
    read.push([
      name + cut,
      packets,
      connections,
      ...found.map(({ captures }) => captures[index]!.used),
    ]);
  }
  print(read.toString());
  for (const learned of found) {
    const { protocol, leftOut } = learned;
    const model = learned.model!;
    const used = sum(learned, "used");
    const rows: [string, number][] = [["used", used]];
    const estimated = sum(learned, "estimated");
    if (estimated > 0) rows.push(["  of these, end of the handshake estimated", estimated]);
    const greeted = sum(learned, "greeted");
    if (greeted > 0) {
      rows.push(["  of these, server spoke first (played after the request)", greeted]);
    }
    for (const [reason, count] of leftOut) rows.push([`left out: ${reason}`, count]);
    if (model.dropped > 0) rows.push(["left out: left to chance: small file", model.dropped]);
    const table = new Table({
      head: [protocol.name, "connections"],
      colAligns: ["left", "right"],
      style: { head: [], border: [], compact: true },
    });
    table.push(...rows);
    print(table.toString());
    const layers = layersOf(learned);
    const absent = LAYER_NAMES.filter(([key]) => !(key in layers)).map(([, name]) => name);
    if (absent.length > 0) {
      print(`Not shown by these captures, so not in the model: ${absent.join(", ")}.`);
    }
    print(
      `${
        written.get(learned)
      }: ${model.file.kind} model "${model.file.name}" of ${model.connections} ` +
        `connections, ${model.exchanges} exchanges, for carrier ${model.file.carrier}; ` +
        `${model.text.length} bytes, digest ${model.digest.slice(0, 16)}`,
    );
  }
  for (const { protocol, model } of protocols) {
    if (model === undefined) note(`no usable ${protocol.name} connection: no model of it`);
  }
}
