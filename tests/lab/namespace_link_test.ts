import assert from "node:assert/strict";
import { readConnections } from "../../capture/mod.ts";
import { leftovers, makeShortFolder, removeLeftover } from "../../lab/leftovers.ts";
import { LAB_LINK } from "../../lab/link_profile.ts";
import { missingFor } from "../../lab/needs.ts";
import { CLIENT_ADDRESS, denoCache, LabNetwork, SERVER_ADDRESS } from "../../lab/network.ts";
import { play, type PlayCommand } from "../../lab/play.ts";
import { ProgramFailed, run } from "../../lab/process.ts";
import { inFolder } from "../support/folder.ts";

const missing = await missingFor([]);
const ignore = missing.length > 0;
const why = ignore ? ` (ignored: ${missing[0]})` : "";
const PORT = 4321;

const SERVER = `
const listener = Deno.listen({ hostname: "${SERVER_ADDRESS}", port: ${PORT} });
for await (const conn of listener) conn.readable.pipeTo(conn.writable).catch(() => {});
`;

const CLIENT = `
const conn = await Deno.connect({ hostname: "${SERVER_ADDRESS}", port: ${PORT} });
const sent = new Uint8Array(100_000).map((_, at) => at * 7);
const writing = conn.write(sent).then(async function more(n) {
  return n < sent.length ? more(n + await conn.write(sent.subarray(n))) : conn.closeWrite();
});
const back = new Uint8Array(await new Response(conn.readable).arrayBuffer());
await writing;
console.log(back.length === sent.length && back.every((byte, at) => byte === sent[at]));
`;

function deno(end: PlayCommand["end"], code: string, until: PlayCommand["until"]): PlayCommand {
  return {
    end,
    argv: [Deno.execPath(), "eval", "--quiet", code],
    until,
    options: { env: denoCache() },
  };
}

Deno.test({
  name: `programs meet over the link, and tcpdump sees them at the client's end${why}`,
  ignore,
  fn: () =>
    inFolder(async (folder) => {
      const { commands, packets, link } = await play({
        path: `${folder}/a.pcap`,
        kind: "tun",
        commands: [
          deno("server", SERVER, { listens: PORT }),
          deno("client", CLIENT, "exit"),
        ],
      });
      assert.equal(commands[1]!.output.trim(), "true", commands[1]!.errors);
      assert.deepEqual(commands.map(({ code }) => code), [undefined, 0]);
      assert.deepEqual(packets, {
        captured: packets!.received,
        received: packets!.received,
        dropped: 0,
      });
      assert.ok(link!.there.forwarded > 50 && link!.back.forwarded > 50);
      let seen = 0;
      await readConnections(`${folder}/a.pcap`, {
        onConnection: ({ clientAddress, serverAddress, start, rtt, segments, missingBytes }) => {
          seen++;
          assert.deepEqual([clientAddress, serverAddress, start], [
            CLIENT_ADDRESS,
            SERVER_ADDRESS,
            "syn",
          ]);
          // Two delays and no less lie between SYN and SYN-ACK; the client's end is near.
          assert.ok(rtt.server! >= 2 * LAB_LINK.oneWayDelayMs);
          assert.ok(rtt.client! < LAB_LINK.oneWayDelayMs);
          const sizes = segments.size.subarray(0, segments.length);
          assert.ok(
            sizes.every((size) => size <= LAB_LINK.mss),
            "no segment is larger than the MSS",
          );
          assert.deepEqual(missingBytes, [0, 0]);
        },
      });
      assert.equal(seen, 1);
    }),
});

Deno.test({
  name: `nothing crosses a link that loses everything, and the command is ended in time${why}`,
  ignore,
  fn: async () => {
    const { commands, link } = await play({
      kind: "tun",
      loss: 1,
      commands: [
        deno("server", SERVER, { listens: PORT }),
        { ...deno("client", CLIENT, "exit"), patience: 1500 },
      ],
    });
    assert.notEqual(commands[1]!.code, 0);
    assert.equal(commands[1]!.output, "");
    assert.equal(link!.there.forwarded, 0);
    assert.ok(link!.there.lost > 0);
  },
});

Deno.test({
  name: `namespaces and what runs in them are gone after a failure${why}`,
  ignore,
  fn: async () => {
    const network = await LabNetwork.up({ link: LAB_LINK, kind: "tun" });
    const stubborn = network.start("server", [
      "sh",
      "-c",
      "trap '' TERM; while :; do sleep 1; done",
    ]);
    await network[Symbol.asyncDispose]();
    assert.notEqual((await stubborn.status).code, 0);
    const listed = await run(["ip", "netns", "list"]);
    assert.ok(!listed.includes(network.client) && !listed.includes(network.server));
    await assert.rejects(
      play({
        kind: "tun",
        commands: [{ end: "client", argv: ["sh", "-c", "echo no >&2"], until: { said: /yes/ } }],
      }),
      ProgramFailed,
    );
  },
});

Deno.test({
  name: `what a crashed run left behind is found and removed, what is at work stays${why}`,
  ignore,
  fn: async () => {
    await using network = await LabNetwork.up({ link: LAB_LINK, kind: "tun" });
    // No process has this number: it is above the kernel's limit.
    const dead = "tmlab-4999999-c";
    await run(["ip", "netns", "add", dead]);
    const found = await leftovers();
    assert.ok(found.some(({ name }) => name === dead));
    assert.ok(!found.some(({ name }) => name === network.client));
    for (const leftover of found.filter(({ name }) => name === dead)) {
      await removeLeftover(leftover);
    }
    assert.ok(!(await run(["ip", "netns", "list"])).includes(dead));
  },
});

Deno.test({
  name: `a short folder is found among what a run leaves behind, and removed${why}`,
  ignore,
  fn: async () => {
    const path = await makeShortFolder();
    await Deno.writeTextFile(`${path}/secrets`, "");
    const own = (await leftovers(Deno.pid)).filter(({ name }) => name === path);
    assert.deepEqual(own, [{ kind: "file", name: path, owner: Deno.pid }]);
    await removeLeftover(own[0]!);
    await assert.rejects(Deno.stat(path), Deno.errors.NotFound);
    // sshd's clients are told the path of their keys: it is to be no longer than root's own.
    if (Deno.env.get("TMPDIR") === undefined) assert.ok(path.length <= 24, path);
  },
});
