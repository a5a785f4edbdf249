import { Table } from "../base/table.ts";
import { Command, Option } from "./command_line.ts";
import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { dirname } from "node:path";
import { UsageError } from "../base/mod.ts";
import { playOverLab } from "../evaluation/lab_play.ts";
import {
  CLIENT_ADDRESS,
  demand,
  FOR_APPS,
  FOR_TRANSFERS,
  LAB_PROTOCOLS,
  LabNetwork,
  type LabProtocol,
  leftovers,
  measureLink,
  missingFor,
  MOST_USERS,
  recordSamples,
  removeLeftover,
  scrub,
  SERVER_ADDRESS,
  temporaryPrefix,
} from "../lab/mod.ts";
import { LAB_LINK, LINKS } from "../lab/link_profile.ts";
import { cover, coverCommand } from "./lab_cover.ts";
import { transfers, transfersCommand } from "./lab_transfers.ts";
import { wholeNumber } from "./numbers.ts";
import { note, print, printJson, progress } from "./output.ts";

/** `deno task lab`: recordings of real programs, and of cover, in network namespaces. */
export function command(): Command {
  const lab = new Command("lab").description(
    "Records real programs, and cover, over a shaped link between two network namespaces. Needs root.",
  ).exitOverride();
  lab.command("record")
    .description("record runs of a protocol, scrubbed of payload: DIR/PROTOCOL/run-K.pcap.gz")
    .addOption(
      new Option("--protocol <name>", "what to record").choices(LAB_PROTOCOLS)
        .makeOptionMandatory(),
    )
    .requiredOption("--out <dir>", "folder for the captures and PROVENANCE.json")
    .option("--runs <n>", "how many runs", wholeNumber(1, 100), 1)
    .option("--first <k>", "number of the first run", wholeNumber(1, 1000), 1)
    .option("--seconds <n>", "how long users begin new things in a run", wholeNumber(1, 600))
    .addOption(linkOption())
    .option(
      "--users <n>",
      "people with an address and pauses of their own",
      wholeNumber(1, MOST_USERS),
    )
    .option(
      "--outline",
      "keep only how each connection begins and ends: for learning episodes and sessions",
    )
    .option("--minutes <n>", "the same as --seconds, in minutes", wholeNumber(1, 240))
    .option("--seed <text>", "draws what users do; run K uses SEED/K", "lab")
    .option("--json", "print the result as JSON")
    .action(guarded(record));
  const apps = lab.command("apps")
    .description("record five applications in real browsers behind a gateway");
  apps.command("compact")
    .description("make recordings small enough to ship: lengths and times of packets stay")
    .argument("<dir>", "a folder that record made")
    .requiredOption("--out <dir>", "folder for the small captures and PROVENANCE.json")
    .option("--json", "print the result as JSON")
    .action(compactApplications);
  apps.command("record")
    .description("record rounds, headers only: DIR/round-K/APPLICATION.pcap.gz")
    .requiredOption("--out <dir>", "folder for the captures and PROVENANCE.json")
    .option(
      "--rounds <n>",
      "how many rounds, each with browsers of its own",
      wholeNumber(1, 100),
      4,
    )
    .option("--first <k>", "number of the first round", wholeNumber(1, 1000), 1)
    .option("--minutes <n>", "how long people begin new things in a round", wholeNumber(1, 240), 10)
    .option("--applications <names>", "which, parted by commas; all five at once by default")
    .option("--films <n>", "how many films to make for the player", wholeNumber(1, 50), 6)
    .option("--media <dir>", "folder that keeps the films for the next run")
    .option("--seed <text>", "draws what people do; round K uses SEED/K", "apps")
    .option("--json", "print the result as JSON")
    .action(guarded(recordApplications));
  lab.command("play")
    .description("record cover: a model between our own client and server, carrying random data")
    .option("--model <name|file>", "the model to play", "https")
    .requiredOption("--out <file>", "where to write the capture (pcap)")
    .addOption(
      new Option(
        "--carrier <which>",
        "own: the model's, with the genuine programs around it (smtp: Postfix, ssh: OpenSSH); tls: TLS whatever the model; fronted: TLS by an nginx in front",
      ).choices(["own", "tls", "fronted"]).default("own"),
    )
    .option("--scrub", "make the capture fit to ship: without ciphertext, gzipped")
    .addOption(linkOption())
    .option(
      "--sessions <n>",
      "simulated users: model sessions played at once",
      wholeNumber(1, 16),
      4,
    )
    .option("--connections <n>", "cover connections to record", wholeNumber(1, 10_000), 60)
    .option("--bytes <n>", "user bytes to carry each way", wholeNumber(1, 100_000_000), 100_000)
    .option("--seconds <n>", "how long it may take at most", wholeNumber(1, 36_000), 120)
    .option("--seed <text>", "draws the cover; a demo with the same seed plays the same", "1")
    .option("--json", "print the result as JSON")
    .action(guarded(playCover));
  lab.addCommand(coverCommand().action(guarded(cover)));
  lab.addCommand(transfersCommand().action(guarded(transfers)));
  lab.command("measure")
    .description("measure the link: round trips, and what gets through each way")
    .addOption(linkOption())
    .option("--seconds <n>", "how long each way", wholeNumber(1, 60), 4)
    .option("--json", "print the result as JSON")
    .action(guarded(measure));
  lab.command("needs")
    .description("say what is missing here")
    .action(needs);
  lab.command("up")
    .description("make the two namespaces and the link, and keep them until interrupted")
    .addOption(linkOption())
    .option("--seconds <n>", "take it down after so long", wholeNumber(1, 86_400))
    .option("--json", "print how to use it as JSON")
    .action(guarded(up));
  lab.command("down")
    .description("end and remove what crashed runs left behind")
    .action(down);
  return lab;
}

