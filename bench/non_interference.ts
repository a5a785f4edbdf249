/**
 * Whether an observer of the wire can see user data flow: the same seed played three times over the
 * laboratory's link, recorded by tcpdump at the client's end, twice idle (10 bytes each way) and once with
 * 300 KB each way. Prints the distances between the distributions of gaps between segments: idle against
 * idle is the control. Needs root.
 *
 *     deno run -A bench/non_interference.ts https 2 40
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { largestGap } from "../base/largest_gap.ts";
import { readConnections, segmentSequence } from "../capture/mod.ts";
import { print } from "../cli/output.ts";
import { playOverLab } from "../evaluation/mod.ts";

const [model = "https", sessions = "2", connections = "40"] = Deno.args;

async function record(bytes: number): Promise<{ gaps: number[]; sizes: string }> {
  const folder = await Deno.makeTempDir();
  try {
    const { capture } = await playOverLab({
      model,
      out: `${folder}/cover.pcap`,
      folder,
      payload: new Uint8Array(randomBytes(bytes)),
      sessions: Number(sessions),
      connections: Number(connections),
      patience: 90_000,
      seed: "9",
    });
    const gaps: number[] = [];
    const sizes: number[] = [];
    await readConnections(capture, {
      onConnection(connection) {
        const { sizes: segments, times } = segmentSequence(connection);
        for (let i = 1; i < times.length; i++) gaps.push(times[i]! - times[i - 1]!);
        sizes.push(segments.reduce((sum, size) => sum + Math.abs(size), 0));
      },
    });
    return { gaps, sizes: sizes.sort((a, b) => a - b).join() };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const idle = await record(10);
const again = await record(10);
const busy = await record(300_000);
const distance = (a: { gaps: number[] }, b: { gaps: number[] }) =>
  largestGap(a.gaps, b.gaps).toFixed(3);
print(`gaps between segments: ${[idle, again, busy].map(({ gaps }) => gaps.length).join(", ")}`);
print(`bytes of each connection equal: ${idle.sizes === again.sizes && idle.sizes === busy.sizes}`);
print(`idle against idle:      ${distance(idle, again)}`);
print(`idle against saturated: ${distance(idle, busy)}, ${distance(again, busy)}`);
