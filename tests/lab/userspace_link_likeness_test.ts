import assert from "node:assert/strict";
import type { Connection } from "../../capture/connection.ts";
import { readConnections } from "../../capture/read_connections.ts";
import { LAB_LINK } from "../../lab/link_profile.ts";
import { missingFor } from "../../lab/needs.ts";
import { denoCache, LabNetwork, SERVER_ADDRESS } from "../../lab/network.ts";
import { sleep } from "../../lab/process.ts";
import { Tcpdump } from "../../lab/tcpdump.ts";
import { startUserspaceLink } from "../../lab/userspace_link.ts";
import { answer, type Talk } from "./scripted_talk.ts";

const turn = (clientPause: number, request: number, serverPause: number, answer: number) => ({
  clientPause,
  request,
  serverPause,
  answer,
});

/** Small turns, a download, an upload, a conversation, two connections at once, and pauses. */
const TALKS: readonly Talk[] = [
  {
    opens: 0,
    turns: [
      turn(0, 517, 2, 3000),
      turn(3, 80, 0, 0),
      turn(5, 400, 10, 20_000),
      turn(100, 600, 5, 1200),
    ],
  },
  { opens: 600, turns: [turn(0, 100, 0, 200_000)] },
  { opens: 1400, turns: [turn(0, 120_000, 0, 500)] },
  { opens: 2100, turns: new Array(8).fill(turn(30, 60, 8, 90)) },
  { opens: 3100, turns: [turn(0, 517, 1, 2000), turn(1, 300, 4, 60_000), turn(1, 300, 4, 40_000)] },
  { opens: 3110, turns: [turn(0, 517, 1, 2000), turn(1, 300, 4, 60_000), turn(1, 300, 4, 40_000)] },
];

const missing = Deno.build.os === "linux" ? await missingFor([]) : ["Linux"];

/** What an attack reads of a connection, both sides' payload bytes and segments and its times. */
function features({ segments, startTime, endTime, rtt }: Connection) {
  const bytes = [0, 0];
  const count = [0, 0];
  let last = 0;
  for (let i = 0; i < segments.length; i++) {
    bytes[segments.side[i]!]! += segments.size[i]!;
    count[segments.side[i]!]!++;
    last = segments.time[i]!;
  }
  return { bytes, count, last, duration: endTime - startTime, rtt: rtt.server! };
}

async function recorded(path: string) {
  const connections: Connection[] = [];
  await readConnections(path, { onConnection: (connection) => connections.push(connection) });
  connections.sort((a, b) => a.startTime - b.startTime);
  return connections.map(features);
}

Deno.test({
  name:
    "privileged: tcpdump on the laboratory's link and the user-space link show the same features",
  ignore: missing.length > 0,
  fn: async () => {
    const folder = await Deno.makeTempDir();
    const program = new URL("scripted_talk.ts", import.meta.url).pathname;
    const deno = ["run", "--quiet", "--no-prompt", "--no-remote", "--allow-net", program];
    const asking = (hostname: string, port: number) => [
      ...[...deno, "ask", hostname, `${port}`, JSON.stringify(TALKS)],
    ];
    try {
      {
        const env = { NO_COLOR: "1", HOME: "/nonexistent", ...denoCache() };
        await using network = await LabNetwork.up({ link: LAB_LINK });
        network.start("server", [
          ...[Deno.execPath(), ...deno, "answer", SERVER_ADDRESS, "4433"],
        ], { env });
        await network.listening(4433);
        const dump = await Tcpdump.start(network, `${folder}/lab.pcap`);
        const client = network.start("client", [Deno.execPath(), ...asking(SERVER_ADDRESS, 4433)], {
          env,
        });
        assert.ok((await client.ended(30_000)).success, client.errors);
        await sleep(1500);
        await dump.stop();
      }
      const server = await answer(0, "127.0.0.1");
      const link = await startUserspaceLink({ target: { port: server.port } });
      const client = await new Deno.Command(Deno.execPath(), {
        args: asking("127.0.0.1", link.port),
      }).output();
      assert.ok(client.success, new TextDecoder().decode(client.stderr));
      await link.stop();
      server.stop();
      await link.writeCapture(`${folder}/userspace.pcapng`);
      const real = await recorded(`${folder}/lab.pcap`);
      const ours = await recorded(`${folder}/userspace.pcapng`);
      assert.equal(real.length, TALKS.length);
      assert.equal(ours.length, TALKS.length);
      for (const [i, theirs] of real.entries()) {
        const mine = ours[i]!;
        const seen = `connection ${i}: ${JSON.stringify({ theirs, mine })}`;
        assert.deepEqual(mine.bytes, theirs.bytes, seen);
        // Two writes may share a segment at one link and not at the other.
        for (const side of [0, 1]) {
          const most = 2 + 0.1 * theirs.count[side]!;
          assert.ok(Math.abs(mine.count[side]! - theirs.count[side]!) <= most, seen);
        }
        assert.ok(mine.rtt >= 40 && theirs.rtt >= 40, seen);
      }
      // Times depend on what else the machine does: the order of magnitude is all that a test may ask.
      const total = (all: typeof real) => all.reduce((sum, { last }) => sum + last, 0);
      assert.ok(total(ours) < 2 * total(real) && total(real) < 2 * total(ours));
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});
