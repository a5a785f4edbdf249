/**
 * Compares flow records with tshark's conversations, capture by capture:
 *
 * `deno run --allow-read --allow-run=tshark bench/flows_against_tshark.ts DIR [--json]`
 *
 * Packets, and for each TCP and UDP conversation the packets and bytes each way. Bursts are switched off, and
 * a SYN with a new sequence number starts a new flow, for a conversation is that in Wireshark.
 *
 * @module
 */
import { CaptureError } from "../capture/capture_error.ts";
import { FlowTable } from "../capture/flow_table.ts";
import { readCapture } from "../capture/read_capture.ts";

/** One program's view of a capture. */
interface View {
  packets: number;
  /** `tcp A B packets packets bytes bytes`, A before B by text: how often. */
  readonly conversations: Map<string, number>;
  /** What the program complained of. */
  message: string;
}

interface Comparison {
  readonly file: string;
  readonly packets: readonly [number, number];
  readonly tcp: readonly [number, number];
  readonly udp: readonly [number, number];
  readonly bytes: readonly [number, number];
  /** Conversations that only we have, and only tshark has. */
  readonly ours: readonly string[];
  readonly theirs: readonly string[];
  readonly messages: readonly [string, string];
}

function add(
  view: View,
  protocol: string,
  ends: readonly [string, string],
  packets: readonly [number, number],
  bytes: readonly [number, number],
): void {
  const [a, b] = ends[0] <= ends[1] ? [0, 1] as const : [1, 0] as const;
  const key = [protocol, ends[a], ends[b], packets[a], packets[b], bytes[a], bytes[b]].join(" ");
  view.conversations.set(key, (view.conversations.get(key) ?? 0) + 1);
}

async function ours(path: string): Promise<View> {
  const view: View = { packets: 0, conversations: new Map(), message: "" };
  const table = new FlowTable({
    onFlow(flow) {
      add(
        view,
        flow.protocol === 6 ? "tcp" : "udp",
        [
          `${flow.sourceAddress}|${flow.sourcePort}`,
          `${flow.destinationAddress}|${flow.destinationPort}`,
        ],
        [flow.packetsSent, flow.packetsReceived],
        [flow.bytesSent, flow.bytesReceived],
      );
    },
  }, { burstGap: Infinity, splitReused: true, bytes: "frame" });
  try {
    await readCapture(path, (packet) => {
      view.packets++;
      table.push(packet);
    });
  } catch (error) {
    if (!(error instanceof CaptureError)) throw error;
    view.message = error.message.replace(`${path}: `, "");
  }
  table.endBurst();
  return view;
}

const FIELDS = [
  "frame.len",
  "tcp.stream",
  "udp.stream",
  "icmp.type",
  "icmpv6.type",
  // The innermost addresses of a tunnel, of either version.
  "_ws.col.Source",
  "_ws.col.Destination",
  "tcp.srcport",
  "tcp.dstport",
  "udp.srcport",
  "udp.dstport",
];

interface Conversation {
  readonly ends: [string, string];
  readonly packets: [number, number];
  readonly bytes: [number, number];
}

async function theirs(path: string): Promise<View> {
  const view: View = { packets: 0, conversations: new Map(), message: "" };
  const { stdout, stderr } = await new Deno.Command("tshark", {
    args: [
      ...["-n", "-r", path, "-T", "fields", "-E", "occurrence=l"],
      ...["-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE"],
      ...["-o", "tcp.desegment_tcp_streams:FALSE"],
      ...FIELDS.flatMap((field) => ["-e", field]),
    ],
    stdin: "null",
  }).output();
  view.message = new TextDecoder().decode(stderr).split("\n")
    .filter((line) => line !== "" && !line.startsWith("Running as user")).join("; ")
    .replaceAll(path, "").replaceAll(/^tshark: /g, "");
  const conversations = new Map<string, Conversation>();
  for (const line of new TextDecoder().decode(stdout).split("\n")) {
    if (line === "") continue;
    view.packets++;
    const [length, tcp, udp, icmp, icmp6, from, to, ...ports] = line.split("\t");
    // An ICMP error quotes a packet's headers: Wireshark's conversations leave it out too.
    if (icmp !== "" || icmp6 !== "") continue;
    const protocol = tcp !== "" ? "tcp" : "udp";
    const stream = tcp || udp;
    if (!stream) continue;
    const [fromPort, toPort] = tcp !== "" ? [ports[0], ports[1]] : [ports[2], ports[3]];
    const source = `${from}|${fromPort}`;
    const destination = `${to}|${toPort}`;
    const key = `${protocol} ${stream}`;
    let known = conversations.get(key);
    if (known === undefined) {
      known = { ends: [source, destination], packets: [0, 0], bytes: [0, 0] };
      conversations.set(key, known);
    }
    const side = source === known.ends[0] ? 0 : 1;
    known.packets[side]++;
    known.bytes[side] += Number(length);
  }
  for (const [key, { ends, packets, bytes }] of conversations) {
    add(view, key.split(" ")[0]!, ends, packets, bytes);
  }
  return view;
}

