import assert from "node:assert/strict";
import { connectRequest, credentials, echo, PtProcess, serveTcp, Wire } from "./harness.ts";

const LIBRARY = new URL("../../../transports/pt/mod.ts", import.meta.url);
const PAGE = new URL("../../../docs/pluggable_transport.md", import.meta.url);

/** The programs in a text, by the name in their first line. */
function programs(text: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const [, name, rest] of text.matchAll(/```ts ignore\n\/\/ (\w+\.ts): (.*?)```/gs)) {
    found.set(name!, `// ${name}: ${rest}`);
  }
  return found;
}

async function examples() {
  const module = (await Deno.readTextFile(LIBRARY)).replaceAll(/^ \* ?/gm, "");
  return { module: programs(module), page: programs(await Deno.readTextFile(PAGE)) };
}

Deno.test("the examples are the same in module and page, and have less than 40 lines", async () => {
  const { module, page } = await examples();
  assert.deepEqual([...module.keys()], ["rot_client.ts", "rot_server.ts"]);
  assert.deepEqual(module, page);
  for (const text of module.values()) assert.ok(text.trimEnd().split("\n").length < 40);
});

Deno.test("the examples carry bytes from SOCKS to the ORPort, also after the server was killed", async () => {
  const { page } = await examples();
  const folder = await Deno.makeTempDir({ prefix: "pt-" });
  try {
    for (const [name, text] of page) {
      await Deno.writeTextFile(
        `${folder}/${name}`,
        text.replace("@trafficmimic/trafficmimic/pt", LIBRARY.href),
      );
    }
    await using orPort = await serveTcp(echo);
    const lines: string[] = [];
    for (const run of [1, 2]) {
      await using server = await PtProcess.start({
        TOR_PT_MANAGED_TRANSPORT_VER: "1",
        TOR_PT_SERVER_TRANSPORTS: "rot",
        TOR_PT_SERVER_BINDADDR: "rot-127.0.0.1:0",
        TOR_PT_ORPORT: `127.0.0.1:${orPort.port}`,
      }, { program: `${folder}/rot_server.ts`, folder });
      const bridge = await server.method();
      const args = /ARGS:(by=\d+)$/.exec(bridge.line)![1]!;
      lines.push(args);
      await using client = await PtProcess.start({
        TOR_PT_MANAGED_TRANSPORT_VER: "1",
        TOR_PT_CLIENT_TRANSPORTS: "rot",
      }, { program: `${folder}/rot_client.ts`, folder });
      const door = await client.method();
      using wire = await Wire.open(door.host, door.port);
      wire.send([5, 2, 0, 2, ...credentials(args), ...connectRequest("127.0.0.1", bridge.port)]);
      assert.deepEqual((await wire.read(14)).slice(0, 6), [5, 2, 1, 0, 5, 0]);
      const payload = crypto.getRandomValues(new Uint8Array(40_000));
      wire.send(payload).socket.end();
      assert.deepEqual(await wire.all(), [...payload], `run ${run}`);
      // Without its argument it says so.
      using bare = await Wire.open(door.host, door.port);
      bare.send([5, 1, 0, ...connectRequest("127.0.0.1", bridge.port)]);
      assert.equal((await bare.all())[3], 1);
      assert.match((await client.line())!, /the bridge line needs by=NUMBER/);
      server.kill("SIGKILL");
    }
    assert.equal(lines[0], lines[1]);
    const { mode } = await Deno.stat(`${folder}/pt_state`);
    assert.equal(mode! & 0o777, 0o700);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