function linkOption(): Option {
  return new Option("--link <name>", "the link between the two ends").choices(Object.keys(LINKS))
    .default(LAB_LINK.name);
}

/** Has an interrupted run leave nothing behind. */
function guarded<Options>(action: (options: Options) => Promise<void>) {
  return async (options: Options) => {
    const interrupt = async () => {
      note("interrupted: taking the laboratory down");
      for (const leftover of await leftovers(Deno.pid)) await removeLeftover(leftover);
      Deno.exit(130);
    };
    const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
    for (const signal of signals) Deno.addSignalListener(signal, interrupt);
    try {
      await action(options);
    } finally {
      for (const signal of signals) Deno.removeSignalListener(signal, interrupt);
    }
  };
}

interface RecordFlags {
  readonly protocol: LabProtocol;
  readonly out: string;
  readonly runs: number;
  readonly first: number;
  readonly seconds?: number;
  readonly minutes?: number;
  readonly users?: number;
  readonly outline?: boolean;
  readonly link: string;
  readonly seed: string;
  readonly json?: boolean;
}

async function record(flags: RecordFlags): Promise<void> {
  await demand([flags.protocol]);
  if (flags.seconds !== undefined && flags.minutes !== undefined) {
    throw new UsageError("--seconds and --minutes say the same: give one of them");
  }
  const seconds = flags.minutes === undefined ? flags.seconds : 60 * flags.minutes;
  const bar = progress();
  const samples = await recordSamples({
    protocol: flags.protocol,
    runs: flags.runs,
    first: flags.first,
    out: flags.out,
    seed: flags.seed,
    link: LINKS[flags.link]!,
    outline: flags.outline ?? false,
    ...(seconds === undefined ? {} : { milliseconds: seconds * 1000 }),
    ...(flags.users === undefined ? {} : { users: flags.users }),
    onRun: (done, total) => bar.update(done, total, `${flags.protocol} run ${done + 1}`),
  }).finally(() => bar.stop());
  if (flags.json) return printJson({ samples });
  const table = new Table({
    head: ["file", "connections", "packets", "dropped", "bytes", "link late ms (mean, max)"],
  });
  for (const { file, connections, run, bytes } of samples) {
    const late = run.link === undefined
      ? run.linkKind
      : `${run.link.meanLateMs.toFixed(2)}, ${run.link.maxLateMs.toFixed(1)}`;
    table.push([file, connections, run.packets.captured, run.packets.dropped, bytes, late]);
  }
  print(table.toString());
}

interface AppsFlags {
  readonly out: string;
  readonly rounds: number;
  readonly first: number;
  readonly minutes: number;
  readonly applications?: string;
  readonly films: number;
  readonly media?: string;
  readonly seed: string;
  readonly json?: boolean;
}

