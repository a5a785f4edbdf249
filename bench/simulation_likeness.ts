/**
 * How alike a simulated recording and tcpdump's are: the same model, seed and number of sessions over the laboratory's
 * TUN link and in virtual time. Needs root: `deno run -A bench/simulation_likeness.ts [MODEL [SESSIONS [CONNECTIONS]]]`.
 * Plays over the laboratory's link twice: what its own two recordings differ by is the control.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { largestGap } from "../base/largest_gap.ts";
import { Table } from "../base/table.ts";
import {
  type CaptureSource,
  type Connection,
  messageSequence,
  readConnections,
  segmentSequence,
  type Sequence,
} from "../capture/mod.ts";
import { readWireLog } from "../evaluation/demo/nodes.ts";
import { coverSeed } from "../evaluation/demo/play.ts";
import { playOverLab } from "../evaluation/lab_play.ts";
import { simulateCapture, simulatedSource } from "../evaluation/simulation/mod.ts";
import { LAB_LINK } from "../lab/link_profile.ts";
import { demand } from "../lab/needs.ts";
import { loadModel } from "../models/mod.ts";

/** What a recording shows of one connection. */
interface Seen {
  readonly messages: Sequence;
  readonly segments: Sequence;
  readonly handshake: readonly [number, number];
  readonly duration: number;
}

const [model = "https", sessions = "4", connections = "60"] = Deno.args;

// deno-lint-ignore no-console
const say = (...words: unknown[]) => console.log(...words);

async function seenIn(
  source: CaptureSource,
  names: ReadonlyMap<number, string>,
): Promise<Map<string, Seen>> {
  const seen = new Map<string, Seen>();
  await readConnections(source, {
    onConnection(connection: Connection) {
      const name = names.get(connection.clientPort);
      if (name === undefined) return;
      seen.set(name, {
        messages: messageSequence(connection),
        segments: segmentSequence(connection),
        handshake: connection.handshake.bytes,
        duration: connection.endTime - connection.startTime,
      });
    },
  });
  return seen;
}

async function overLab(folder: string): Promise<Map<string, Seen>> {
  await Deno.mkdir(folder);
  const { capture, packets, link, unfinished } = await playOverLab({
    model,
    payload: new Uint8Array(randomBytes(1000)),
    sessions: Number(sessions),
    connections: Number(connections),
    seed: "likeness",
    patience: 300_000,
    folder,
    out: `${folder}/cover.pcap`,
  });
  say(
    `tcpdump: ${packets.captured} packets, ${packets.dropped} dropped; ${unfinished} connections unfinished;`,
    link,
  );
  const names = new Map<number, string>();
  for (const event of await readWireLog(`${folder}/client.jsonl`)) {
    if (event.what === "open") {
      names.set(Number(event.connection), `${event.session}/${event.serial}`);
    }
  }
  return seenIn(capture, names);
}

function gapsOf({ times }: Sequence): number[] {
  return Array.from(times.subarray(1), (time, i) => time - times[i]!);
}

/** `count` of `n` pairs for which two sides of a connection agree. */
function compare(title: string, first: Map<string, Seen>, second: Map<string, Seen>) {
  const pairs = [...first].flatMap(([name, one]) => {
    const other = second.get(name);
    return other === undefined ? [] : [[one, other] as const];
  });
  const same = (of: (seen: Seen) => unknown) =>
    `${pairs.filter(([a, b]) => String(of(a)) === String(of(b))).length} of ${pairs.length}`;
  const sideSizes = (side: 1 | -1) => (seen: Seen) =>
    seen.messages.sizes.filter((size) => Math.sign(size) === side);
  const gaps = (which: 0 | 1, of: "messages" | "segments") =>
    pairs.flatMap((pair) => gapsOf(pair[which][of]));
  const ks = (of: (which: 0 | 1) => number[]) => largestGap(of(0), of(1)).toFixed(3);
  const differences = pairs.flatMap(([a, b]) => {
    if (String(a.messages.sizes) !== String(b.messages.sizes)) return [];
    const [one, other] = [gapsOf(a.messages), gapsOf(b.messages)];
    return one.map((gap, i) => Math.abs(gap - other[i]!));
  }).sort((a, b) => a - b);
  const at = (share: number) =>
    (differences[Math.floor(share * (differences.length - 1))] ?? NaN).toFixed(2);
  return [
    title,
    same((seen) => seen.handshake),
    same((seen) => [sideSizes(1)(seen), sideSizes(-1)(seen)].map(String).join("|")),
    same((seen) => seen.messages.sizes),
    same((seen) =>
      [1, -1].map((side) => seen.segments.sizes.filter((size) => Math.sign(size) === side)).join(
        "|",
      )
    ),
    ks((which) => gaps(which, "messages")),
    ks((which) => gaps(which, "segments")),
    ks((which) => gaps(which, "segments").map(Math.round)),
    ks((which) => pairs.map((pair) => pair[which].duration)),
    `${at(0.5)} / ${at(0.95)}`,
  ];
}

await demand([]);
const folder = await Deno.makeTempDir();
try {
  const simulated = simulateCapture({
    model: await loadModel(model),
    link: LAB_LINK,
    seed: new Uint8Array(Buffer.from(coverSeed("likeness", model), "hex")),
    sessions: Number(sessions),
    // Which connections begin first depends on times: some more, so that all are among them.
    connections: Math.ceil(Number(connections) * 1.5),
  });
  const made = await seenIn(simulatedSource(simulated, "simulated.pcap"), simulated.names);
  const first = await overLab(`${folder}/first`);
  const second = await overLab(`${folder}/second`);
  const table = new Table({
    head: [
      "",
      "handshake\nbytes equal",
      "messages of each\nside equal",
      "and in the\nsame order",
      "segments of each\nside equal",
      "KS of gaps:\nmessages",
      "\nsegments",
      "\nsegments, to 1 ms",
      "KS of\nduration",
      "gap differs by ms:\nmedian / 95 %",
    ],
  });
  table.push(compare("tcpdump against simulated", first, made));
  table.push(compare("tcpdump against tcpdump", first, second));
  say(table.toString());
  for (const [name, seen] of Object.entries({ tcpdump: first, again: second, simulated: made })) {
    const bytes = [...new Set([...seen.values()].map(({ handshake }) => handshake.join("+")))];
    say(`handshake, bytes of client+server, ${name}: ${bytes.join(", ")}`);
  }
  const verdict = [...first].filter(([name, one]) => {
    const other = made.get(name);
    return other !== undefined && String(one.messages.sizes) !== String(other.messages.sizes);
  });
  for (const [name, one] of verdict.slice(0, 3)) {
    say(`differs: ${name}: ${one.messages.sizes} against ${made.get(name)!.messages.sizes}`);
  }
  say(`load ${Deno.loadavg().map((load) => load.toFixed(1)).join(" ")}`);
} finally {
  await Deno.remove(folder, { recursive: true });
}
