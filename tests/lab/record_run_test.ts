import assert from "node:assert/strict";
import { type Connection, messagesOf, readConnections } from "../../capture/mod.ts";
import { LAB_PROTOCOLS, missingFor } from "../../lab/needs.ts";
import { SERVER_ADDRESS } from "../../lab/network.ts";
import { recordRun } from "../../lab/record.ts";
import { parseCounts } from "../../lab/tcpdump.ts";

const missing = await missingFor(["smtp"]);
const why = missing.length > 0 ? ` (ignored: ${missing[0]})` : "";

Deno.test({
  name: `a short run of mail to a real Postfix is recorded whole${why}`,
  ignore: missing.length > 0,
  fn: async () => {
    const folder = await Deno.makeTempDir();
    try {
      const path = `${folder}/run.pcap`;
      const { did, packets } = await recordRun({
        ...{ protocol: "smtp", seed: "test", path, milliseconds: 1500 },
      });
      assert.ok(Object.values(did).reduce((sum, count) => sum + count, 0) > 0);
      assert.ok(!Object.keys(did).some((what) => what.endsWith("failed")), JSON.stringify(did));
      assert.equal(packets.dropped, 0);
      assert.equal(packets.captured, packets.received);
      const connections: Connection[] = [];
      await readConnections(path, { onConnection: (connection) => connections.push(connection) });
      assert.ok(connections.length > 0);
      for (const connection of connections) {
        assert.equal(connection.serverAddress, SERVER_ADDRESS);
        assert.equal(connection.handshake.carrier, "smtp-starttls");
        assert.equal(connection.handshake.end, "observed");
        assert.equal(connection.end.how, "fin");
        assert.ok(messagesOf(connection).length >= 6);
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test("what is missing is said one line each", async () => {
  for (const line of await missingFor(LAB_PROTOCOLS)) {
    assert.match(line, /^[^\n]+$/);
    assert.match(line, /apt-get install|run it as root|needs Linux|modprobe/);
  }
});

Deno.test("tcpdump's last words are understood", () => {
  const words = "tcpdump: listening on tun0\n^C1 packet captured\n12 packets received by filter\n" +
    "3 packets dropped by kernel\n";
  assert.deepEqual(parseCounts(words), { captured: 1, received: 12, dropped: 3 });
  assert.throws(() => parseCounts("tcpdump: tun0: no such device\n"), /no such device/);
});