async function recordApplications(flags: AppsFlags): Promise<void> {
  await demand([], FOR_APPS);
  const { APPLICATIONS, recordApps } = await import("../lab/apps/mod.ts");
  const names = flags.applications?.split(",") ?? APPLICATIONS;
  const applications = APPLICATIONS.filter((name) => names.includes(name));
  if (applications.length !== names.length || applications.length === 0) {
    throw new UsageError(
      `--applications ${flags.applications}: some of ${APPLICATIONS.join(",")}, each once`,
    );
  }
  const { out, rounds, first, minutes, seed } = flags;
  const bar = progress();
  const recordings = await recordApps({
    ...{ out, rounds, first, minutes, seed, applications },
    media: { films: flags.films, clips: 8 },
    ...(flags.media === undefined ? {} : { mediaFolder: flags.media }),
    onStage: (what, done) => bar.update(done, rounds, what),
  }).finally(() => bar.stop());
  if (flags.json) return printJson({ recordings });
  const table = new Table({
    head: ["file", "connections", "DNS", "packets", "wire MB", "file KB", "did"],
  });
  for (const { file, conversations, packets, wireBytes, bytes, did } of recordings) {
    table.push([
      ...[file, conversations.tcp, conversations.udp, packets.captured],
      ...[(wireBytes / 1e6).toFixed(1), (bytes / 1e3).toFixed(0)],
      Object.entries(did).map(([what, count]) => `${count} ${what}`).join(", "),
    ]);
  }
  print(table.toString());
}

async function compactApplications(
  dir: string,
  flags: { readonly out: string; readonly json?: boolean },
): Promise<void> {
  const { compactRecordings } = await import("../lab/apps/compact.ts");
  const files = await compactRecordings(dir, flags.out);
  if (flags.json) return printJson({ files });
  const table = new Table({ head: ["file", "packets", "KB"] });
  for (const { file, packets, bytes } of files) {
    table.push([file, packets, (bytes / 1e3).toFixed(0)]);
  }
  print(table.toString());
}

interface PlayFlags {
  readonly model: string;
  readonly link: string;
  readonly carrier: "own" | "tls" | "fronted";
  readonly scrub?: boolean;
  readonly out: string;
  readonly sessions: number;
  readonly connections: number;
  readonly bytes: number;
  readonly seconds: number;
  readonly seed: string;
  readonly json?: boolean;
}

async function playCover(flags: PlayFlags): Promise<void> {
  await demand([]);
  const { model, out, sessions, connections, seed } = flags;
  // Now, and not after a minute of playing.
  if (!await Deno.stat(dirname(out)).then(({ isDirectory }) => isDirectory, () => false)) {
    throw new UsageError(`--out ${out}: there is no folder ${dirname(out)}`);
  }
  const bar = progress();
  const folder = await Deno.makeTempDir({ prefix: temporaryPrefix() });
  const played = await playOverLab({
    model,
    out: flags.scrub ? `${folder}/cover.pcap` : out,
    folder,
    carrier: flags.carrier,
    sessions,
    connections,
    seed,
    link: LINKS[flags.link]!,
    payload: new Uint8Array(randomBytes(flags.bytes)),
    patience: flags.seconds * 1000,
    onProgress: (done) => bar.update(done, connections, `${model} connections`),
  }).then(async (played) => {
    if (!flags.scrub) return played;
    await scrub(played.capture, out);
    return { ...played, capture: out };
  }).finally(async () => {
    bar.stop();
    await Deno.remove(folder, { recursive: true });
  });
  if (flags.json) {
    return printJson({ model, seed, sessions, profile: LINKS[flags.link], ...played });
  }
  const { carrier, up, down, recorded, unfinished, packets, link, linkKind, priority } = played;
  const { client, server } = played.lateness;
  const late = ({ median, p99, max }: typeof client) =>
    [median, p99, max].map((ms) => ms.toFixed(1)).join(", ");
  const kbps = ({ bytes, duration }: typeof up) => `${(8 * bytes / duration).toFixed(0)} kbit/s`;
  const table = new Table({ head: [out, ""] });
  table.push(
    ["carrier", carrier],
    ["connections", unfinished === 0 ? recorded : `${recorded}, ${unfinished} unfinished left out`],
    ["user data up, down", `${kbps(up)}, ${kbps(down)}`],
    ["arrived as sent", up.sha256Match && down.sha256Match ? "yes" : "no"],
    ["packets seen, dropped by tcpdump", `${packets.received}, ${packets.dropped}`],
    [
      "link late ms (mean, max)",
      link === undefined ? linkKind : `${link.meanLateMs.toFixed(2)}, ${link.maxLateMs.toFixed(1)}`,
    ],
    ["records late ms, client (median, 99 %, max)", late(client)],
    ["records late ms, server", late(server)],
    ["nodes and tcpdump run in", priority],
  );
  print(table.toString());
}

