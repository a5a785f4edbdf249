/**
 * Capture to flow records, beside the programs that do the same, in turns, on the same files:
 *
 * `deno run --allow-read --allow-write --allow-run=env bench/flows.ts [DIR] [--rounds 3] [--packets 5000000]
 * [--without tshark,scapy]`
 *
 * Files: a made one of headers (66 bytes kept of each packet), a made one of whole large packets, and, where a
 * folder is given, its captures one after the other, repeated. Each program is a process of its own from its
 * start to its end, its output thrown away; `/usr/bin/time` tells seconds and memory.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { Table } from "../base/table.ts";
import { writeCaptureFile } from "../capture/write_capture.ts";
import { makeCapture } from "./made_capture.ts";

interface Program {
  readonly name: string;
  /** Arguments, the program first. */
  command(file: string, folder: string): string[];
  /** Runs at most: for those that take minutes. */
  readonly rounds?: number;
  /** Packets that it is stopped after: for those that would take an hour. */
  readonly packets?: number;
  /** Needs whole packets. */
  readonly whole?: boolean;
}

interface Run {
  readonly seconds: number;
  /** Processor time. */
  readonly cpu: number;
  readonly megabytes: number;
}

const here = (path: string) => new URL(path, import.meta.url).pathname;

const SCAPY = `import sys
from scapy.all import PcapReader, IP, IPv6, TCP, UDP
flows = {}
for n, p in enumerate(PcapReader(sys.argv[1])):
    if n == int(sys.argv[2]): break
    ip = p.getlayer(IP) or p.getlayer(IPv6)
    t = p.getlayer(TCP) or p.getlayer(UDP)
    if ip is None or t is None: continue
    f = flows.setdefault((ip.src, t.sport, ip.dst, t.dport), [0, 0])
    f[0] += 1
    f[1] += ip.len if ip.version == 4 else ip.plen + 40
`;

const SCAPY_PACKETS = 50_000;

const ours = (...more: string[]) => (file: string): string[] => [
  ...[Deno.execPath(), "run", "--no-prompt", "--allow-read", "--allow-write"],
  ...["--allow-env=NO_COLOR,FORCE_COLOR,CLICOLOR_FORCE", here("../cli/main.ts"), "flows"],
  ...[file, ...more],
];

const PROGRAMS: readonly Program[] = [
  { name: "deno task flows", command: ours() },
  { name: "the same, --json --packets", command: ours("--json", "--packets") },
  {
    name: "softflowd",
    command: (file) => ["/usr/sbin/softflowd", "-d", "-r", file, "-n", "127.0.0.1:9"],
  },
  { name: "nfpcapd", command: (file, folder) => ["nfpcapd", "-r", file, "-w", folder] },
  { name: "argus", command: (file) => ["/usr/sbin/argus", "-r", file, "-w", "/dev/null"] },
  { name: "tcptrace", command: (file) => ["tcptrace", "-n", file] },
  { name: "ndpiReader", command: (file) => ["ndpiReader", "-i", file], whole: true },
  {
    name: "tshark",
    command: (file) => ["tshark", "-n", "-q", "-r", file, "-z", "conv,tcp", "-z", "conv,udp"],
    rounds: 1,
  },
  {
    name: "scapy",
    command: (file, folder) => [
      ...["/usr/bin/python3", `${folder}/flows_by_scapy.py`, file, `${SCAPY_PACKETS}`],
    ],
    rounds: 1,
    packets: SCAPY_PACKETS,
  },
];

