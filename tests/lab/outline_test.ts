import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { readConnections } from "../../capture/mod.ts";
import { LAB_PROTOCOLS } from "../../lab/needs.ts";
import { OUTLINE, outline } from "../../lab/outline.ts";
import {
  LEARNABLE_PROTOCOLS,
  learnFromCaptures,
  NothingToLearnError,
} from "../../models/learn/mod.ts";

const samples = fileURLToPath(new URL("../../samples/", import.meta.url));

async function seen(file: string) {
  const found: { readonly whole: boolean; readonly outside: string }[] = [];
  await readConnections(file, {
    onConnection: ({ clientPort, startTime, endTime, handshake, start, missingBytes }) => {
      found.push({
        whole: missingBytes[0] + missingBytes[1] === 0,
        outside: [clientPort, startTime, endTime, handshake.carrier, start].join(" "),
      });
    },
  });
  return found.sort((a, b) => a.outside < b.outside ? -1 : 1);
}

for (const protocol of LAB_PROTOCOLS) {
  Deno.test(`an outline of ${protocol} has every connection, when it began and ended, and nothing to learn from`, async () => {
    const folder = await Deno.makeTempDir();
    try {
      const from = `${samples}${protocol}/run-4.pcap.gz`;
      const to = `${folder}/outline.pcap.gz`;
      const packets = await outline(from, to);
      const [before, after] = [await seen(from), await seen(to)];
      assert.ok(before.length > 10 && before.every(({ whole }) => whole));
      assert.deepEqual(
        after.map(({ outside }) => outside),
        before.map(({ outside }) => outside),
      );
      assert.ok(packets <= before.length * (OUTLINE.first + OUTLINE.last));
      assert.ok((await Deno.stat(to)).size < (await Deno.stat(from)).size / 2);
      await assert.rejects(
        learnFromCaptures([to], {
          protocols: LEARNABLE_PROTOCOLS.filter(({ name }) => name === protocol),
          byPort: false,
          kind: "conditional",
          seed: 1,
        }),
        NothingToLearnError,
      );
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}