async function measure(
  flags: { readonly link: string; readonly seconds: number; readonly json?: boolean },
) {
  await demand([]);
  const link = LINKS[flags.link]!;
  const result = await measureLink({ link, milliseconds: flags.seconds * 1000 });
  if (flags.json) return printJson(result);
  const { asked, expectedMbit, expectedRoundTrip, linkKind, measured, link: passed } = result;
  const { min, median, p90, max } = measured.roundTrip;
  const ms = (value: number) => `${value.toFixed(2)} ms`;
  const mbit = (value: number) => `${value.toFixed(2)} Mbit/s`;
  const table = new Table({ head: [`link ${asked.name} (${linkKind})`, "asked", "measured"] });
  table.push(
    ["round trip, median", ms(expectedRoundTrip), ms(median)],
    ["round trip, min to 90 % to max", "", [min, p90, max].map(ms).join(", ")],
    ["payload down", mbit(expectedMbit), mbit(measured.downMbit)],
    ["payload up", mbit(expectedMbit), mbit(measured.upMbit)],
  );
  if (passed !== undefined) {
    const { there, back } = passed;
    const share = ({ offered, lost }: typeof there) => `${(100 * lost / offered).toFixed(3)} %`;
    table.push(
      ["lost at random up", `${100 * (asked.loss ?? 0)} %`, share(there)],
      ["lost at random down", `${100 * (asked.loss ?? 0)} %`, share(back)],
      ["dropped by the queue up, down", "", `${there.dropped}, ${back.dropped}`],
      ["late (mean, max)", "", [passed.meanLateMs, passed.maxLateMs].map(ms).join(", ")],
    );
  }
  print(table.toString());
}

async function up(
  flags: { readonly link: string; readonly seconds?: number; readonly json?: boolean },
): Promise<void> {
  await demand([]);
  await using network = await LabNetwork.up({ link: LINKS[flags.link]! });
  const { client, kind, server } = network;
  const ends = [
    { end: "client", address: CLIENT_ADDRESS, namespace: client },
    { end: "server", address: SERVER_ADDRESS, namespace: server },
  ].map((end) => ({ ...end, run: `ip netns exec ${end.namespace}` }));
  if (flags.json) printJson({ link: LINKS[flags.link], linkKind: kind, ends });
  else {
    const table = new Table({ head: [`link ${flags.link} (${kind})`, "address", "run there"] });
    for (const { end, address, run } of ends) table.push([end, address, `${run} COMMAND`]);
    print(table.toString());
    note(
      `nothing else is reached from there; ends ${
        flags.seconds === undefined ? "when interrupted" : `after ${flags.seconds} s`
      }, and with it all that runs inside`,
    );
  }
  // An interruption ends the process: see guarded.
  const rest = flags.seconds === undefined ? Infinity : 1000 * flags.seconds;
  for (const end = performance.now() + rest; performance.now() < end;) {
    await delay(Math.min(1000, end - performance.now()));
  }
}

async function needs(): Promise<void> {
  const missing = await missingFor(LAB_PROTOCOLS, [...FOR_APPS, ...FOR_TRANSFERS]);
  for (const line of missing) print(line);
  if (missing.length === 0) {
    print("nothing is missing: https, ssh, smtp, applications and transfers can be recorded here");
  }
}

async function down(): Promise<void> {
  await demand([]);
  const found = await leftovers();
  for (const leftover of found) {
    print(`removing ${leftover.kind} ${leftover.name}`);
    await removeLeftover(leftover);
  }
  if (found.length === 0) print("nothing was left behind");
}