async function measure(command: readonly string[], timing: string): Promise<Run | undefined> {
  const { success } = await new Deno.Command("env", {
    args: ["/usr/bin/time", "-f", "%e %U %S %M", "-o", timing, ...command],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).output();
  const line = (await Deno.readTextFile(timing)).trim().split("\n").at(-1)!;
  const [seconds, user, system, kilobytes] = line.split(" ").map(Number);
  return success
    ? { seconds: seconds!, cpu: user! + system!, megabytes: kilobytes! / 1024 }
    : undefined;
}

async function* filesBelow(folder: string): AsyncGenerator<string> {
  const entries = await Array.fromAsync(Deno.readDir(folder));
  for (const { name, isDirectory } of entries.toSorted((a, b) => a.name < b.name ? -1 : 1)) {
    if (isDirectory) yield* filesBelow(`${folder}/${name}`);
    else if (/\.pcap$/.test(name)) yield `${folder}/${name}`;
  }
}

interface Kept {
  readonly time: number;
  readonly data: Uint8Array;
  readonly wireLength: number;
}

/** The packets of a plain pcap file of Ethernet; none of another file. */
async function packetsOf(file: string): Promise<Kept[]> {
  const bytes = await Deno.readFile(file);
  const view = new DataView(bytes.buffer);
  if (bytes.length < 24 || view.getUint32(0, true) !== 0xa1b2c3d4) return [];
  if (view.getUint32(20, true) !== 1) return [];
  const kept: Kept[] = [];
  for (let at = 24; at + 16 <= bytes.length;) {
    const size = view.getUint32(at + 8, true);
    const time = view.getUint32(at, true) * 1000 + view.getUint32(at + 4, true) / 1000;
    const data = bytes.subarray(at + 16, at + 16 + size);
    kept.push({ time, data, wireLength: view.getUint32(at + 12, true) });
    at += 16 + size;
  }
  return kept;
}

/** Pauses of real captures are cut to so many milliseconds: some are of years. */
const LONGEST_PAUSE = 5000;

/** One capture of all of a folder, a second and a half apart, until there are so many packets. */
async function joinCaptures(folder: string, path: string, packets: number): Promise<number> {
  const all: Kept[] = [];
  let end = 0;
  for await (const file of filesBelow(folder)) {
    let before: number | undefined;
    for (const one of await packetsOf(file)) {
      end += before === undefined ? 1500 : Math.max(0, Math.min(LONGEST_PAUSE, one.time - before));
      before = one.time;
      all.push({ ...one, time: end });
    }
  }
  const times = Math.ceil(packets / all.length);
  await writeCaptureFile(
    path,
    (function* () {
      for (let round = 0; round < times; round++) {
        for (const one of all) yield { ...one, time: 1.7e12 + round * (end + 1500) + one.time };
      }
    })(),
    { linkType: 1, format: "pcap" },
  );
  return times * all.length;
}

const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!;

function say(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

/** Load averages; /proc may be read by others only. */
async function load(): Promise<string> {
  const { stdout } = await new Deno.Command("env", { args: ["cat", "/proc/loadavg"] }).output();
  return new TextDecoder().decode(stdout).split(" ").slice(0, 3).join(" ");
}

async function compare(
  title: string,
  file: string,
  packets: number,
  options: {
    readonly folder: string;
    readonly rounds: number;
    readonly whole: boolean;
    readonly programs: readonly Program[];
  },
): Promise<void> {
  const { folder, programs, rounds, whole } = options;
  const size = (await Deno.stat(file)).size;
  await measure(["cat", file], `${folder}/time`); // into the page cache
  const before = await load();
  const runs = new Map<Program, Run[]>();
  for (let round = 0; round < rounds; round++) {
    for (const program of programs) {
      if (program.whole && !whole || round >= (program.rounds ?? rounds)) continue;
      const run = await measure(program.command(file, folder), `${folder}/time`);
      if (run !== undefined) runs.set(program, [...runs.get(program) ?? [], run]);
    }
  }
  const table = new Table({
    head: ["program", "runs", "seconds", "Mpackets/s", "per s of processor", "peak MB"],
    colAligns: ["left", "right", "right", "right", "right", "right"],
    style: { head: [], border: [], compact: true },
  });
  for (const program of programs) {
    const own = runs.get(program);
    if (own === undefined) {
      table.push([program.name, 0, whole || !program.whole ? "failed" : "skips cut packets"]);
      continue;
    }
    const seconds = median(own.map((run) => run.seconds));
    const cpu = median(own.map((run) => run.cpu));
    const done = Math.min(packets, program.packets ?? packets);
    table.push([
      program.packets === undefined ? program.name : `${program.name} (${done} packets)`,
      own.length,
      seconds.toFixed(2),
      (done / seconds / 1e6).toFixed(3),
      (done / cpu / 1e6).toFixed(3),
      Math.max(...own.map((run) => run.megabytes)).toFixed(0),
    ]);
  }
  say(`${title}: ${packets} packets, ${(size / 1e6).toFixed(0)} MB`);
  say(table.toString());
  say(`Load before and after: ${before}; ${await load()}\n`);
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: "string", default: "3" },
      packets: { type: "string", default: "5000000" },
      without: { type: "string", default: "" },
    },
  });
  const without = values.without.split(",");
  const programs = PROGRAMS.filter(({ name }) => !without.includes(name));
  const rounds = Number(values.rounds);
  const packets = Number(values.packets);
  const folder = await Deno.makeTempDir({ prefix: "flows-bench-" });
  const how = { folder, rounds, programs };
  try {
    await Deno.writeTextFile(`${folder}/flows_by_scapy.py`, SCAPY);
    const file = `${folder}/made.pcap`;
    const flows = Math.floor(packets / 100);
    await makeCapture(file, { packets, flows, payload: 1400, snapLength: 66 });
    const title = `Headers of ${flows} flows`;
    await compare(title, file, packets, { ...how, whole: false });
    const fifth = Math.floor(packets / 5);
    await makeCapture(file, { packets: fifth, flows: flows / 5, payload: 1400, snapLength: 65535 });
    await compare("Whole large packets", file, fifth, { ...how, whole: true });
    if (positionals[0] !== undefined) {
      const joined = await joinCaptures(positionals[0], file, packets);
      await compare("Real captures, repeated", file, joined, { ...how, whole: true });
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