function count({ conversations }: View, protocol: string): number {
  let total = 0;
  for (const [key, times] of conversations) if (key.startsWith(protocol)) total += times;
  return total;
}

function bytesOf({ conversations }: View): number {
  let total = 0;
  for (const [key, times] of conversations) {
    const [up, down] = key.split(" ").slice(-2).map(Number);
    total += times * (up! + down!);
  }
  return total;
}

/** What `a` has more of than `b`. */
function surplus(a: View, b: View): string[] {
  return [...a.conversations].flatMap(([key, times]) => {
    const more = times - (b.conversations.get(key) ?? 0);
    return more > 0 ? new Array<string>(more).fill(key) : [];
  });
}

async function compare(path: string, file: string): Promise<Comparison> {
  const [a, b] = await Promise.all([ours(path), theirs(path)]);
  return {
    file,
    packets: [a.packets, b.packets],
    tcp: [count(a, "tcp"), count(b, "tcp")],
    udp: [count(a, "udp"), count(b, "udp")],
    bytes: [bytesOf(a), bytesOf(b)],
    ours: surplus(a, b),
    theirs: surplus(b, a),
    messages: [a.message, b.message],
  };
}

async function* filesBelow(folder: string, prefix = ""): AsyncGenerator<string> {
  const entries = await Array.fromAsync(Deno.readDir(`${folder}/${prefix}`));
  for (const { name, isDirectory } of entries.toSorted((a, b) => a.name < b.name ? -1 : 1)) {
    if (isDirectory) yield* filesBelow(folder, `${prefix}${name}/`);
    else if (!/\.(tsv|md|txt)$/.test(name)) yield prefix + name;
  }
}

function say(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

if (import.meta.main) {
  const [folder, option] = Deno.args;
  if (folder === undefined) {
    say("usage: flows_against_tshark.ts DIR [--json]");
    Deno.exit(2);
  }
  const rows: Comparison[] = [];
  for await (const file of filesBelow(folder)) {
    const row = await compare(`${folder}/${file}`, file);
    rows.push(row);
    const differs = row.ours.length + row.theirs.length > 0 || row.packets[0] !== row.packets[1];
    if (option === "--json" || !differs) continue;
    say(
      `${file}: packets ${row.packets.join("/")}, TCP ${row.tcp.join("/")}, UDP ${
        row.udp.join("/")
      }, bytes ${row.bytes.join("/")} (ours/tshark)`,
    );
    for (const line of row.ours.slice(0, 5)) say(`  only ours:   ${line}`);
    for (const line of row.theirs.slice(0, 5)) say(`  only tshark: ${line}`);
    const more = row.ours.length + row.theirs.length - 10;
    if (more > 0) say(`  ... and up to ${more} more`);
    for (const [i, who] of ["we", "tshark"].entries()) {
      if (row.messages[i] !== "") say(`  ${who} said: ${row.messages[i]}`);
    }
  }
  if (option === "--json") say(JSON.stringify(rows, undefined, 2));
  else {
    const same = rows.filter((row) =>
      row.ours.length + row.theirs.length === 0 && row.packets[0] === row.packets[1]
    );
    const sum = (values: (row: Comparison) => readonly number[], side: number) =>
      rows.reduce((total, row) => total + values(row)[side]!, 0);
    for (const [side, who] of ["ours", "tshark"].entries()) {
      say(
        `${who}: ${sum((r) => r.packets, side)} packets, ${sum((r) => r.tcp, side)} TCP and ` +
          `${sum((r) => r.udp, side)} UDP conversations, ${sum((r) => r.bytes, side)} bytes`,
      );
    }
    say(`${same.length} of ${rows.length} captures equal in every conversation`);
  }
}
